//! Which of the members' marker tables takes new rows.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::rejoin::tables::TABLES;

/// A commit reads [`Markers::active`] *behind* the registration of its ticket. So whoever registers behind a change of turns
/// uses the new table, and the old one is free when all tickets that were registered before are closed.
#[derive(Debug, Default)]
pub struct Markers(AtomicU8);

impl Markers {
    /// The table that takes new rows.
    #[must_use]
    pub fn active(&self) -> u8 {
        self.0.load(Ordering::SeqCst)
    }

    /// The next table takes its turn; returns the one that had it.
    pub fn change_turns(&self) -> u8 {
        let old = self.active();
        self.0.store((old + 1) % TABLES, Ordering::SeqCst);
        old
    }
}
