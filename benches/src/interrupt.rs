//! Ctrl-C and SIGTERM: the load that runs is ended or ends, then every server is stopped in order.

use crate::error::{Context as _, Failure, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Knows whether this program was asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for signals from now on.
    pub(crate) fn listen() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.context(|| "no signal handling".into())?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            let both = signal(SignalKind::interrupt())
                .and_then(|i| Ok((i, signal(SignalKind::terminate())?)));
            both.context(|| "no signal handling".into())?
        };
        let flag = Arc::clone(&asked);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => (), _ = terminate.recv() => () }
            });
            flag.store(true, Ordering::Release);
        });
        Ok(Self(asked))
    }

    /// Fails once the program was asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Acquire) {
            Err(Failure::new("interrupted"))
        } else {
            Ok(())
        }
    }
}
