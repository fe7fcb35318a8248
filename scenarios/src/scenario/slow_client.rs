//! A client that does not read its result holds up nobody, costs no memory, disables no member, and gets every byte.

use std::time::Duration;

use tokio::time::sleep;

use super::big_result::MEMORY_LIMIT;
use super::ending;
use crate::clients::Raw;
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::Bystander;
use crate::{Options, Result, Summary, fail};

/// Several, so that every member has one.
const SLOW_CLIENTS: usize = 6;
const ROWS: u64 = 150;

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_timeout: Duration::from_secs(1), ..ClusterOptions::default() };
    // Well beyond `member_timeout`: a member that waits for a slow client is not a slow member.
    let rest = setup.member_timeout * 4;
    let cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    let bystander = Bystander::start(&endpoint).await?;
    let mut slow = Vec::new();
    for _ in 0..SLOW_CLIENTS {
        let mut raw = Raw::connect(&endpoint, &[]).await?;
        raw.query(format!("select repeat('x', 1000000) from generate_series(1, {ROWS})").as_bytes()).await?;
        slow.push(raw);
    }
    sleep(rest).await;
    let mut summary = Summary::default();
    if let Some(proxy) = &cluster.proxy {
        let memory = proxy.peak_memory()?;
        if memory > MEMORY_LIMIT {
            return fail(format!("the proxy had {} MiB for {SLOW_CLIENTS} slow clients", memory >> 20));
        }
        summary = summary.with("peak_MiB", memory >> 20);
    }
    cluster.expect_all_enabled().await?;
    for raw in &mut slow {
        let (rows, _) = raw.count_rows().await?;
        if rows != ROWS {
            return fail(format!("a slow client got {rows} rows of {ROWS}"));
        }
    }
    let (rounds, longest) = bystander.stop().await?;
    ending(&cluster).await?;
    Ok(summary.with("bystander_rounds", rounds).with("bystander_longest_ms", longest.as_millis()))
}
