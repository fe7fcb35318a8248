//! An error before a Flush is told at the Flush: psycopg's executemany() with results sends Sync only behind it.

use std::time::Duration;

use tokio::time::timeout;

use super::support::{bind, execute, expect_on_all, kinds, parse, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Longest time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table flushed(i int primary key); insert into flushed values (1)").await?;
    for block in [false, true] {
        for (statements, wanted) in [
            (["selec 1", "select 1"], "E"),
            (["insert into flushed values (2)", "insert into nowhere values (1)"], "12CE"),
            (["insert into flushed values (3)", "insert into flushed values (1)"], "12C12E"),
            (["select 1", "select 1/0"], "12DC1E"),
        ] {
            told_at_flush(&endpoint, block, statements, wanted).await?;
        }
    }
    expect_on_all(&cluster.members, "select count(*) from flushed", "1").await
}

async fn told_at_flush(endpoint: &Endpoint, block: bool, statements: [&str; 2], wanted: &str) -> Result<()> {
    let mut raw = Raw::connect(endpoint, &[]).await?;
    if block {
        raw.query(b"begin").await?;
        raw.until(b'Z').await?;
    }
    for sql in statements {
        parse(&mut raw, sql).await?;
        bind(&mut raw, &[]).await?;
        execute(&mut raw).await?;
    }
    raw.send(b'H', b"").await?;
    let answers = timeout(ANSWER_LIMIT, raw.until(b'E')).await;
    let answers = answers.map_err(|_| Failure::new(format!("no error at the Flush behind {statements:?}")))??;
    // Nothing is told twice.
    let rest = sync(&mut raw).await?;
    if kinds(&answers) != wanted || kinds(&rest) != "Z" {
        return fail(format!("{statements:?} were answered by {} and {}", kinds(&answers), kinds(&rest)));
    }
    Ok(())
}
