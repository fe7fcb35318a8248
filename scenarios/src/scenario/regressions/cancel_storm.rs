//! Cancel requests as fast as they can be sent: only 57014, nobody disabled, every row counts what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use super::support::{expect_on_all, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

const CLIENTS: usize = 4;
const LENGTH: Duration = Duration::from_secs(5);

/// Costs the server some milliseconds, so that a request can arrive before the end.
const SLOW: &str = "and (select count(*) from generate_series(1, 20000)) > 0";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table cs(id int primary key, v int); insert into cs values (99, 0)").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut tokens, mut clients) = (Vec::new(), Vec::new());
    for id in 0..CLIENTS {
        endpoint.execute(&format!("insert into cs values ({id}, 0)")).await?;
        let client = endpoint.connect().await?;
        tokens.push(client.cancel_token());
        clients.push(tokio::spawn(update(client, id, Arc::clone(&stop))));
    }
    let begun = Instant::now();
    while begun.elapsed() < LENGTH {
        for token in &tokens {
            // Whether it is heard shows in the clients.
            let _ = token.cancel_query(NoTls).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut own, mut shared, mut cancelled) = (Vec::new(), 0, 0);
    for client in clients {
        let counts = client.await??;
        own.push(counts.own.to_string());
        shared += counts.shared;
        cancelled += counts.cancelled;
    }
    if cancelled == 0 {
        return fail("no statement was cancelled");
    }
    let values = "select string_agg(v::text, ',' order by id) from cs";
    expect_on_all(&cluster.members, values, &format!("{},{shared}", own.join(","))).await
}

/// What one client was told.
#[derive(Debug, Default)]
struct Counts {
    own: u64,
    shared: u64,
    cancelled: u64,
}

/// Updates, in turn: its own row, the row of all, its own row slowly.
async fn update(client: Client, id: usize, stop: Arc<AtomicBool>) -> Result<Counts> {
    let mut counts = Counts::default();
    for (id, more) in [(id, ""), (99, ""), (id, SLOW)].into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = client.simple_query(&format!("update cs set v = v + 1 where id = {id} {more}")).await;
        match outcome(&answer).as_str() {
            "ok" if id == 99 => counts.shared += 1,
            "ok" => counts.own += 1,
            "57014" => counts.cancelled += 1,
            _ => return fail(format!("after {counts:?}: {answer:?}")),
        }
    }
    Ok(counts)
}
