//! The rules one by one, on two connections.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

use crate::sql::{Endpoint, rows};
use crate::{Failure, Result, fail};

/// A lock that nobody holds any more is had within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs them all.
pub(super) async fn check(endpoint: &Endpoint) -> Result<()> {
    let (session, asker) = (endpoint.connect().await?, endpoint.connect().await?);
    committed_and_aborted(&session, &asker).await?;
    stalled(&session, &asker).await?;
    unknown(&session, &asker).await?;
    outside_of_blocks(&session, &asker).await?;
    refusals(&session).await?;
    no_parameter_types(&asker).await
}

/// Behind a restart of the proxy.
pub(super) async fn still_known(endpoint: &Endpoint) -> Result<()> {
    let asker = endpoint.connect().await?;
    for (token, outcome) in
        [("hand-1", "committed"), ("hand-2", "aborted"), ("it's 3", "aborted"), ("hand-5", "committed")]
    {
        expect(&asker, token, outcome).await?;
    }
    Ok(())
}

async fn outcome(asker: &Client, token: &str) -> Result<String> {
    let quoted = token.replace('\'', "''");
    let mut answers = Vec::new();
    for question in [format!("select raidb.outcome('{quoted}')"), format!("show raidb.outcome('{quoted}')")] {
        answers.push(rows(asker, &question).await?.concat().concat_text()?);
    }
    let row = asker.query_one("select raidb.outcome($1)", &[&token]).await?;
    answers.push(row.get("outcome"));
    answers.dedup();
    match &answers[..] {
        [one] => Ok(one.clone()),
        several => fail(format!("three questions about {token}, several answers: {several:?}")),
    }
}

trait OneText {
    fn concat_text(self) -> Result<String>;
}

impl OneText for Vec<Option<String>> {
    fn concat_text(self) -> Result<String> {
        let [Some(text)] = &self[..] else { return fail(format!("not one row of one text: {self:?}")) };
        Ok(text.clone())
    }
}

async fn expect(asker: &Client, token: &str, wanted: &str) -> Result<()> {
    let told = outcome(asker, token).await?;
    if told == wanted { Ok(()) } else { fail(format!("{token}: told {told}, wanted {wanted}")) }
}

async fn expect_error(client: &Client, sql: &str, sqlstate: &str) -> Result<()> {
    match client.batch_execute(sql).await {
        Err(error) if error.code().is_some_and(|code| code.code() == sqlstate) => Ok(()),
        other => fail(format!("{sql}: {other:?}, wanted {sqlstate}")),
    }
}

async fn committed_and_aborted(session: &Client, asker: &Client) -> Result<()> {
    session.batch_execute("begin; set local raidb.token = 'hand-1'; insert into unique_inserts values (1, 0)").await?;
    let own = rows(session, "show raidb.token").await?.concat().concat_text()?;
    if own != "hand-1" {
        return fail(format!("SHOW raidb.token says {own}"));
    }
    session.batch_execute("commit").await?;
    expect(asker, "hand-1", "committed").await?;
    session.batch_execute("begin; insert into unique_inserts values (2, 0); set raidb.token to 'hand-2'").await?;
    session.batch_execute("rollback").await?;
    expect(asker, "hand-2", "aborted").await?;
    expect_error(session, "set raidb.token = 'hand-1'", "42710").await?;
    expect_error(session, "set raidb.token = 'hand-2'", "42710").await?;
    // Nothing written, nothing lost.
    session.batch_execute("begin; set raidb.token = 'only read'; select 1 from unique_inserts; commit").await?;
    expect(asker, "only read", "committed").await
}

/// Its client says nothing more; who asks ends it, and gets its locks.
async fn stalled(session: &Client, asker: &Client) -> Result<()> {
    session.batch_execute("begin; set raidb.token = 'it''s 3'; insert into unique_inserts values (3, 0)").await?;
    expect(asker, "it's 3", "aborted").await?;
    let again = asker.batch_execute("insert into unique_inserts values (3, 1)");
    timeout(LIMIT, again).await.map_err(|_| Failure::new("the stalled session keeps its locks"))??;
    expect_error(session, "commit", "40001").await?;
    let row = rows(session, "select client from unique_inserts where key = 3").await?.concat().concat_text()?;
    if row != "1" {
        return fail("the stalled transaction was committed although it was told to be aborted");
    }
    // One that its client goes on with learns it at its next statement.
    session.batch_execute("begin; set raidb.token = 'hand-4'; insert into unique_inserts values (4, 0)").await?;
    expect(asker, "hand-4", "aborted").await?;
    expect_error(session, "insert into unique_inserts values (40, 0)", "40001").await?;
    expect_error(session, "select 1", "25P02").await?;
    session.batch_execute("rollback").await?;
    Ok(())
}

async fn unknown(session: &Client, asker: &Client) -> Result<()> {
    let told = outcome(asker, "nobody's").await?;
    if !told.starts_with("unknown, tokens are kept since 2") || !told.ends_with('Z') {
        return fail(format!("an unknown token: {told}"));
    }
    // A connection that comes to life again may not use it any more.
    expect_error(session, "begin; set raidb.token = 'nobody''s'; insert into unique_inserts values (6, 0)", "42710")
        .await?;
    session.batch_execute("rollback").await?;
    Ok(())
}

async fn outside_of_blocks(session: &Client, asker: &Client) -> Result<()> {
    session.batch_execute("set raidb.token = 'hand-5'").await?;
    session.batch_execute("select count(*) from unique_inserts").await?;
    session.execute("insert into unique_inserts values (5, 0)", &[]).await?;
    expect(asker, "hand-5", "committed").await?;
    let own = rows(session, "show raidb.token").await?.concat().concat_text()?;
    if !own.is_empty() {
        return fail(format!("a token is used once, and {own} is there still"));
    }
    session.batch_execute("set raidb.token = 'hand-6'").await?;
    expect_error(session, "insert into unique_inserts values (5, 0)", "23505").await?;
    expect(asker, "hand-6", "aborted").await?;
    session.batch_execute("insert into unique_inserts values (7, 0)").await?;
    for clear in ["reset raidb.token", "discard all", "reset all", "set raidb.token to default"] {
        session.batch_execute(&format!("set raidb.token = 'before {clear}'")).await?;
        session.batch_execute(clear).await?;
        session
            .batch_execute("insert into unique_inserts values (8, 0); delete from unique_inserts where key = 8")
            .await?;
        expect(asker, &format!("before {clear}"), "aborted").await?;
    }
    Ok(())
}

async fn refusals(session: &Client) -> Result<()> {
    for (sql, sqlstate) in [
        ("set raidb.token = ''", "22023"),
        ("set raidb.token = 'é'", "22023"),
        ("select raidb.outcome('x') from unique_inserts", "0A000"),
        ("select set_config('raidb.token', 'x', false)", "0A000"),
        ("begin; set raidb.token = 'r1'; set raidb.token = 'r1'; set raidb.token = 'r2'", "55000"),
        ("rollback; begin; set raidb.token = 'r3'; select raidb.outcome('r3')", "55000"),
        ("rollback; begin; set raidb.token = 'r4'; reset raidb.token", "55000"),
        ("set raidb.token = 'r5'", "25P02"),
    ] {
        expect_error(session, sql, sqlstate).await?;
    }
    session.batch_execute(&format!("rollback; set raidb.token = '{}'; reset raidb.token", "x".repeat(200))).await?;
    expect_error(session, &format!("set raidb.token = '{}'", "x".repeat(201)), "22023").await
}

/// In a transaction block it is harmless, and one portal may be described.
async fn no_parameter_types(asker: &Client) -> Result<()> {
    asker.batch_execute("begin").await?;
    let statement = asker.prepare("select raidb.outcome($1)").await?;
    let (parameters, columns) = (statement.params().len(), statement.columns().len());
    let row = asker.query_one(&statement, &[&"hand-1"]).await?;
    asker.batch_execute("commit").await?;
    if (parameters, columns, row.get::<_, &str>(0)) != (1, 1, "committed") {
        return fail(format!("asked in a block: {row:?}"));
    }
    Ok(())
}
