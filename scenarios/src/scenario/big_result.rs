//! A result of 1 GB passes through bounded memory.

use std::time::Instant;

use super::ending;
use crate::clients::Raw;
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::Bystander;
use crate::{Options, Result, Summary, fail};

/// Peak resident memory that the proxy may have.
pub(super) const MEMORY_LIMIT: u64 = 200 * 1024 * 1024;
const ROWS: u64 = 1000;
const ROW_BYTES: u64 = 1_000_000;

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let endpoint = cluster.endpoint();
    let bystander = Bystander::start(&endpoint).await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    let start = Instant::now();
    let query = format!("select repeat('x', {ROW_BYTES}) from generate_series(1, {ROWS})");
    raw.query(query.as_bytes()).await?;
    let (rows, bytes) = raw.count_rows().await?;
    let took = start.elapsed();
    if rows != ROWS || bytes < ROWS * ROW_BYTES {
        return fail(format!("{rows} rows and {bytes} bytes arrived"));
    }
    let (rounds, longest) = bystander.stop().await?;
    ending(&cluster).await?;
    let mut summary = Summary::default();
    if let Some(proxy) = &cluster.proxy {
        let memory = proxy.peak_memory()?;
        if memory > MEMORY_LIMIT {
            return fail(format!("the proxy had {} MiB at its peak", memory >> 20));
        }
        summary = summary.with("peak_MiB", memory >> 20);
    }
    Ok(summary
        .with("MB_per_s", format!("{:.0}", 1000.0 / took.as_secs_f64()))
        .with("bystander_rounds", rounds)
        .with("bystander_longest_ms", longest.as_millis()))
}
