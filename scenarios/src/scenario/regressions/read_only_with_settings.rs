//! Transactions that write nothing, but have savepoints, settings or locks: as READ ONLY ones they took a healthy lead out, since its
//! marker could not be written there. What they set for the session holds on every member.

use tokio_postgres::Client;

use super::support::{expect_on_all, outcome, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Statements of one session, and how the last one ends (the others succeed).
const CASES: &[(&[&str], &str)] = &[
    (&["begin read only", "savepoint a", "select 1", "commit"], "ok"),
    (&["begin read only", "savepoint a", "release a", "commit"], "ok"),
    (&["begin read only", "set local work_mem = '8MB'", "select 1", "commit"], "ok"),
    (&["begin isolation level repeatable read read only", "set lc_time = 'C'", "commit"], "ok"),
    (&["begin isolation level serializable read only", "savepoint a", "commit"], "ok"),
    (&["begin read only", "lock table rs in access share mode", "select count(*) from rs", "commit"], "ok"),
    (&["begin read only", "set constraints all deferred", "commit"], "ok"),
    (&["begin", "select * from rs where id = 1 for update", "commit"], "ok"),
    (&["begin", "set transaction read only", "savepoint a", "commit"], "ok"),
    (&["begin read only", "savepoint a", "insert into rs values (2)"], "25006"),
    (&["rollback to a", "set lc_time = 'POSIX'", "commit"], "ok"),
    (&["set session characteristics as transaction read only", "begin", "savepoint a", "commit"], "ok"),
    (&["set session characteristics as transaction read write", "insert into rs values (3)"], "ok"),
    (
        &["begin", "savepoint a", "insert into rs values (4)", "rollback to a", "set transaction read only", "commit"],
        "ok",
    ),
];
/// What PostgreSQL would let through.
const REFUSED: &[(&[&str], &str)] = &[
    (&["begin", "insert into rs values (5)", "set transaction read only", "commit"], "0A000"),
    (
        &["begin", "insert into rs values (7)", "savepoint a", "set transaction read only", "rollback to a", "commit"],
        "ok",
    ),
    (
        &[
            "begin",
            "insert into rs values (8)",
            "set transaction read only",
            "savepoint a",
            "set transaction read only",
            "rollback to a",
            "commit",
        ],
        "0A000",
    ),
    (&["begin", "do $$ begin insert into rs values (6); set local transaction_read_only = on; end $$"], "0A000"),
    (
        &[
            "rollback",
            "begin read only",
            "set local raidb.token = '018f3b5e-0000-7000-8000-000000000001'",
            "savepoint a",
            "commit",
        ],
        "ok",
    ),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table rs(id int primary key); insert into rs values (1)").await?;
    let client = session(&endpoint, "rs").await?;
    all(&client, CASES).await?;
    let lc_time: String = client.query_one("show lc_time", &[]).await?.get(0);
    if lc_time != "POSIX" {
        return fail(format!("a setting of a READ ONLY transaction is {lc_time:?} behind it"));
    }
    if cluster.proxy().is_ok() {
        all(&client, REFUSED).await?;
    }
    expect_on_all(
        &cluster.members,
        "select string_agg(id::text, ' ' order by id) from rs",
        if cluster.proxy().is_ok() { "1 3 7" } else { "1 3" },
    )
    .await
}

async fn all(client: &Client, cases: &[(&[&str], &str)]) -> Result<()> {
    for (statements, wanted) in cases {
        for (n, statement) in statements.iter().enumerate() {
            let found = outcome(&client.batch_execute(statement).await);
            let wanted = if n + 1 == statements.len() { wanted } else { &"ok" };
            if found != *wanted {
                return fail(format!("{statement} of {statements:?}: {found} in place of {wanted}"));
            }
        }
    }
    Ok(())
}
