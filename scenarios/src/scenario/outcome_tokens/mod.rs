//! Outcome by token: what is told of a named transaction is what became of it, whoever is lost in between.

mod by_hand;
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ending;
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::unique_inserts::SCHEMA;
use crate::{Options, Result, Summary, fail};
use load::{Answers, Asker, Ledger};

/// Longest way back of a member.
const BACK_LIMIT: Duration = Duration::from_secs(20);
/// Load before the kill.
const BEFORE_KILL: Duration = Duration::from_millis(1500);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    cluster.proxy()?;
    let endpoint = cluster.endpoint();
    endpoint.execute(SCHEMA).await?;
    by_hand::check(&endpoint).await?;

    let mut ledger = Ledger::default();
    for round in 0..2 {
        ledger.absorb(killed_under_load(&mut cluster, &options, round).await?);
    }
    ledger.absorb(members_killed_under_load(&mut cluster, &options).await?);
    let mut asker = Asker::connect(&cluster.endpoint()).await?;
    let answers = asker.ask_all(ledger.acknowledged.iter().copied()).await?;
    if answers.committed.len() != ledger.acknowledged.len() {
        return fail(format!("acknowledged, and told otherwise behind the restart: {:?} …", answers.not_committed(5)));
    }
    let lost = asker.ask_all(ledger.lost.iter().copied()).await?;
    for answers in [&answers, &lost, &ledger.told] {
        for member in &cluster.members {
            answers.check(member).await?;
        }
    }
    if ledger.lost.is_empty() {
        return fail("no client lost its connection in a transaction: the fault did not happen");
    }
    by_hand::still_known(&cluster.endpoint()).await?;
    let rows = ending(&cluster).await?;
    let figures =
        |answers: &Answers| format!("{}/{}/{}", answers.committed.len(), answers.aborted.len(), answers.unknown.len());
    Ok(Summary::default()
        .with("acknowledged", ledger.acknowledged.len())
        .with("lost_committed/aborted/unknown", figures(&lost))
        .with("given_up_committed/aborted/unknown", figures(&ledger.told))
        .with("refused", ledger.refused)
        .with("rows", rows))
}

/// Clients at work.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Ledger>>>,
}

impl Load {
    fn start(cluster: &Cluster, options: &Options, round: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |client| {
            let number = i32::try_from(round * options.clients + client + 1).unwrap_or(i32::MAX);
            tokio::spawn(load::client(cluster.endpoint(), number, options.seed, Arc::clone(&stop)))
        };
        Load { clients: (0..options.clients).map(client).collect(), stop }
    }

    async fn stop(self) -> Result<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::default();
        for client in self.clients {
            ledger.absorb(client.await??);
        }
        Ok(ledger)
    }
}

/// `kill -9` of the proxy, and its restart.
async fn killed_under_load(cluster: &mut Cluster, options: &Options, round: usize) -> Result<Ledger> {
    let load = Load::start(cluster, options, round);
    sleep(BEFORE_KILL).await;
    cluster.proxy_mut()?.kill_9()?;
    let ledger = load.stop().await?;
    cluster.proxy_mut()?.restart().await?;
    Ok(ledger)
}

/// `kill -9` of every member, one after the other, and their restart, the last one first.
async fn members_killed_under_load(cluster: &mut Cluster, options: &Options) -> Result<Ledger> {
    let load = Load::start(cluster, options, 2);
    let mut killed = Vec::new();
    for _ in 0..cluster.members.len() {
        sleep(BEFORE_KILL / 2).await;
        let lead = cluster.lead().await?;
        cluster.members[lead].kill_9()?;
        killed.push(lead);
    }
    sleep(BEFORE_KILL / 2).await;
    for member in killed.into_iter().rev() {
        cluster.members[member].restart().await?;
        let name = cluster.members[member].name().to_owned();
        cluster.wait_for_state(&name, "enabled", BACK_LIMIT).await?;
    }
    sleep(BEFORE_KILL / 2).await;
    load.stop().await
}
