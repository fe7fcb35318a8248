//! What is known of one member, whatever its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::counters::Counter;
use crate::members::pg::target::{Login, Target};

/// One member: where it is, how busy it is.
#[derive(Debug)]
pub struct Member {
    /// Where.
    pub target: Target,
    /// The proxy's own login there, and that of clients without a mapping.
    pub login: Login,
    /// Share of reads under `weighted`.
    pub weight: u16,
    /// How far a copy onto it is.
    pub rebuild: crate::rebuild::Progress,
    /// Incidents since the start of the process.
    pub(super) incidents: Counter,
    connections_max: usize,
    slots: Arc<Semaphore>,
    pending: AtomicUsize,
    /// Moving average of foreground answers, microseconds.
    latency_us: AtomicU64,
    /// Lets one probe at a time decide whether the member lives.
    pub(super) probing: tokio::sync::Mutex<()>,
}

/// Counts a statement as pending while it lives.
#[derive(Debug)]
pub struct PendingGuard(Arc<super::VirtualDatabase>, usize);

impl Member {
    /// A member with a limit on connections.
    #[must_use]
    pub fn new(target: Target, login: Login, weight: u16, connections_max: usize) -> Self {
        Member {
            target,
            login,
            weight,
            rebuild: crate::rebuild::Progress::default(),
            incidents: Counter::default(),
            connections_max,
            slots: Arc::new(Semaphore::new(connections_max)),
            pending: AtomicUsize::new(0),
            latency_us: AtomicU64::new(0),
            probing: tokio::sync::Mutex::new(()),
        }
    }

    /// A place for one more connection; `None` at the limit.
    #[must_use]
    pub fn slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// The limit on connections.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Open connections of sessions.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections_max - self.slots.available_permits()
    }

    /// Statements in the foreground now.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Notes how long an answer took (weight of one eighth).
    pub fn observe(&self, took: Duration) {
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let old = self.latency_us.load(Ordering::Relaxed);
        let new = if old == 0 { sample } else { old - old / 8 + sample / 8 };
        self.latency_us.store(new, Ordering::Relaxed);
    }

    /// The moving average.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }
}

impl PendingGuard {
    /// One more pending statement on that member.
    #[must_use]
    pub fn new(database: Arc<super::VirtualDatabase>, member: raidb_core::ids::MemberId) -> Self {
        let index = usize::from(member.0);
        database.members[index].pending.fetch_add(1, Ordering::Relaxed);
        PendingGuard(database, index)
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        self.0.members[self.1].pending.fetch_sub(1, Ordering::Relaxed);
    }
}
