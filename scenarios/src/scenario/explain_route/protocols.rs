//! Both protocols, inside and outside of transaction blocks; nothing is executed.

use tokio_postgres::Client;

use super::super::regressions::support::outcome;
use super::expect_lines;
use crate::cluster::Cluster;
use crate::sql::rows;
use crate::{Result, fail};

/// Statements and what must be said of them.
const ROUTES: &[(&str, &[&str])] = &[
    ("select 1", &["class: read", "form: proven", "members: one of pg1, pg2, pg3"]),
    ("select er_write(1)", &["class: read", "form: probed", "the function er_write() writes", "READ ONLY"]),
    (
        "update er_keyed set v = v + 1 where id = 7",
        &["class: write", "form: keyed", "members: pg1 (lead), then pg2, pg3", "rows: public.er_keyed where id = 7"],
    ),
    (
        "insert into er_serial(v) values ('x')",
        &[
            "form: captured",
            "because: the lead alone can know the default of column \"id\"",
            "sequences: \"public\".\"er_serial_id_seq\"",
            "lead: insert into er_serial(v) values ('x') RETURNING (\"er_serial\".\"id\")::text",
            "INSERT INTO \"public\".\"er_serial\" (\"id\", \"v\") OVERRIDING SYSTEM VALUE VALUES ('…', '…')",
        ],
    ),
    (
        "delete from er_keyless where a = 1",
        &["form: locked", "locks first: LOCK TABLE \"public\".\"er_keyless\" IN SHARE ROW EXCLUSIVE MODE"],
    ),
    ("select * from er_keyed where v = 1 for update", &["class: row lock", "form: captured", "FOR UPDATE"]),
    ("create table er_never(id int)", &["class: utility", "rows: everything"]),
    ("set search_path = public", &["class: session", "every connection of the session"]),
    ("alter system set work_mem = '1GB'", &["class: refused", "members: none", "because:", "hint:"]),
    (
        "insert into er_triggered values (1, 1)",
        &["form: imaged", "members: pg1 (lead), then pg2, pg3", "has triggers of users", "followers: what the images"],
    ),
    ("call er_make('er_never')", &["class: write", "form: imaged"]),
    ("insert into er_always values (1, 1)", &["class: refused", "enabled ALWAYS", "severity: doubtful"]),
    ("prepare er_q as select 1", &["class: by name", "members: pg1 (lead)", "executed: read proven"]),
    ("select pg_advisory_xact_lock(1)", &["class: advisory lock", "form: of the transaction", "pg1 (lead), then"]),
    ("select pg_advisory_lock(1)", &["form: of the session", "every connection of the session"]),
    ("notify er_n", &["class: notification", "members: none"]),
    ("listen er_n", &["class: notification", "members: none"]),
    ("select * from er_nowhere", &["class: unknown", "relation \"er_nowhere\""]),
];

/// Returns how many routes were told.
pub(super) async fn run(cluster: &Cluster) -> Result<usize> {
    let client = cluster.endpoint().connect().await?;
    for (sql, wanted) in ROUTES {
        expect_lines(sql, &simple(&client, sql).await?, wanted)?;
        expect_lines(sql, &extended(&client, sql).await?, wanted)?;
    }
    parameters(&client).await?;
    blocks(&client).await?;
    prepared(&client).await?;
    if !rows(&client, "select 1 from pg_class where relname = 'er_never'").await?.is_empty() {
        return fail("the explained CREATE TABLE was executed");
    }
    Ok(2 * ROUTES.len())
}

async fn simple(client: &Client, sql: &str) -> Result<Vec<String>> {
    let rows = rows(client, &format!("EXPLAIN ROUTE {sql}")).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

async fn extended(client: &Client, sql: &str) -> Result<Vec<String>> {
    let rows = client.query(&format!("explain route {sql}"), &[]).await?;
    if rows.first().is_none_or(|row| row.columns()[0].name() != "ROUTE PLAN") {
        return fail(format!("{sql}: the column has another name, or there are no rows"));
    }
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn parameters(client: &Client) -> Result<()> {
    let sql = "explain route insert into er_keyed(id, v, at) values ($1, $2, '2026-01-01')";
    let rows = client.query(sql, &[&"1", &"2"]).await?;
    let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    expect_lines(sql, &lines, &["form: keyed", "rows: public.er_keyed where id = $1"])
}

/// In a block the lead does everything; a failed block takes nothing but its end; a block's own DDL counts.
async fn blocks(client: &Client) -> Result<()> {
    client.batch_execute("begin; create table er_own(id int primary key)").await?;
    let sql = "insert into er_own values (5)";
    expect_lines(sql, &simple(client, sql).await?, &["rows: public.er_own where id = 5"])?;
    let read = "select 1";
    expect_lines(read, &extended(client, read).await?, &["members: pg1 (lead), because a transaction is open"])?;
    if client.batch_execute("select 1 / 0").await.is_ok() {
        return fail("a division by zero succeeded");
    }
    let refused = [
        outcome(&client.batch_execute("explain route select 1").await),
        outcome(&client.query("explain route select 1", &[]).await),
    ];
    if refused != ["25P02", "25P02"] {
        return fail(format!("in a failed block: {refused:?}"));
    }
    client.batch_execute("rollback").await?;
    expect_lines(sql, &simple(client, sql).await?, &["class: unknown"])
}

async fn prepared(client: &Client) -> Result<()> {
    client.batch_execute("prepare er_p(int) as delete from er_keyed where id = $1").await?;
    let sql = "execute er_p(1)";
    expect_lines(sql, &simple(client, sql).await?, &["class: write", "form: keyed"])?;
    let missing = "execute er_none(1)";
    expect_lines(missing, &simple(client, missing).await?, &["class: refused", "\"er_none\" does not exist"])?;
    Ok(client.batch_execute("deallocate er_p").await?)
}
