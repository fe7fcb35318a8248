//! Where writers stop between two transactions.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// What clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Paused,
    Stopped,
}

/// Tells clients what to do, and counts those that wait.
#[derive(Debug)]
pub(super) struct Gate {
    phase: watch::Sender<Phase>,
    parked: AtomicUsize,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running), parked: AtomicUsize::new(0) }
    }

    pub(super) fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Writers that wait.
    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::SeqCst)
    }

    /// True until all is to end; does not look at a pause.
    pub(super) fn is_open(&self) -> bool {
        *self.phase.borrow() != Phase::Stopped
    }

    /// Waits while there is a pause; false if the caller is to end.
    pub(super) async fn pass(&self) -> bool {
        let mut phase = self.phase.subscribe();
        if *phase.borrow_and_update() == Phase::Paused {
            self.parked.fetch_add(1, Ordering::SeqCst);
            // The sender lives as long as this gate: the wait cannot fail.
            let _ = phase.wait_for(|phase| *phase != Phase::Paused).await;
            self.parked.fetch_sub(1, Ordering::SeqCst);
        }
        self.is_open()
    }
}
