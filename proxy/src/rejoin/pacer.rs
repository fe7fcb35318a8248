//! Sees to it that a member that comes back catches up: the log is applied on one connection, and many sessions may fill it
//! faster than that.
//!
//! Twice a second what was applied is compared with what was added to the log meanwhile. As long as it is not
//! [`TIMES`] as much, transactions are held back a little longer before they begin ([`Pace`]), up to [`PAUSE_MAX`]; when it is
//! twice that, a little less.
//!
//! [`Pace`]: crate::virtual_database::pace::Pace

use std::time::Duration;

use parking_lot::Mutex;
use raidb_core::log::Position;
use tokio::time::Instant;

use crate::virtual_database::VirtualDatabase;

/// Catching up is to be so many times as fast as the log grows.
const TIMES: u64 = 3;
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many positions behind is as good as caught up.
const NEAR: u64 = 256;
/// The first pause; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest: a rejoin may add 100 ms to a transaction.
const PAUSE_MAX: Duration = Duration::from_millis(80);

/// Holds transactions back as long as it must, and no longer than it lives.
pub(super) struct Pacer<'d> {
    database: &'d VirtualDatabase,
    member: &'d str,
    last: Mutex<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    applied: Position,
    end: Position,
}

impl<'d> Pacer<'d> {
    /// The member named holds everything up to `applied`.
    #[must_use]
    pub(super) fn new(database: &'d VirtualDatabase, member: &'d str, applied: Position) -> Self {
        let last = Look { at: Instant::now(), applied, end: database.journal.end() };
        Pacer { database, member, last: Mutex::new(last) }
    }

    /// The log was applied up to here.
    pub(super) fn look(&self, applied: Position) {
        let mut last = self.last.lock();
        if last.at.elapsed() < LOOK_EVERY {
            return;
        }
        let now = Look { at: Instant::now(), applied, end: self.database.journal.end() };
        let done = now.applied.0.saturating_sub(last.applied.0);
        let added = now.end.0.saturating_sub(last.end.0);
        *last = now;
        let before = self.database.pace.pause().unwrap_or_default();
        let behind = now.end.0.saturating_sub(applied.0);
        let pause = next_pause(before, if behind <= NEAR { u64::MAX } else { done }, added);
        if before.is_zero() && !pause.is_zero() {
            tracing::info!(
                member = self.member,
                behind,
                "transactions are held back a little so that the member can catch up"
            );
        }
        self.database.pace.set(pause);
    }
}

fn next_pause(pause: Duration, done: u64, added: u64) -> Duration {
    if done < added.saturating_mul(TIMES) {
        (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX)
    } else if done > added.saturating_mul(2 * TIMES) {
        Some(pause / 2).filter(|half| *half >= PAUSE_MIN).unwrap_or_default()
    } else {
        pause
    }
}

impl Drop for Pacer<'_> {
    fn drop(&mut self) {
        self.database.pace.set(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_catch_up_is_given_time_and_who_does_is_not() {
        let mut pause = Duration::ZERO;
        for _ in 0..10 {
            pause = next_pause(pause, 1000, 900);
        }
        assert_eq!(pause, PAUSE_MAX, "the limit");
        assert_eq!(next_pause(pause, 1000, 250), pause, "fast enough");
        for _ in 0..10 {
            pause = next_pause(pause, 1000, 100);
        }
        assert_eq!(pause, Duration::ZERO);
        assert_eq!(next_pause(Duration::ZERO, 0, 0), Duration::ZERO, "nobody writes");
        assert_eq!(next_pause(Duration::ZERO, 0, 1), PAUSE_MIN);
    }
}
