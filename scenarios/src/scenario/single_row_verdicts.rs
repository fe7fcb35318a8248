//! Short transactions, which go to followers as a whole, behind their decision: order and verdict hold there too.
//!
//! Rows are changed behind the proxy's back, on one member alone. A statement that then finds another number of
//! rows must lead to the right verdict: a wrong follower is disabled and the client notices nothing; a lead that all
//! others contradict is disabled, though it has committed, and the client is told 40001. And under load, with slow
//! followers, nobody is disabled at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Delay};
use crate::sql::Endpoint;
use crate::{Options, Result, Summary, fail};

const SCHEMA: &str = "create table counters(id int primary key, v int not null); \
     create table named(id int primary key, name text unique, v int not null); \
     insert into counters select g, 0 from generate_series(1, 5) g; \
     insert into named select g, 'n' || g, 0 from generate_series(1, 5) g";

pub(super) async fn run(options: Options) -> Result<Summary> {
    let updates = under_load(&options).await?;
    wrong_follower(&options).await?;
    wrong_lead(&options).await?;
    Ok(Summary::default().with("updates", updates))
}

/// A follower lacks a row, and another has one too many.
async fn wrong_follower(options: &Options) -> Result<()> {
    let cluster = Cluster::start(options, ClusterOptions::default()).await?;
    let (endpoint, lead) = (cluster.endpoint(), cluster.lead().await?);
    endpoint.execute(SCHEMA).await?;
    let wrong = &cluster.members[(lead + 1) % 3];
    wrong.endpoint().execute("delete from counters where id = 3").await?;
    endpoint.execute("update counters set v = v + 1 where id = 3").await?;
    cluster.wait_for_state(wrong.name(), "disabled", Duration::from_secs(4)).await?;
    let left = cluster.enabled().await?;
    if left.len() != 2 {
        return fail(format!("{} members are left", left.len()));
    }
    members_equal(&left, EqualityOptions::default()).await?;
    // With two, a tie goes to the lead: a row that a follower alone has makes the insert fail there.
    let other = &cluster.members[(lead + 2) % 3];
    other.endpoint().execute("insert into counters values (77, 7)").await?;
    endpoint.execute("insert into counters values (77, 0)").await?;
    cluster.wait_for_state(other.name(), "disabled", Duration::from_secs(4)).await?;
    match endpoint.value("select v from counters where id = 77").await?.as_str() {
        "0" => Ok(()),
        found => fail(format!("the lead's row should stand: {found}")),
    }
}

/// The lead has a row that nobody else has.
async fn wrong_lead(options: &Options) -> Result<()> {
    let cluster = Cluster::start(options, ClusterOptions::default()).await?;
    let (endpoint, lead) = (cluster.endpoint(), cluster.lead().await?);
    endpoint.execute(SCHEMA).await?;
    let wrong = &cluster.members[lead];
    wrong.endpoint().execute("insert into counters values (99, 9)").await?;
    let client = endpoint.connect().await?;
    let answer = client.batch_execute("update counters set v = v + 1 where id = 99").await;
    let code = answer.as_ref().err().and_then(|e| e.code()).map(|c| c.code().to_owned());
    if code.as_deref() != Some("40001") {
        return fail(format!("an update that two of three members contradict: {answer:?}"));
    }
    cluster.wait_for_state(wrong.name(), "disabled", Duration::from_secs(4)).await?;
    // The session goes on, on the members that are left.
    client.batch_execute("update counters set v = v + 1 where id = 1").await?;
    let left = cluster.enabled().await?;
    if left.len() != 2 {
        return fail(format!("{} members are left", left.len()));
    }
    members_equal(&left, EqualityOptions::default()).await.map(drop)
}

/// Many clients, few rows, slow followers: by primary key, by another unique key, inserts and deletes.
async fn under_load(options: &Options) -> Result<u64> {
    let setup = ClusterOptions {
        follower_delay: Some(Delay { probability: 0.5, least: Duration::ZERO, longest: Duration::from_millis(6) }),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options, setup).await?;
    cluster.endpoint().execute(SCHEMA).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..8).map(|n| tokio::spawn(client(cluster.endpoint(), options.seed * 100 + n, Arc::clone(&stop)))).collect();
    sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for client in clients {
        done += client.await??;
    }
    cluster.expect_all_enabled().await?;
    let members: Vec<_> = cluster.members.iter().collect();
    members_equal(&members, EqualityOptions::default()).await?;
    Ok(done)
}

async fn client(endpoint: Endpoint, seed: u64, stop: Arc<AtomicBool>) -> Result<u64> {
    let client = endpoint.connect().await?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let (id, v) = (random.random_range(1..=5), random.random_range(0..1000));
        let sql = match random.random_range(0..6) {
            0 => format!("update counters set v = {v} where id = {id}"),
            1 => format!("update named set v = {v} where name = 'n{id}'"),
            2 => format!("update named set v = {v} where id = {id}"),
            3 => format!("insert into counters values ({}, {v})", 10 + id),
            4 => format!("delete from counters where id = {}", 10 + id),
            _ => format!(
                "begin; update counters set v = {v} where id = {id}; update named set v = {v} where id = {id}; commit"
            ),
        };
        match client.batch_execute(&sql).await {
            Ok(()) => done += 1,
            // The key is there already.
            Err(error) if error.code().is_some_and(|c| c.code() == "23505") => {}
            Err(error) => return fail(format!("{sql}: {error:?}")),
        }
    }
    Ok(done)
}
