//! ActiveMQ with its messages behind the proxy, both lockers; the lead dies in the middle. Nothing lost, nothing twice.

use std::time::Duration;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::activemq::{ActiveMq, Locker};
use crate::{Options, Result, Summary, fail};

/// What a message may take on average before the run counts as hung.
const MESSAGE_LIMIT: Duration = Duration::from_millis(100);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let programs = ActiveMq::compile().await?;
    let mut summary = Summary::default();
    for locker in [Locker::Default, Locker::Lease] {
        let figures = run_locker(&options, &programs, locker).await.map_err(|e| e.during(locker.name()))?;
        summary = summary.with(locker.name(), figures);
    }
    Ok(summary)
}

async fn run_locker(options: &Options, programs: &ActiveMq, locker: Locker) -> Result<String> {
    let mut cluster = Cluster::start(options, ClusterOptions::default()).await?;
    let messages = options.clients * options.transactions;
    let size = (options.clients, messages);
    let mut load = programs.load(&cluster.endpoint(), locker, size, cluster.home()).await?;
    let limit = Duration::from_secs(120) + MESSAGE_LIMIT * u32::try_from(messages)?;

    let middle = messages / 2;
    while load.wait_for("PROGRESS", limit).await?.parse::<usize>()? < middle {}
    let mut killed = "-".to_owned();
    if cluster.proxy.is_some() {
        // The lead holds the broker's lock for itself, a follower for the future: the seed picks.
        let victim = (cluster.lead().await? + usize::try_from(options.seed % 3)?) % cluster.members.len();
        cluster.members[victim].kill_9()?;
        cluster.members[victim].name().clone_into(&mut killed);
    }
    let result = load.wait_for("RESULT", limit).await?;
    if let Err(error) = load.expect_success(limit).await {
        return Err(error.during(result));
    }
    let survivors = cluster.enabled().await?;
    let expected = cluster.members.len() - usize::from(cluster.proxy.is_some());
    if survivors.len() != expected {
        return fail(format!("{killed} was killed, but {:?}", cluster.member_states().await?));
    }
    members_equal(&survivors, EqualityOptions::default()).await?;
    let left = "select count(*) from activemq_msgs where container like 'queue:%'";
    let left = survivors[0].endpoint().value(left).await?;
    if left != "0" {
        return fail(format!("{left} consumed messages are still in the store"));
    }
    Ok(format!("[{result} killed={killed}]"))
}
