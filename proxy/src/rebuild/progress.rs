//! How far a copy is, for others to read while it runs.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Versions, programs, and that donor and target are two.
    Check,
    /// Roles that the target lacks.
    Roles,
    /// The old database goes, an empty one is made.
    Database,
    /// Schema and rows.
    Transfer,
    /// What belongs to the database as a whole.
    Settings,
    /// Statistics, and the new name.
    Analyze,
    /// It is whole.
    Done,
}

impl Phase {
    const ALL: [Self; 7] =
        [Self::Check, Self::Roles, Self::Database, Self::Transfer, Self::Settings, Self::Analyze, Self::Done];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Roles => "roles",
            Self::Database => "database",
            Self::Transfer => "transfer",
            Self::Settings => "settings",
            Self::Analyze => "analyze",
            Self::Done => "done",
        })
    }
}

/// How far a copy is. Each copy begins by setting it back.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    bytes_done: AtomicU64,
    bytes_expected: AtomicU64,
}

impl Progress {
    /// What is being done.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let code = self.phase.load(Ordering::Relaxed);
        Phase::ALL.into_iter().find(|phase| *phase as u8 == code).unwrap_or(Phase::Check)
    }

    /// Bytes of the dump that were loaded.
    #[must_use]
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done.load(Ordering::Relaxed)
    }

    /// Size of the donor's database: an estimate. A dump has no indexes and no free space, but values as text.
    #[must_use]
    pub fn bytes_expected(&self) -> u64 {
        self.bytes_expected.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, phase: Phase) {
        if phase == Phase::Check {
            self.bytes_done.store(0, Ordering::Relaxed);
            self.bytes_expected.store(0, Ordering::Relaxed);
        }
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.bytes_expected.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_go_forward_and_a_new_copy_begins_at_zero() {
        let progress = Progress::default();
        for phase in Phase::ALL {
            progress.enter(phase);
            assert_eq!(progress.phase(), phase);
            progress.add(1);
        }
        assert_eq!(progress.bytes_done(), 7);
        progress.enter(Phase::Check);
        assert_eq!((progress.bytes_done(), progress.phase()), (0, Phase::Check));
    }
}
