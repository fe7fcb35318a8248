//! The lead is killed while sessions have temporary tables: they go on, in a transaction and out of one. A member that has come back
//! lacks the tables: if it has to lead, the session ends.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use super::support::{code, expect_on_all, session};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

/// A member that was restarted is back within this time.
const BACK_LIMIT: Duration = Duration::from_secs(8);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table tok(id int primary key, a text)").await?;
    let idle = session(&endpoint, "tok_idle").await?;
    let inside = session(&endpoint, "tok_inside").await?;
    let short = session(&endpoint, "tok_short").await?;
    for client in [&idle, &inside] {
        all(
            client,
            &[
                "create temp table mine(id serial primary key, a text)",
                "create temp table plain(i int, r float default random())",
                "create temp table tok_copy as select g as id, random() as r from generate_series(1, 5) g",
                "insert into mine(a) values ('a'), ('b')",
                "insert into plain(i) select g from generate_series(1, 3) g",
                "update plain set i = i + 10 where i > 1",
            ],
        )
        .await?;
    }
    all(&inside, &["begin", "insert into mine(a) values ('c')", "insert into tok select id, a from mine"]).await?;
    all(&short, &["begin", "create temp table brief(i int) on commit drop", "insert into brief values (1), (2)"])
        .await?;
    let sums =
        "select round(sum(r)::numeric, 6)::text || '/' || (select round(sum(r)::numeric, 6) from tok_copy) from plain";
    let before = [one(&idle, sums).await?, one(&inside, sums).await?];
    let lead = cluster.lead().await?;
    cluster.members[lead].kill_9()?;
    all(
        &inside,
        &[
            "insert into mine(a) values ('d')",
            "update tok set a = tok.a || mine.a from mine where mine.id = tok.id",
            "delete from plain where i = 12",
            "commit",
        ],
    )
    .await?;
    all(&short, &["insert into tok select i + 100, 'brief' from brief", "commit"]).await?;
    expect(&one(&idle, sums).await?, &before[0])?;
    expect(&one(&inside, "select string_agg(id || a, ' ' order by id) from mine").await?, "1a 2b 3c 4d")?;
    expect(&one(&idle, "insert into mine(a) values ('c') returning id::text").await?, "3")?;
    expect(&one(&inside, "select string_agg(i::text, ' ' order by i) from plain").await?, "1 13")?;
    let gone = short.simple_query("select * from brief").await;
    expect(&gone.err().as_ref().map(code).unwrap_or_default(), "42P01")?;
    expect_on_all(&cluster.members, "select string_agg(id || a, ' ' order by id) from tok", ROWS).await?;
    // Back, and without the tables.
    let name = cluster.members[lead].name().to_owned();
    cluster.members[lead].restart().await?;
    cluster.wait_for_state(&name, "enabled", BACK_LIMIT).await?;
    all(&idle, &["insert into mine(a) values ('d')", "begin", "delete from mine where id = 1"]).await?;
    all(&idle, &["insert into tok select id + 200, a from mine", "commit"]).await?;
    expect_on_all(&cluster.members, "select count(*) from tok where id > 200", "3").await?;
    let second = cluster.lead().await?;
    cluster.members[second].kill_9()?;
    sleep(Duration::from_millis(100)).await;
    let lacks = cluster.lead().await? == lead;
    let count = one(&idle, "select count(*)::text from mine").await;
    match (lacks, count) {
        (false, Ok(count)) => expect(&count, "3"),
        (true, Err(failure)) if failure.to_string().contains("57P01") => Ok(()),
        (true, Err(failure)) if failure.to_string().contains("connection") => Ok(()),
        (lacks, count) => fail(format!("the new lead lacks the tables: {lacks}; the session was told {count:?}")),
    }
}

const ROWS: &str = "1aa 2bb 3cc 101brief 102brief";

async fn all(client: &Client, statements: &[&str]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(*statement))?;
    }
    Ok(())
}

async fn one(client: &Client, sql: &str) -> Result<String> {
    match client.query_one(sql, &[]).await {
        Ok(row) => Ok(row.get(0)),
        Err(error) => fail(format!("{sql}: {}: {error}", code(&error))),
    }
}

fn expect(found: &str, wanted: &str) -> Result<()> {
    if found == wanted { Ok(()) } else { fail(format!("{found:?} in place of {wanted:?}")) }
}
