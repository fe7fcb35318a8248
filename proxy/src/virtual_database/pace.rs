//! How much each transaction that writes is held back before its first statement, while a member could not catch up otherwise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// See the module. Nothing is locked while a transaction is held back, so nobody waits for it.
#[derive(Debug, Default)]
pub struct Pace {
    pause_us: AtomicU64,
}

impl Pace {
    /// The present pause; `None`: nobody is held back.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        let pause = self.pause_us.load(Ordering::Relaxed);
        (pause > 0).then(|| Duration::from_micros(pause))
    }

    /// From now on each is held back so long.
    pub fn set(&self, pause: Duration) {
        self.pause_us.store(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
