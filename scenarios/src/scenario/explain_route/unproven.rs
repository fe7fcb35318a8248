//! `unsafe_statement`: refused under "reject", run on all members with a warning under "warn"; what is known to differ is
//! refused under both.

use super::super::regressions::support::{bind, error_code, execute, parse, query, sync};
use super::{WAITING, expect_lines};
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Refused only because nobody can tell; what is written adds one to the rows 1 to 5 of `er_audit`.
const DOUBTFUL: &[&str] = &[
    "insert into er_always values (1, 1)",
    "insert into er_always values (2, 1) returning id",
    "update er_always set v = v + 1 where v = 1",
    // These are imaged, and what they do shows that images do not help.
    "insert into er_outer values (3, 1)",
    "select er_make_and_write('er_made_a', 4)",
    "do $$ begin create table er_made_b(id int primary key); perform er_write(5); end $$",
    "insert into er_checked values (1, 1)",
    "select er_keyed.id from er_keyed join er_checked on true for update",
    "select * from er_keyless for update",
];

/// Refused, whatever the configuration says.
const IMPOSSIBLE: &[&str] = &[
    "insert into er_always values (8, extract(epoch from now())::int)",
    "select er_make_and_write('er_made_c', (random() * 10)::int)",
    "select er_make_and_write('er_made_c', nextval('er_serial_id_seq')::int)",
    "do $$ begin create table er_made_c(id int); insert into er_keyed values (9, (random() * 10)::int); end $$",
    "update er_always set v = 2 where current of er_cursor",
    "alter system set work_mem = '1GB'",
    "set session_replication_role = replica",
    "select lo_create(0)",
    "select pg_advisory_xact_lock(id) from er_keyed",
    "select er_lock()",
    "select er_set()",
    "copy er_triggered from stdin",
    "truncate er_always",
    "prepare er_q as insert into er_always values (1, 1)",
    "explain analyze insert into er_always values (9, 9)",
];

pub(super) async fn rejected(cluster: &Cluster) -> Result<()> {
    let mut raw = Raw::connect(&cluster.endpoint(), &[]).await?;
    // A row, so that UPDATE finds one.
    query(&mut raw, "insert into er_keyed values (0, 0, '2026-01-01')").await?;
    for sql in DOUBTFUL.iter().chain(IMPOSSIBLE) {
        refused(sql, &query(&mut raw, sql).await?)?;
    }
    Ok(())
}

/// Returns how many statements were run with a warning.
pub(super) async fn warned(cluster: &Cluster) -> Result<usize> {
    let mut raw = Raw::connect(&cluster.endpoint(), &[]).await?;
    query(&mut raw, "insert into er_keyed values (0, 0, '2026-01-01')").await?;
    // What images can say is not doubtful.
    for sql in ["insert into er_triggered values (30, 1)", "select er_write(30)"] {
        done_with(sql, &query(&mut raw, sql).await?, &[])?;
    }
    for sql in DOUBTFUL {
        done(sql, &query(&mut raw, sql).await?)?;
    }
    expect(cluster, "1:2 2:2 3:1 4:1 5:1 30:2").await?;
    for sql in IMPOSSIBLE {
        refused(sql, &query(&mut raw, sql).await?)?;
    }
    extended(&mut raw).await?;
    expect(cluster, "1:2 2:2 3:1 4:1 5:1 6:2 7:1 30:2").await?;
    transaction(&mut raw).await?;
    expect(cluster, "1:2 2:2 3:1 4:1 5:1 6:2 7:1 10:1 30:2 31:1").await?;
    let count = DOUBTFUL.len() + 6;
    counted(cluster, count).await?;
    ddl(&mut raw).await?;
    explained(&mut raw).await?;
    let waiting = waiting(cluster, &mut raw).await?;
    Ok(count + 1 + waiting)
}

/// Parameters; and a read that turns out to write, alone in its batch.
async fn extended(raw: &mut Raw) -> Result<()> {
    for (sql, parameters) in [
        ("insert into er_always values ($1, 1)", &["6"][..]),
        ("update er_always set v = v + 1 where id = $1 and v > 0", &["6"]),
        ("select er_make_and_write($1, $2)", &["er_made_d", "7"]),
    ] {
        parse(raw, sql).await?;
        bind(raw, parameters).await?;
        execute(raw).await?;
        done(sql, &sync(raw).await?)?;
    }
    parse(raw, "insert into er_always values (8, $1::timestamp::text::int)").await?;
    bind(raw, &["now"]).await?;
    execute(raw).await?;
    refused("a parameter that means the present time", &sync(raw).await?)
}

/// What is rolled back is gone everywhere, what is committed is everywhere; images and others side by side.
async fn transaction(raw: &mut Raw) -> Result<()> {
    query(raw, "begin").await?;
    done("in a block", &query(raw, "insert into er_always values (10, 1)").await?)?;
    query(raw, "savepoint s").await?;
    done("behind a savepoint", &query(raw, "insert into er_always values (11, 1)").await?)?;
    query(raw, "rollback to s").await?;
    done_with("imaged, behind it", &query(raw, "insert into er_triggered values (31, 1)").await?, &[])?;
    query(raw, "commit").await?;
    query(raw, "begin").await?;
    done("in a block to be rolled back", &query(raw, "insert into er_always values (12, 1)").await?)?;
    query(raw, "rollback").await?;
    query(raw, "begin isolation level repeatable read").await?;
    refused("under REPEATABLE READ", &query(raw, "insert into er_always values (13, 1)").await?)?;
    query(raw, "rollback").await?;
    Ok(())
}

/// A table that a procedure made is known to the next statement.
async fn ddl(raw: &mut Raw) -> Result<()> {
    done("a procedure that makes a table", &query(raw, "call er_make('er_made')").await?)?;
    done_with("the table that a procedure has made", &query(raw, "insert into er_made values (1)").await?, &[])
}

/// Triggers that wait for COMMIT run once on every member; where they could run twice on followers, nothing does.
async fn waiting(cluster: &Cluster, raw: &mut Raw) -> Result<usize> {
    cluster.endpoint().execute(WAITING).await?;
    let (imaged, unproven) = ("insert into er_waiting values (41, 1)", "insert into er_waiting_always values (40, 1)");
    done(unproven, &query(raw, unproven).await?)?;
    for (first, second) in [(imaged, unproven), (unproven, imaged)] {
        let second = second.replace("(4", "(5");
        query(raw, "begin").await?;
        query(raw, &first.replace("(4", "(6")).await?;
        refused(&second, &query(raw, &second).await?)?;
        query(raw, "rollback").await?;
    }
    done_with(imaged, &query(raw, imaged).await?, &[])?;
    expect(cluster, "1:2 2:2 3:1 4:1 5:1 6:2 7:1 10:1 30:2 31:1 40:1 41:1").await?;
    Ok(1)
}

async fn explained(raw: &mut Raw) -> Result<()> {
    let sql = "explain route insert into er_always values (1, 1)";
    let rows = query(raw, sql).await?;
    // One text column: two bytes of count, four of length.
    let line = |row: &Message| String::from_utf8_lossy(row.body.get(6..).unwrap_or_default()).into_owned();
    let lines: Vec<String> = rows.iter().filter(|message| message.kind == b'D').map(line).collect();
    expect_lines(sql, &lines, &["class: unproven", "locks first: LOCK TABLE", "not guaranteed:"])
}

fn refused(sql: &str, answers: &[Message]) -> Result<()> {
    match error_code(answers).as_deref() {
        Some("0A000") => Ok(()),
        other => fail(format!("{sql}: {other:?} in place of 0A000")),
    }
}

/// With one warning.
fn done(sql: &str, answers: &[Message]) -> Result<()> {
    done_with(sql, answers, &["01000"])
}

fn done_with(sql: &str, answers: &[Message], warnings: &[&str]) -> Result<()> {
    if let Some(error) = answers.iter().find(|message| message.kind == b'E') {
        return fail(format!("{sql}: {:?}", error.field(b'M')));
    }
    let told = answers.iter().filter(|message| message.kind == b'N');
    let codes: Vec<_> = told.filter_map(|warning| warning.field(b'C')).collect();
    if codes != warnings {
        return fail(format!("{sql}: warnings {codes:?} in place of {warnings:?}"));
    }
    Ok(())
}

/// What `er_audit` holds, on every member.
pub(super) async fn expect(cluster: &Cluster, wanted: &str) -> Result<()> {
    for member in &cluster.members {
        let found =
            member.endpoint().value("select string_agg(id || ':' || times, ' ' order by id) from er_audit").await?;
        if found != wanted {
            return fail(format!("er_audit on {}: {found} in place of {wanted}", member.name()));
        }
    }
    Ok(())
}

async fn counted(cluster: &Cluster, wanted: usize) -> Result<()> {
    let proxy = cluster.proxy()?;
    let metric = proxy.metric("raidb_unproven_statements_total").await?;
    let status = proxy.status().await?;
    let status = status["virtual_databases"][0]["counters"]["unproven_statements"].as_u64();
    if status != Some(wanted as u64) || format!("{metric}") != wanted.to_string() {
        return fail(format!("{wanted} unproven statements: /metrics says {metric}, /status {status:?}"));
    }
    Ok(())
}
