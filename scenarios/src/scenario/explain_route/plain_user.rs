//! A user who may not set `session_replication_role`, without which followers could not apply images: what else would run imaged
//! runs as it is.

use super::unproven::expect;
use crate::cluster::{Cluster, ProxyUser};
use crate::sql::Endpoint;
use crate::{Result, fail};

/// The user, on the proxy and on the members.
const NAME: &str = "er_plain";
const PASSWORD: &str = "er-secret";

/// What each owner of tables needs.
const RIGHTS: &str = "create role er_plain login;\
    grant create, usage on schema public to er_plain;\
    alter table er_triggered owner to er_plain; alter table er_audit owner to er_plain; alter table er_keyed owner to er_plain";

/// Each adds one to a row of `er_audit`.
const STATEMENTS: &[&str] = &[
    "insert into er_triggered values (1, 1)",
    "insert into er_triggered values (2, 1) returning id",
    "update er_triggered set v = v + 1 where v = 1",
    "select er_write(3)",
    "update er_keyed set v = er_write(4) where id = 0",
    "do $$ begin perform er_write(5); end $$",
    "with w as (insert into er_audit values (6, 1) returning id) select id from w",
];

/// Those of the virtual database: the first one makes the schema.
pub(super) fn users() -> Vec<ProxyUser> {
    let user = |name: &str| ProxyUser {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
        member_user: name.to_owned(),
        member_password: PASSWORD.to_owned(),
    };
    vec![user("postgres"), user(NAME)]
}

/// Returns how many statements were run.
pub(super) async fn run(cluster: &Cluster) -> Result<usize> {
    cluster.endpoint().execute(RIGHTS).await?;
    cluster.endpoint().execute("insert into er_keyed values (0, 0, '2026-01-01')").await?;
    let plain = Endpoint { user: NAME.to_owned(), ..cluster.endpoint() };
    for sql in STATEMENTS {
        plain.execute(sql).await.map_err(|e| e.during(*sql))?;
    }
    expect(cluster, "1:2 2:2 3:1 4:1 5:1 6:1").await?;
    let client = plain.connect().await?;
    for sql in ["select er_write(3)", "insert into er_triggered values (7, 1)"] {
        client.query(sql, &[]).await?;
    }
    // A text of that kind is known to write by now.
    client.batch_execute("begin; select er_write(3); savepoint s; select er_write(8); rollback to s; commit").await?;
    expect(cluster, "1:2 2:2 3:3 4:1 5:1 6:1 7:1").await?;
    let unproven = cluster.proxy()?.metric("raidb_unproven_statements_total").await?;
    let count = STATEMENTS.len() + 4;
    if format!("{unproven}") != count.to_string() {
        return fail(format!("{count} statements were run, and the metric says {unproven}"));
    }
    Ok(count)
}
