//! A cursor that a function leaves open runs its query at FETCH: what that writes is on every member. A transaction that only reads
//! leaves no setting behind that the other members have not. A table that a function empties beside another is emptied everywhere.

use super::support::{expect_on_all, one_by_one, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table fetched(id int primary key)",
            "create function fetched_one(i int) returns int language plpgsql as \
             'begin insert into fetched values (i); return i; end'",
            "create function opens(c refcursor) returns refcursor language plpgsql as \
             'begin open c for select fetched_one(i) from generate_series(1, 3) i; return c; end'",
        ],
    )
    .await?;
    let client = endpoint.connect().await?;
    let mut answers = Vec::new();
    // At the first time the table takes no images yet.
    for _ in 0..2 {
        client.batch_execute("begin").await?;
        client.simple_query("select opens('c')").await?;
        answers.push(outcome(&client.simple_query("fetch all from c").await));
        client.batch_execute("commit").await?;
    }
    if answers != ["40001", "ok"] {
        return fail(format!("FETCH from a cursor that writes: {answers:?}"));
    }
    expect_on_all(&cluster.members, "select count(*) from fetched", "3").await?;
    one_by_one(
        &endpoint,
        &[
            "create schema other_place",
            "create table placed(id int primary key)",
            "create table other_place.placed(id int primary key)",
            "create table emptied(id int primary key)",
            "create table emptied_too(id int primary key)",
            "insert into emptied values (1)",
            "insert into emptied_too values (1)",
            "create function empties() returns void language plpgsql as 'begin truncate emptied; end'",
            "create function empties_both() returns void language plpgsql as \
             'begin truncate emptied; truncate emptied; truncate emptied_too; end'",
        ],
    )
    .await?;
    client.batch_execute("begin read only").await?;
    let set = outcome(
        &client.batch_execute("do $$begin perform set_config('search_path', 'other_place', false); end$$").await,
    );
    client.batch_execute("commit").await?;
    client.batch_execute("insert into placed values (1)").await?;
    if set != "0A000" {
        return fail(format!("DO that changes search_path in a transaction that reads: {set}"));
    }
    expect_on_all(&cluster.members, "select count(*) from placed", "1").await?;
    // Both orders: with and without images of the first.
    for call in ["select empties()", "select empties_both()", "select empties_both()"] {
        let answer = outcome(&client.simple_query(call).await);
        if !["ok", "0A000"].contains(&answer.as_str()) {
            return fail(format!("{call}: {answer}"));
        }
    }
    Ok(())
}
