//! A name means a temporary table while there is one, and the ordinary one before and behind it: prepared statements, rollbacks,
//! savepoints, views that are temporary without saying so. A session whose connection to the lead is cut ends.

use std::time::Duration;

use tokio_postgres::Client;

use super::support::{code, expect_on_all, outcome, session, terminate};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    if cluster.proxy().is_err() {
        return fail("its session ends where one server's does not (--bare)");
    }
    endpoint.execute("create table tn(id int primary key)").await?;
    let client = session(&endpoint, "tn").await?;
    let insert = client.prepare("insert into tn values ($1)").await?;
    client.execute(&insert, &[&1]).await?;
    all(&client, &["create temp table tn(id int primary key)"]).await?;
    client.execute(&insert, &[&2]).await?;
    expect_on_all(&cluster.members, "select string_agg(id::text, ' ' order by id) from tn", "1").await?;
    all(&client, &["begin", "drop table tn"]).await?;
    client.execute(&insert, &[&3]).await?;
    all(&client, &["rollback"]).await?;
    client.execute(&insert, &[&4]).await?;
    all(&client, &["begin", "savepoint s", "drop table tn", "insert into tn values (5)", "rollback to s"]).await?;
    all(&client, &["insert into tn values (6)", "commit"]).await?;
    expect(&one(&client, "select string_agg(id::text, ' ' order by id) from tn").await?, "2 4 6")?;
    expect_on_all(&cluster.members, "select string_agg(id::text, ' ' order by id) from tn", "1").await?;
    for refused in [
        "create view tn_view as select * from tn",
        "set search_path = pg_temp; create table tn_hidden(i int)",
        "create function tn_f(tn) returns int language sql as 'select 1'",
        "lock table tn",
    ] {
        let answer = client.batch_execute(refused).await;
        expect(&outcome(&answer), "0A000").map_err(|e| e.during(refused))?;
        all(&client, &["rollback", "reset search_path"]).await?;
    }
    expect_on_all(&cluster.members, "select count(*) from pg_class where relname in ('tn_view', 'tn_hidden')", "0")
        .await?;
    all(&client, &["drop table tn", "insert into tn values (7)"]).await?;
    client.execute(&insert, &[&8]).await?;
    expect_on_all(&cluster.members, "select string_agg(id::text, ' ' order by id) from tn", "1 7 8").await?;
    all(&client, &["create temp table tn_last(i int)", "insert into tn_last values (1)"]).await?;
    terminate(&cluster.members[cluster.lead().await?], "tn").await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    match client.query_one("select count(*) from tn_last", &[]).await {
        Err(error) if matches!(code(&error).as_str(), "57P01" | "connection") => Ok(()),
        other => fail(format!("a session without its tables was told {other:?}")),
    }
}

async fn all(client: &Client, statements: &[&str]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(*statement))?;
    }
    Ok(())
}

async fn one(client: &Client, sql: &str) -> Result<String> {
    Ok(client.query_one(sql, &[]).await?.get(0))
}

fn expect(found: &str, wanted: &str) -> Result<()> {
    if found == wanted { Ok(()) } else { fail(format!("{found:?} in place of {wanted:?}")) }
}
