//! Clients connect, write, COPY and leave again while members are taken out and brought back by an operator: a connection that was
//! being opened meanwhile belongs to nobody, a COPY reaches no member outside its transaction, and no client hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use futures::future::try_join_all;
use tokio::time::{sleep, timeout};

use super::crash_points::Bench;
use crate::checkers::hang_report;
use crate::cluster::ClusterOptions;
use crate::sql::Endpoint;
use crate::{Failure, Options, Result, Summary, fail};

/// What this scenario goes to.
pub(super) const POINTS: &[&str] = &["session.connected"];

/// Clients of each kind.
const CLIENTS: i32 = 3;
/// A client that waits longer hangs.
const HANG_LIMIT: Duration = Duration::from_secs(10);
/// A member is out, or back, within this time.
const STATE_LIMIT: Duration = Duration::from_secs(15);
/// Clients work for so long between two operations.
const PAUSE: Duration = Duration::from_millis(60);

/// No key: a row that is there twice must show.
const SCHEMA: &str =
    "create table churn_rows(client int, n int); create table churn_copied(client int, n int, row int)";
/// Rows of a COPY.
const COPIED: i32 = 20;
/// Every so many COPYs are rolled back.
const ROLLBACK_EVERY: i32 = 3;

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { listen: vec!["threads = 2".to_owned()], ..ClusterOptions::default() };
    let mut bench = Bench::start(&options, setup, POINTS, &[]).await?;
    bench.cluster.endpoint().execute(SCHEMA).await?;
    // Connections are given time to be overtaken by their member's leaving.
    bench
        .restart("session.connected:7:pause=400,session.connected:23:pause=700,session.connected:60:pause=1000")
        .await?;
    let stop = Arc::new(AtomicBool::new(false));
    let endpoint = bench.cluster.endpoint();
    let inserting = (0..CLIENTS).map(|n| tokio::spawn(inserts(endpoint.clone(), n, Arc::clone(&stop))));
    let copying = (0..CLIENTS).map(|n| tokio::spawn(copies(endpoint.clone(), n, Arc::clone(&stop))));
    let (inserting, copying): (Vec<_>, Vec<_>) = (inserting.collect(), copying.collect());
    let rounds = if options.cycles > 1 { options.cycles } else { 9 };
    for round in 0..rounds as usize {
        let name = bench.name((round + usize::try_from(options.seed)?) % bench.cluster.members.len());
        sleep(PAUSE).await;
        operate(&bench, "disable", &name).await?;
        bench.cluster.wait_for_state(&name, "disabled", STATE_LIMIT).await?;
        sleep(PAUSE).await;
        operate(&bench, "enable", &name).await?;
        if let Err(failure) = bench.cluster.wait_for_state(&name, "enabled", STATE_LIMIT).await {
            let (held, tail) = (hang_report(&bench.cluster).await, bench.cluster.proxy()?.log_tail(30));
            return fail(format!("round {round}: {failure}\n{held}\n{tail}"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let ended = async { Ok::<_, Failure>((sum(try_join_all(inserting).await?)?, sum(try_join_all(copying).await?)?)) };
    let Ok(done) = timeout(2 * HANG_LIMIT, ended).await else {
        return fail(format!("clients hang:\n{}", hang_report(&bench.cluster).await));
    };
    let (inserted, copied) =
        done.map_err(|e| e.during(bench.cluster.proxy().map_or_else(|e| e.to_string(), |p| p.log_tail(20))))?;
    bench.check("churn").await?;
    for member in &bench.cluster.members {
        let sql = "select (select count(*) from churn_rows) || ' ' || (select count(*) from churn_copied)";
        let found = member.endpoint().value(sql).await?;
        let wanted = format!("{inserted} {}", copied * i64::from(COPIED));
        if found != wanted {
            return fail(format!("{}: {found} rows, {wanted} were acknowledged", member.name()));
        }
    }
    Ok(Summary::default().with("rounds", rounds).with("inserted", inserted).with("copies", copied))
}

async fn operate(bench: &Bench, verb: &str, member: &str) -> Result<()> {
    match bench.cluster.proxy()?.member(&[verb, member]).await? {
        (Some(0), _) => Ok(()),
        (code, said) => fail(format!("member {verb} {member}: exit code {code:?}: {said}")),
    }
}

fn sum(results: Vec<Result<i64>>) -> Result<i64> {
    results.into_iter().sum()
}

/// A new connection for each row.
async fn inserts(endpoint: Endpoint, number: i32, stop: Arc<AtomicBool>) -> Result<i64> {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let one = async {
            let client = endpoint.connect().await?;
            client
                .batch_execute(&format!("insert into churn_rows values ({number}, {done})"))
                .await
                .map_err(Failure::from)
        };
        match timeout(HANG_LIMIT, one).await {
            Ok(result) => result?,
            Err(_) => return fail(format!("client {number} waits for its {done}th insert")),
        }
        done += 1;
    }
    Ok(done)
}

/// A COPY in each transaction; some are rolled back. A change of lead ends one with 40001.
async fn copies(endpoint: Endpoint, number: i32, stop: Arc<AtomicBool>) -> Result<i64> {
    let (mut done, mut n) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        match timeout(HANG_LIMIT, copy(&endpoint, number, n)).await {
            Ok(result) => done += i64::from(result?),
            Err(_) => return fail(format!("client {number} waits in its {n}th COPY")),
        }
    }
    Ok(done)
}

/// Whether it was committed.
async fn copy(endpoint: &Endpoint, number: i32, n: i32) -> Result<bool> {
    let mut client = endpoint.connect().await?;
    let rows: String = (0..COPIED).map(|row| format!("{number}\t{n}\t{row}\n")).collect();
    let result: std::result::Result<bool, tokio_postgres::Error> = async {
        let transaction = client.transaction().await?;
        let sink = transaction.copy_in("copy churn_copied from stdin").await?;
        tokio::pin!(sink);
        sink.send(Bytes::from(rows)).await?;
        sink.finish().await?;
        if n % ROLLBACK_EVERY == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        transaction.commit().await?;
        Ok(true)
    }
    .await;
    match result {
        Ok(committed) => Ok(committed),
        Err(error) if error.code().is_some_and(|code| code.code() == "40001") => Ok(false),
        Err(error) => Err(error.into()),
    }
}
