//! Clients that update the same ten rows in random order inside transactions: only 40P01, no hang, members equal.

use std::time::Duration;

use tokio::time::timeout;

use super::model_delayed::QUICK_DEADLOCKS;
use crate::checkers::{EqualityOptions, hang_report, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::hot_rows;
use crate::{Options, Result, Summary, fail};

/// How much longer than the load the run may take before it counts as hung.
const HANG_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_settings: vec![QUICK_DEADLOCKS.to_owned()], ..ClusterOptions::default() };
    let cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    endpoint.execute(hot_rows::SCHEMA).await?;
    let length = Duration::from_secs(options.seconds);
    let load = hot_rows::run(&endpoint, options.clients, length, options.seed);
    let Ok(report) = timeout(length + HANG_LIMIT, load).await else {
        return fail(format!("hung:\n{}", hang_report(&cluster).await));
    };
    let report = report?;
    cluster.expect_all_enabled().await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    members_equal(&members, EqualityOptions::default()).await?;
    let sum = cluster.members[0].endpoint().value("select sum(n) from hot").await?;
    if sum != report.increments.to_string() {
        return fail(format!("{} increments acknowledged, {sum} found", report.increments));
    }
    let deadlocks = report.outcomes.count("40P01");
    if options.clients > 4 && options.seconds > 10 && deadlocks == 0 {
        return fail("not one deadlock: the load did not do what it is for");
    }
    Ok(Summary::default().with("commits", report.outcomes.commits).with("deadlocks", deadlocks).with("sum", sum))
}
