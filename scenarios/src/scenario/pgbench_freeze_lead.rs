//! The lead hangs (SIGSTOP, connections stay open): it is disabled within `member_timeout`, pgbench goes on.

use std::time::Duration;

use tokio::time::sleep;

use super::pgbench_plain::expect_history;
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::pgbench::{self, Load, Protocol};
use crate::{Options, Result, Summary, fail};

/// What is allowed on top of `member_timeout`.
const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions::default();
    let limit = setup.member_timeout + GRACE;
    let cluster = Cluster::start(&options, setup).await?;
    cluster.proxy()?;
    let endpoint = cluster.endpoint();
    pgbench::initialize(&endpoint, options.scale).await?;
    let Options { clients, seconds, seed, .. } = options;
    let load = Load { protocol: Protocol::Simple, clients, seconds, seed, more: Vec::new() };
    let (report, frozen) = tokio::try_join!(
        pgbench::run(&endpoint, &load, cluster.home()),
        freeze_lead(&cluster, Duration::from_secs(seconds) / 3),
    )?;
    cluster.wait_for_state(cluster.members[frozen].name(), "disabled", Duration::ZERO).await?;
    // What the frozen member still had in its queues must not reach anybody when it wakes up.
    cluster.members[frozen].sigcont_all()?;
    let survivors = cluster.enabled().await?;
    if survivors.len() != cluster.members.len() - 1 {
        return fail(format!("one member was frozen, but the states are {:?}", cluster.member_states().await?));
    }
    expect_history(&survivors, report.acknowledged).await?;
    let rows = members_equal(&survivors, EqualityOptions::default()).await?;
    if report.failed > 0 || report.longest_pause >= limit {
        return fail(format!("frozen {}: {report:?}", cluster.members[frozen].name()));
    }
    Ok(Summary::default()
        .with("tps", format!("{:.0}", report.tps))
        .with("failed", report.failed)
        .with("acknowledged", report.acknowledged)
        .with("rows", rows)
        .with("pause_ms", report.longest_pause.as_millis())
        .with("frozen", cluster.members[frozen].name()))
}

async fn freeze_lead(cluster: &Cluster, after: Duration) -> Result<usize> {
    sleep(after).await;
    let lead = cluster.lead().await?;
    cluster.members[lead].sigstop_all()?;
    Ok(lead)
}
