//! Numbers that only grow, for /status and /metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one virtual database since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commits acknowledged that wrote or locked on all members.
    pub commits: Counter,
    /// Transactions that ended otherwise.
    pub aborts: Counter,
    /// Statements answered by a balanced member.
    pub reads: Counter,
    /// Statements that went into a transcript.
    pub writes: Counter,
    /// Single INSERTs that were committed in one transaction with those of other sessions.
    pub combined: Counter,
    /// Transcripts replayed on a follower.
    pub replays: Counter,
    /// Members disabled, left behind or repaired.
    pub incidents: Counter,
    /// Changes of lead.
    pub lead_changes: Counter,
    /// Transactions aborted by the last-resort cycle breaker: each is a bug.
    pub cycle_breaks: Counter,
    /// Statements run although it is not proven that they do the same on every member.
    pub unproven: Counter,
    /// Statements refused with 0A000.
    pub refusals: Counter,
}
