//! The model's workload with delayed followers: members equal, nobody disabled, no hang, no last resort.

use std::time::Duration;

use tokio::time::timeout;

use crate::checkers::{EqualityOptions, hang_report, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Delay, Member, Relay};
use crate::workloads::model::{self, Load, Mix};
use crate::{Options, Result, Summary, fail};

/// The counter of the last resort of the write path; in tests its firing is a bug.
const CYCLE_BREAKER: &str = "raidb_cycle_breaker_fired_total";
/// Delays on the followers' links: half of the pieces, up to 4 ms, as in the model.
const DELAY: Delay = Delay { probability: 0.5, least: Duration::ZERO, longest: Duration::from_millis(4) };
/// Deadlocks are part of the load: found at once, they are many instead of one a second.
pub(super) const QUICK_DEADLOCKS: &str = "deadlock_timeout = '100ms'";
/// What a transaction may take on average before the run counts as hung.
const TRANSACTION_LIMIT: Duration = Duration::from_millis(250);

pub(super) async fn run(options: Options) -> Result<Summary> {
    run_mix(options, Mix::Grown).await
}

pub(super) async fn run_mix(options: Options, mix: Mix) -> Result<Summary> {
    let setup = ClusterOptions {
        follower_delay: Some(DELAY),
        member_settings: vec![QUICK_DEADLOCKS.to_owned()],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    endpoint.execute(model::SCHEMA).await?;
    let Options { seed, clients, transactions, .. } = options;
    let load = Load { seed, clients, transactions, mix };
    let limit = Duration::from_secs(60) + TRANSACTION_LIMIT * u32::try_from(transactions)?;
    let Ok(outcomes) = timeout(limit, model::run(&endpoint, load)).await else {
        return fail(format!("no end within {limit:?}:\n{}", hang_report(&cluster).await));
    };
    let outcomes = outcomes?;
    // Alone, not inside a message of several: which of several was refused cannot be told.
    let refused = outcomes.refused.iter().filter(|(statement, _)| !statement.contains(';'));
    for (statement, count) in refused {
        eprintln!("refused {count} times: {statement}");
    }
    cluster.expect_all_enabled().await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    let rows = members_equal(&members, EqualityOptions::default()).await?;
    let delayed: u64 = cluster.relays.iter().flatten().map(Relay::delayed).sum();
    let mut summary = Summary::default();
    if let Some(proxy) = &cluster.proxy {
        if delayed == 0 {
            return fail("no follower was delayed");
        }
        let fired = proxy.metric(CYCLE_BREAKER).await?;
        if fired > 0.0 {
            return fail(format!("{CYCLE_BREAKER} is {fired}"));
        }
        let replays = proxy.metric("raidb_replays_total").await?;
        summary = summary.with("delayed", delayed).with("replays", replays);
    }
    outcomes.expect_nothing_unexpected()?;
    Ok(summary.with("outcomes", outcomes).with("rows", rows))
}
