//! Two brokers on the default locker: the second takes over when the first dies, also when the lead died before.

use std::time::{Duration, Instant};

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::activemq::{ActiveMq, START_LIMIT};
use crate::{Options, Result, Summary, fail};

/// Longest time from the first broker's death to the second's mastership.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(30);
const RUN_LIMIT: Duration = Duration::from_secs(180);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let programs = ActiveMq::compile().await?;
    let mut summary = Summary::default();
    // A bare run has no lead to lose.
    let variants = if options.bare { &[false] as &[bool] } else { &[false, true] };
    for lead_dies in variants {
        let name = if *lead_dies { "after_loss_of_lead" } else { "takeover" };
        let figures = run_variant(&options, &programs, *lead_dies).await.map_err(|e| e.during(name))?;
        summary = summary.with(name, figures);
    }
    Ok(summary)
}

async fn run_variant(options: &Options, programs: &ActiveMq, lead_dies: bool) -> Result<String> {
    let mut cluster = Cluster::start(options, ClusterOptions::default()).await?;
    let (endpoint, folder) = (cluster.endpoint(), cluster.home().to_owned());
    let (mut first, first_port) = programs.broker(&endpoint, "first", &folder).await?;
    first.wait_for("MASTER", START_LIMIT).await?;
    let (mut second, second_port) = programs.broker(&endpoint, "second", &folder).await?;
    let messages = (options.clients * options.transactions).max(400);
    let ports = (first_port, second_port);
    let mut client = programs.takeover_client(ports, messages, &folder.join("takeover-client.log"))?;
    while client.wait_for("PROGRESS", RUN_LIMIT).await?.parse::<usize>()? < messages / 4 {}
    if lead_dies {
        let lead = cluster.lead().await?;
        cluster.members[lead].kill_9()?;
        while client.wait_for("PROGRESS", RUN_LIMIT).await?.parse::<usize>()? < messages / 2 {}
    }
    // Two masters at once would be the end of every promise: the second must still wait.
    if second.wait_for("MASTER", Duration::from_millis(500)).await.is_ok() {
        return fail("two masters at once");
    }
    let start = Instant::now();
    first.kill_9().await?;
    second.wait_for("MASTER", TAKEOVER_LIMIT).await?;
    let takeover = start.elapsed();
    let result = client.wait_for("RESULT", RUN_LIMIT).await?;
    if let Err(error) = client.expect_success(RUN_LIMIT).await {
        return Err(error.during(result));
    }
    second.kill_9().await?;
    let survivors = cluster.enabled().await?;
    if survivors.len() != cluster.members.len() - usize::from(lead_dies) {
        return fail(format!("unexpected states: {:?}", cluster.member_states().await?));
    }
    members_equal(&survivors, EqualityOptions::default()).await?;
    Ok(format!("[{result} takeover_ms={}]", takeover.as_millis()))
}
