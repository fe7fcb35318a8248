//! The level that a transaction has is the one that its client has asked for, by whatever way, and its snapshot is not taken before the
//! client's own first query. A BEGIN in a block was ignored, AND CHAIN forgot SET TRANSACTION, a SET was taken for one that is in force,
//! a probe made the lead certify without what the transaction wrote later, and a setting took the snapshot.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::support::{outcome, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

const SCHEMA: &str = "create table chk(k int primary key, v int); insert into chk values (1, 0), (2, 0); \
     create function chk_f() returns int language plpgsql as $$ begin return 1; end $$";

/// What one session does, and what the last of it shows.
const SHOWN: &[(&[&str], &str)] = &[
    (&["begin", "begin isolation level serializable", "show transaction_isolation"], "serializable"),
    (&["begin", "select 1", "begin read only", "show transaction_read_only"], "on"),
    (
        &[
            "begin",
            "set transaction isolation level serializable",
            "select 1",
            "commit and chain",
            "show transaction_isolation",
        ],
        "serializable",
    ),
    (&["begin", "set transaction read only", "rollback and chain", "show transaction_read_only"], "on"),
    (
        &[
            "begin",
            "savepoint s",
            "set transaction read only",
            "rollback to s",
            "commit and chain",
            "show transaction_read_only",
        ],
        "off",
    ),
    (
        &[
            "begin",
            "set session characteristics as transaction read only",
            "commit and chain",
            "show transaction_read_only",
        ],
        "off",
    ),
    (&["begin isolation level repeatable read", "commit and chain", "show transaction_isolation"], "repeatable read"),
    (
        &[
            "set default_transaction_isolation = 'serializable'",
            "set session characteristics as transaction isolation level read committed",
            "set default_transaction_isolation = 'serializable'",
            "begin",
            "show transaction_isolation",
        ],
        "serializable",
    ),
    (
        &[
            "set session characteristics as transaction isolation level serializable",
            "reset default_transaction_isolation",
            "begin",
            "show transaction_isolation",
        ],
        "read committed",
    ),
    (
        &[
            "begin",
            "set search_path = public",
            "set transaction isolation level serializable",
            "insert into chk values (3, 0)",
            "show transaction_isolation",
        ],
        "serializable",
    ),
    (
        &[
            "begin isolation level repeatable read",
            "set local search_path = pg_catalog, public",
            "select count(*) from chk",
        ],
        "2",
    ),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute(SCHEMA).await?;
    for (script, wanted) in SHOWN {
        for extended in [false, true] {
            let client = session(&endpoint, "chk").await?;
            let mut shown = None;
            for sql in *script {
                shown = one(&client, sql, extended).await?;
            }
            if shown.as_deref() != Some(*wanted) {
                return fail(format!("{script:?}, extended: {extended}: {shown:?} in place of {wanted}"));
            }
        }
    }
    let (first, second) = (session(&endpoint, "chk first").await?, session(&endpoint, "chk second").await?);
    for extended in [false, true] {
        snapshot_behind_lock(&first, &second, extended).await?;
        for function in ["select chk_f()", "select 1"] {
            skew((&first, &second), function, extended).await?;
        }
    }
    cluster.expect_all_enabled().await
}

/// The value of the first row.
async fn one(client: &Client, sql: &str, extended: bool) -> Result<Option<String>> {
    if extended {
        let statement = client.prepare(sql).await?;
        let row = client.query(&statement, &[]).await?.into_iter().next();
        let text = |row: &tokio_postgres::Row| {
            row.try_get::<_, String>(0).or_else(|_| row.try_get::<_, i64>(0).map(|n| n.to_string())).ok()
        };
        return Ok(row.as_ref().and_then(text));
    }
    let messages = client.simple_query(sql).await?;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// PostgreSQL's manual: a lock that is taken before the first query keeps others from changing what that will see.
async fn snapshot_behind_lock(first: &Client, second: &Client, extended: bool) -> Result<()> {
    one(first, "begin isolation level repeatable read", extended).await?;
    one(first, "set local time zone 'Asia/Tokyo'", extended).await?;
    second.batch_execute("update chk set v = v + 1 where k = 1").await?;
    one(first, "lock table chk in share mode", extended).await?;
    let seen = one(first, "select v::text from chk where k = 1", extended).await?;
    first.batch_execute("commit").await?;
    let there = one(second, "select v::text from chk where k = 1", false).await?;
    if seen == there { Ok(()) } else { fail(format!("behind the lock {seen:?} was seen, and {there:?} is there")) }
}

/// Two that each read what the other writes: one of them is refused, whatever the first has run before.
async fn skew((first, second): (&Client, &Client), before: &str, extended: bool) -> Result<()> {
    one(first, "begin isolation level serializable", extended).await?;
    one(first, before, extended).await?;
    one(second, "begin isolation level serializable", extended).await?;
    one(second, "select v::text from chk where k = 1", extended).await?;
    one(first, "select v::text from chk where k = 2", extended).await?;
    first.batch_execute("update chk set v = v + 1 where k = 1").await?;
    let written = outcome(&second.batch_execute("update chk set v = v + 1 where k = 2").await);
    let ended = [outcome(&first.batch_execute("commit").await), outcome(&second.batch_execute("commit").await)];
    second.batch_execute("rollback").await?;
    if ended == ["ok", "ok"] && written == "ok" {
        return fail(format!("{before}, extended: {extended}: write skew was committed"));
    }
    Ok(())
}
