//! The mixed load that runs through all cycles: writers of three kinds, and one transaction that never ends.
//!
//! Writers are paused for the checks, keep their connections meanwhile, and go on. The lock holder is never paused.

mod gate;
mod holder;
mod ledger;
mod tables;
mod writer;
mod writes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::sql::Endpoint;
use crate::timeline::Timeline;
use crate::{Failure, Result, fail};
use gate::{Gate, Phase};

pub(super) use ledger::{CycleLog, Kind, Ledger};
pub(super) use tables::EMPTIED;

/// Longest time until all writers have ended what they were doing.
const PAUSE_LIMIT: Duration = Duration::from_secs(15);

/// What all clients of the load share.
#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    gate: Gate,
    ledger: Mutex<Ledger>,
    timeline: Timeline,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running load. Its clients end with it.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    writers: usize,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Makes the tables and starts all clients: `writers`, and the lock holder as the last one.
    pub(super) async fn start(endpoint: &Endpoint, writers: usize, (seed, timeline): (u64, Timeline)) -> Result<Self> {
        endpoint.execute(&tables::schema()).await?;
        let shared = Arc::new(Shared {
            endpoint: endpoint.clone(),
            gate: Gate::new(),
            ledger: Mutex::new(Ledger::new(writers + 1)),
            timeline,
        });
        let mut tasks: Vec<_> =
            (0..writers).map(|number| tokio::spawn(writer::run(Arc::clone(&shared), number, seed))).collect();
        tasks.push(tokio::spawn(holder::run(Arc::clone(&shared), writers)));
        let load = Self { shared, writers, tasks };
        load.everyone_moves(PAUSE_LIMIT).await?;
        Ok(load)
    }

    /// Waits until every client has had another write acknowledged, the lock holder included.
    pub(super) async fn everyone_moves(&self, limit: Duration) -> Result<()> {
        let (start, before) = (Instant::now(), self.shared.ledger().progress().to_vec());
        loop {
            let still: Vec<usize> = {
                let ledger = self.shared.ledger();
                let pairs = ledger.progress().iter().zip(&before).enumerate();
                pairs.filter(|(_, (now, before))| now <= before).map(|(client, _)| client).collect()
            };
            if still.is_empty() {
                return Ok(());
            }
            if start.elapsed() > limit {
                let names: Vec<_> = still.iter().map(|client| self.client_name(*client)).collect();
                return fail(format!("clients without one acknowledged write in {limit:?}: {}", names.join(", ")));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn client_name(&self, client: usize) -> String {
        if client == self.writers { "the lock holder".to_owned() } else { format!("{client} ({})", Kind::of(client)) }
    }

    /// Stops all writers between two transactions.
    pub(super) async fn pause(&self) -> Result<()> {
        self.shared.gate.set(Phase::Paused);
        let start = Instant::now();
        while self.shared.gate.parked() < self.writers {
            if start.elapsed() > PAUSE_LIMIT {
                let parked = self.shared.gate.parked();
                return fail(format!(
                    "{} of {} writers wait for an answer for {PAUSE_LIMIT:?} though all members are enabled",
                    self.writers - parked,
                    self.writers
                ));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets all writers go on.
    pub(super) fn resume(&self) {
        self.shared.gate.set(Phase::Running);
    }

    /// What clients were told since the last call.
    pub(super) fn take_cycle(&self) -> CycleLog {
        self.shared.ledger().take_cycle()
    }

    /// All that was told, to check the members by.
    pub(super) fn with_ledger<T>(&self, use_it: impl FnOnce(&mut Ledger) -> T) -> T {
        use_it(&mut self.shared.ledger())
    }

    /// Ends all clients; the lock holder's transaction is rolled back by the loss of its connection.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.shared.gate.set(Phase::Stopped);
        for task in self.tasks.drain(..) {
            let ended = timeout(PAUSE_LIMIT, task).await;
            ended.map_err(|_| Failure::new(format!("a client of the load did not end within {PAUSE_LIMIT:?}")))??;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
