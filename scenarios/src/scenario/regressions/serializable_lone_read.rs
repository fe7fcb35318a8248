//! A read by itself, in a session whose default is SERIALIZABLE, ran on any member: what the lead certifies did not know of it. One that
//! has not seen an acknowledged write, and writes what the read has not seen, was let through; one PostgreSQL refuses it.

use tokio_postgres::Client;

use super::support::{outcome, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

const FUNCTION: &str =
    "create function slr_b() returns int language plpgsql as $$ begin return (select v from slr where k = 2); end $$";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute(&format!(
            "create table slr(k int primary key, v int); {FUNCTION}; insert into slr values (1, 0), (2, 0)"
        ))
        .await?;
    let (open, reader) = (session(&endpoint, "slr open").await?, session(&endpoint, "slr reader").await?);
    reader.batch_execute("set default_transaction_isolation = serializable").await?;
    // As often as there are members, since each may be the one that is asked.
    for (round, sql) in (0..3).flat_map(|_| ["select v from slr where k = 2", "select slr_b()"]).enumerate() {
        for extended in [false, true] {
            let ended = attempt((&open, &reader), sql, extended).await?;
            if ended != "40001" {
                return fail(format!("round {round}, {sql}, extended: {extended}: COMMIT says {ended}"));
            }
        }
    }
    cluster.expect_all_enabled().await
}

/// How the COMMIT of the open one ends.
async fn attempt((open, reader): (&Client, &Client), sql: &str, extended: bool) -> Result<String> {
    open.batch_execute("begin isolation level serializable").await?;
    open.query("select v from slr where k = 1", &[]).await?;
    open.batch_execute("update slr set v = v + 1 where k = 2").await?;
    // It is done before the read begins, and the open one has not seen it.
    reader.batch_execute("update slr set v = v + 1 where k = 1").await?;
    if extended {
        reader.query(sql, &[]).await?;
    } else {
        reader.batch_execute(sql).await?;
    }
    let ended = outcome(&open.batch_execute("commit").await);
    open.batch_execute("rollback").await?;
    Ok(ended)
}
