//! The lead dies by `kill -9` at a third of the run, the next lead at two thirds: pgbench notices nothing.

use std::time::Duration;

use tokio::time::sleep;

use super::pgbench_plain::expect_history;
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::pgbench::{self, Load, Protocol};
use crate::{Options, Result, Summary, fail};

/// Longest time that any client may go without a completed transaction.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    cluster.proxy()?;
    let (endpoint, folder) = (cluster.endpoint(), cluster.home().to_owned());
    pgbench::initialize(&endpoint, options.scale).await?;
    let Options { clients, seconds, seed, .. } = options;
    let load = Load { protocol: Protocol::Simple, clients, seconds, seed, more: Vec::new() };
    let third = Duration::from_secs(seconds) / 3;
    let (report, killed) =
        tokio::try_join!(pgbench::run(&endpoint, &load, &folder), kill_two_leads(&mut cluster, third),)?;
    let states = cluster.member_states().await?;
    let disabled = states.iter().filter(|(name, state)| killed.contains(name) && state == "disabled");
    if disabled.count() != 2 {
        return fail(format!("killed {killed:?}, but the states are {states:?}"));
    }
    let survivors = cluster.enabled().await?;
    expect_history(&survivors, report.acknowledged).await?;
    let rows = members_equal(&survivors, EqualityOptions::default()).await?;
    if report.failed > 0 || report.longest_pause >= PAUSE_LIMIT {
        return fail(format!("killed {killed:?}: {report:?}"));
    }
    Ok(Summary::default()
        .with("tps", format!("{:.0}", report.tps))
        .with("failed", report.failed)
        .with("acknowledged", report.acknowledged)
        .with("rows", rows)
        .with("pause_ms", report.longest_pause.as_millis())
        .with("killed", killed.join(",")))
}

async fn kill_two_leads(cluster: &mut Cluster, pause: Duration) -> Result<Vec<String>> {
    let mut killed = Vec::new();
    for _ in 0..2 {
        sleep(pause).await;
        let lead = cluster.lead().await?;
        let member = &mut cluster.members[lead];
        if killed.iter().any(|name| name == member.name()) {
            return fail(format!("{} was killed and still leads {pause:?} later", member.name()));
        }
        member.kill_9()?;
        killed.push(member.name().to_owned());
    }
    Ok(killed)
}
