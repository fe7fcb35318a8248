//! The recovery log outgrows `log.size_max`. An open COPY keeps what it needs of it, for as long as it is open. A member that
//! is away and holds the log back is left behind: disabled for that reason, not brought back, until it is rebuilt.

use std::time::{Duration, Instant};

use futures::SinkExt;
use serde_json::Value;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::ending;
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Options, Result, Summary, fail};

/// `log.size_max`: the least that is allowed, and the length of a segment.
const SIZE_MAX: u64 = 64 << 20;
/// Bytes of a row: so many intents of that size are a log that is too long.
const ROW_BYTES: usize = 1 << 20;
/// Most rows until something must have happened: more than three logs.
const ROWS_MAX: usize = 300;
/// How long what the proxy does by itself may take: it looks every ten seconds at a log that stays too long.
const LIMIT: Duration = Duration::from_secs(40);
/// How long a member that must not come back is watched: it would be tried twice a second.
const WATCHED: Duration = Duration::from_secs(3);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let log = vec![format!("size_max = {SIZE_MAX}")];
    let setup = ClusterOptions { log, member_timeout: Duration::from_secs(10), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options, setup).await?;
    let lead = cluster.lead().await?;
    let victim = (lead + usize::try_from(options.seed)?) % cluster.members.len();
    let name = cluster.members[victim].name().to_owned();
    let endpoint = cluster.endpoint();
    endpoint.execute("create table big(t text); create table copied(i int, t text)").await?;
    let client = endpoint.connect().await?;

    let copied = copy_holds_the_log(&cluster, &client).await?;

    cluster.members[victim].stop().await?;
    cluster.wait_for_state(&name, "disabled", LIMIT).await?;
    let (rows, longest) = grow_until(&cluster, &client, |status| reason(status, &name) == "behind_log").await?;
    if longest <= SIZE_MAX {
        return fail(format!("the log never had more than {longest} bytes"));
    }
    let left = wait_for(&cluster, |status| !over_size(status)).await?;
    if log_of(&left)["bytes"].as_u64().unwrap_or(u64::MAX) > SIZE_MAX {
        return fail(format!("the log was not shortened: {left}"));
    }
    stays_behind(&mut cluster, victim).await?;
    let (code, printed) = cluster.proxy()?.member(&["rebuild", &name]).await?;
    if code != Some(0) {
        return fail(format!("raidb member rebuild {name}: {code:?}, {printed}"));
    }
    insert(&endpoint.connect().await?).await?;
    let equal = ending(&cluster).await?;
    Ok(Summary::default()
        .with("member", name)
        .with("rows_copied", copied)
        .with("rows_until_left_behind", rows)
        .with("log_bytes_longest", longest)
        .with("rows", equal))
}

/// With a COPY open the log grows over its size, though every member is enabled; when it is committed the log is shortened.
async fn copy_holds_the_log(cluster: &Cluster, client: &Client) -> Result<u64> {
    let mut other = cluster.endpoint().connect().await?;
    let transaction = other.transaction().await?;
    let mut sink = Box::pin(transaction.copy_in("copy copied from stdin").await?);
    let rows = 40_u64;
    for row in 0..rows {
        sink.send(bytes::Bytes::from(format!("{row}\t{}\n", "c".repeat(100_000)))).await?;
    }
    let written = sink.as_mut().finish().await?;
    let before = log_of(&cluster.proxy()?.status().await?)["first"].clone();
    grow_until(cluster, client, over_size).await?;
    // Long enough for the proxy to have tried.
    sleep(Duration::from_secs(3)).await;
    let status = cluster.proxy()?.status().await?;
    if !over_size(&status) || log_of(&status)["first"] != before {
        return fail(format!("the log was cut off behind an open COPY: {status}"));
    }
    if cluster.proxy()?.metric("raidb_log_over_size").await? < 1.0 {
        return fail("the metric does not show it");
    }
    cluster.expect_all_enabled().await?;
    insert(client).await?;
    transaction.commit().await?;
    wait_for(cluster, |status| !over_size(status)).await?;
    cluster.expect_all_enabled().await?;
    Ok(written)
}

/// The member is back: it stays what it is, and `enable` says what to do.
async fn stays_behind(cluster: &mut Cluster, victim: usize) -> Result<()> {
    let name = cluster.members[victim].name().to_owned();
    cluster.members[victim].restart().await?;
    let start = Instant::now();
    while start.elapsed() < WATCHED {
        let status = cluster.proxy()?.status().await?;
        if reason(&status, &name) != "behind_log" {
            return fail(format!("{name} should stay disabled: {status}"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    let (code, printed) = cluster.proxy()?.member(&["enable", &name]).await?;
    if code != Some(1) || !printed.contains("raidb member rebuild") {
        return fail(format!("raidb member enable {name}: {code:?}, {printed}"));
    }
    // It holds over a restart of the proxy.
    cluster.proxy_mut()?.stop().await?;
    cluster.proxy_mut()?.restart().await?;
    let status = cluster.proxy()?.status().await?;
    if reason(&status, &name) != "behind_log" {
        return fail(format!("{name} should be disabled behind a restart too: {status}"));
    }
    Ok(())
}

async fn insert(client: &Client) -> Result<()> {
    let row = "x".repeat(ROW_BYTES);
    client.execute("insert into big values ($1)", &[&row]).await?;
    Ok(())
}

/// Writes until `reached`; returns how many rows that took, and how long the log has been.
async fn grow_until(cluster: &Cluster, client: &Client, reached: impl Fn(&Value) -> bool) -> Result<(usize, u64)> {
    let mut longest = 0;
    for rows in 0..ROWS_MAX {
        let status = cluster.proxy()?.status().await?;
        longest = longest.max(log_of(&status)["bytes"].as_u64().unwrap_or(0));
        if reached(&status) {
            return Ok((rows, longest));
        }
        insert(client).await?;
    }
    fail(format!("nothing happened in {ROWS_MAX} rows: {}", cluster.proxy()?.status().await?))
}

async fn wait_for(cluster: &Cluster, reached: impl Fn(&Value) -> bool) -> Result<Value> {
    let start = Instant::now();
    loop {
        let status = cluster.proxy()?.status().await?;
        if reached(&status) {
            return Ok(status);
        }
        if start.elapsed() > LIMIT {
            let tail = cluster.proxy()?.log_tail(20);
            return fail(format!("not within {LIMIT:?}: {status}\n-- the proxy's log ends with:\n{tail}"));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn log_of(status: &Value) -> &Value {
    &status["virtual_databases"][0]["log"]
}

fn over_size(status: &Value) -> bool {
    log_of(status)["over_size"] == true
}

fn reason(status: &Value, name: &str) -> String {
    let members = status["virtual_databases"][0]["members"].as_array();
    let found = members.and_then(|members| members.iter().find(|member| member["name"] == name));
    found.and_then(|member| member["reason"].as_str()).unwrap_or_default().to_owned()
}
