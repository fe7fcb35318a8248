//! Functions that take or give back advisory locks behind the proxy's back are refused, and nobody else pays for them.

use std::time::Duration;

use tokio::time::timeout;

use super::support::{one_by_one, outcome};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

const LIMIT: Duration = Duration::from_secs(4);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create function takes(k bigint) returns void language plpgsql as 'begin perform pg_advisory_lock(k); end'",
            "create function gives(k bigint) returns void language plpgsql as 'begin perform pg_advisory_unlock(k); end'",
        ],
    )
    .await?;
    let taker = endpoint.connect().await?;
    let taken = outcome(&taker.simple_query("select takes(77002)").await);
    let giver = endpoint.connect().await?;
    giver.simple_query("select pg_advisory_lock(77003)").await?;
    let given = outcome(&giver.simple_query("select gives(77003)").await);
    let other_giver = endpoint.connect().await?;
    other_giver.simple_query("select pg_advisory_lock(77004)").await?;
    other_giver.simple_query("begin").await?;
    let given_in_block = outcome(&other_giver.simple_query("select gives(77004)").await);
    if [&taken, &given, &given_in_block].iter().any(|answer| **answer != "0A000") {
        return fail(format!("locks in functions: taken {taken}, given back {given}, in a block {given_in_block}"));
    }
    // A function that fails behind it gives back all the same, and one in a transaction that only reads.
    endpoint
        .execute(
            "create function gives_and_fails(k bigint) returns void language plpgsql as \
             'begin perform pg_advisory_unlock(k); raise exception ''so''; end'",
        )
        .await?;
    let fails = endpoint.connect().await?;
    fails.simple_query("select pg_advisory_lock(77005)").await?;
    let failed = outcome(&fails.simple_query("select gives_and_fails(77005)").await);
    let reader = endpoint.connect().await?;
    reader.simple_query("select pg_advisory_lock(77006)").await?;
    reader.simple_query("begin read only").await?;
    let read = outcome(&reader.simple_query("do $$begin perform pg_advisory_unlock(77006); end$$").await);
    if (failed.as_str(), read.as_str()) != ("P0001", "0A000") {
        return fail(format!("a function that fails: {failed}; in a transaction that reads: {read}"));
    }
    // The next one gets each of them soon, on every member: nobody is left with a lock that is given back.
    let next = endpoint.connect().await?;
    for key in 77002..=77006 {
        let lock = format!("select pg_advisory_lock({key})");
        timeout(LIMIT, next.simple_query(&lock)).await.map_err(|_| Failure::new(format!("{lock} waits")))??;
    }
    Ok(())
}
