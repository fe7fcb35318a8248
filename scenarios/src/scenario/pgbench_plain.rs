//! pgbench TPC-B in all three protocols without a fault: nothing fails, members stay equal.

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::pgbench::{self, Load, Protocol};
use crate::{Options, Result, Summary, fail};

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let endpoint = cluster.endpoint();
    pgbench::initialize(&endpoint, options.scale).await?;
    let mut summary = Summary::default();
    let mut acknowledged = 0;
    for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
        let Options { clients, seconds, seed, .. } = options;
        let load = Load { protocol, clients, seconds, seed, more: Vec::new() };
        let report = pgbench::run(&endpoint, &load, cluster.home()).await?;
        if report.failed > 0 || report.acknowledged == 0 {
            return fail(format!("{report:?}"));
        }
        acknowledged += report.acknowledged;
        summary = summary.with(protocol.name(), format!("{:.0}tps", report.tps));
    }
    cluster.expect_all_enabled().await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    let rows = members_equal(&members, EqualityOptions::default()).await?;
    expect_history(&members, acknowledged).await?;
    Ok(summary.with("acknowledged", acknowledged).with("rows", rows))
}

/// Every member holds exactly one history row for each transaction that pgbench was told is committed.
pub(super) async fn expect_history(members: &[&Member], acknowledged: u64) -> Result<()> {
    for member in members {
        let found = member.endpoint().value("select count(*) from pgbench_history").await?;
        if found != acknowledged.to_string() {
            return fail(format!("{acknowledged} transactions acknowledged, {found} in history of {}", member.name()));
        }
    }
    Ok(())
}
