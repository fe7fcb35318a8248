//! What a query that feeds a write does behind its text: aggregates (which are all stored as immutable), policies, views of built-in
//! functions that write. And tables made from queries, of values that followers could not read back.

use super::support::{expect_on_all, one_by_one, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table fed(id int primary key, n int)",
            "create table fed_log(id int primary key)",
            "create function fed_note(s int, i int) returns int language plpgsql as \
             'begin insert into fed_log values (i); return coalesce(s, 0) + i; end'",
            "create aggregate fed_all(int) (sfunc = fed_note, stype = int)",
            "create view fed_view as select lo_create(0) as o",
            "create domain never_null as int not null",
            "create table with_domain(id int primary key, d never_null)",
            "insert into with_domain values (2, 5)",
        ],
    )
    .await?;
    let client = endpoint.connect().await?;
    // Refused, or done by all.
    client.batch_execute("insert into fed select 1, fed_all(i) from generate_series(1, 3) i").await?;
    expect_on_all(&cluster.members, "select count(*) from fed_log", "3").await?;
    let made = outcome(
        &client.batch_execute("create table made_of_it as select fed_all(i) from generate_series(4, 5) i").await,
    );
    let viewed = outcome(&client.batch_execute("create table made_of_view as select o from fed_view").await);
    let objects =
        outcome(&client.batch_execute("create table made_of_names as select aggfnoid from pg_aggregate").await);
    let domain =
        "create table made_of_nulls as select g, w.d from generate_series(1, 2) g left join with_domain w on w.id = g";
    let nulls = outcome(&client.batch_execute(domain).await);
    // READ ONLY keeps no large object from being made.
    let seen = outcome(&client.simple_query("select o from fed_view").await);
    if seen != "0A000" {
        return fail(format!("SELECT from a view that writes: {seen}"));
    }
    if [&made, &viewed, &objects, &nulls].iter().any(|answer| **answer != "0A000") {
        return fail(format!(
            "CREATE TABLE AS of an aggregate that writes: {made}, a view that writes: {viewed}, names of objects: \
             {objects}, a domain's NULLs: {nulls}"
        ));
    }
    let objects = "select count(*) from pg_largeobject_metadata";
    expect_on_all(&cluster.members, objects, "0").await?;
    // The lead takes such a NULL, and followers could not: nobody is taken out for that.
    for insert in
        ["insert into with_domain select 10 + g, w.d from generate_series(1, 2) g left join with_domain w on w.id = g"]
    {
        let answer = outcome(&client.batch_execute(insert).await);
        if answer != "0A000" {
            return fail(format!("{insert}: {answer}"));
        }
    }
    // DDL that is undone says nothing about what comes.
    client.batch_execute("create table undone(id int primary key, at timestamptz default clock_timestamp())").await?;
    client.batch_execute("begin; savepoint s").await?;
    client.batch_execute("alter table undone alter at set default null").await?;
    client.batch_execute("rollback to s").await?;
    client.batch_execute("insert into undone(id) values (1)").await?;
    client.batch_execute("commit").await?;
    Ok(())
}
