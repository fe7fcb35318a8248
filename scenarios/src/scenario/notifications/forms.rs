//! What one PostgreSQL says of LISTEN and NOTIFY.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::listener::Listener;
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::scenario::regressions::support::outcome;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Bytes that are sent to a listener that does not read; the proxy keeps 16 MiB for it.
const TOO_MUCH: usize = 24 << 20;
/// Longest wait for the end of its session.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the number of checks.
pub(super) async fn run(cluster: &Cluster, bare: bool) -> Result<usize> {
    let endpoint = cluster.endpoint();
    let mut listener = Listener::connect(&endpoint).await?;
    let sender = endpoint.connect().await?;
    sender.batch_execute("create table heard(id int primary key)").await?;
    listener.client.batch_execute("listen news; listen \"Other\"").await?;

    // Outside of transactions, in all forms.
    sender.batch_execute("notify news, 'one'; notify \"Other\"; select pg_notify('news', 'two')").await?;
    sender.query("select pg_notify($1, $2)", &[&"news", &"three"]).await?;
    sender.execute("notify news, 'four'", &[]).await?;
    sender.query("select pg_catalog.pg_notify('Other', $1::text) as told", &[&Option::<&str>::None]).await?;
    listener.expect(&["news:one", "Other:", "news:two", "news:three", "news:four", "Other:"]).await?;

    // In transactions: sent at COMMIT, not at all after a rollback, folded, undone with a savepoint.
    sender.batch_execute("begin; insert into heard values (1); notify news, 'kept'; savepoint s").await?;
    sender.batch_execute("notify news, 'undone'; rollback to s; notify news, 'kept'; notify news, 'last'").await?;
    listener.expect(&[]).await?;
    sender.batch_execute("commit").await?;
    listener.expect(&["news:kept", "news:last"]).await?;
    sender.batch_execute("begin; notify news, 'never'; rollback").await?;
    let failed = sender.batch_execute("notify news, 'never'; insert into heard values (1)").await;
    if outcome(&failed) != "23505" {
        return fail(format!("a message whose second statement fails: {failed:?}"));
    }
    listener.expect(&[]).await?;

    // LISTEN is part of its transaction too; UNLISTEN ends it; nothing comes inside a transaction.
    let client = &listener.client;
    client.batch_execute("begin; listen never; rollback; begin; listen later; commit; unlisten \"Other\"").await?;
    client.batch_execute("begin; select 1").await?;
    sender.batch_execute("notify never; notify later; notify \"Other\"").await?;
    listener.expect(&[]).await?;
    listener.client.batch_execute("commit").await?;
    listener.expect(&["later:"]).await?;

    // Its own, too, and before it is told that the statement is over.
    listener.client.batch_execute("notify later, 'own'").await?;
    listener.expect(&["later:own"]).await?;
    listener.client.batch_execute("unlisten *").await?;
    sender.batch_execute("notify news; notify later").await?;
    listener.expect(&[]).await?;

    let mut errors = 0;
    for (sql, wanted) in [
        ("select pg_notify('', 'x')", "22023"),
        ("select pg_notify(repeat('x', 64), 'x')", if bare { "22023" } else { "0A000" }),
        ("listen a b", "42601"),
    ] {
        let answer = sender.simple_query(sql).await;
        if outcome(&answer) != wanted {
            return fail(format!("{sql}: {answer:?} in place of {wanted}"));
        }
        errors += 1;
    }
    let long = "x".repeat(8000);
    if outcome(&sender.query("select pg_notify('news', $1)", &[&long]).await) != "22023" {
        return fail("a payload of 8000 bytes was taken");
    }
    process_ids(&endpoint).await?;
    if !bare {
        does_not_read(&endpoint, cluster).await?;
    }
    Ok(14 + errors)
}

/// The process id in a notification is the one that its sender was told.
async fn process_ids(endpoint: &Endpoint) -> Result<()> {
    let mut listener = Listener::connect(endpoint).await?;
    listener.client.batch_execute("listen pids").await?;
    let mut raw = Raw::open(endpoint).await?;
    raw.start_up(endpoint, &[]).await?;
    let messages = raw.until(b'Z').await?;
    let key = messages.iter().find(|message| message.kind == b'K').and_then(|message| message.body.first_chunk::<4>());
    let told = key.map(|bytes| i32::from_be_bytes(*bytes)).ok_or_else(|| Failure::new("no process id was told"))?;
    raw.query(b"notify pids").await?;
    raw.until(b'Z').await?;
    let notified = listener.next().await?.process_id();
    if told != notified { fail(format!("the sender is {told}, the notification says {notified}")) } else { Ok(()) }
}

/// A listener that does not read loses its session, and holds up neither the sender nor another listener.
async fn does_not_read(endpoint: &Endpoint, cluster: &Cluster) -> Result<()> {
    let mut listener = Listener::connect(endpoint).await?;
    listener.client.batch_execute("listen flood").await?;
    let mut idle = Raw::connect(endpoint, &[]).await?;
    idle.query(b"listen flood").await?;
    idle.until(b'Z').await?;
    let sender = endpoint.connect().await?;
    let statement = sender.prepare("select pg_notify('flood', $1)").await?;
    let payload = "x".repeat(7000);
    let count = TOO_MUCH / payload.len();
    let begun = Instant::now();
    for n in 0..count {
        sender.query(&statement, &[&format!("{n} {payload}")]).await?;
        let next = listener.next().await?;
        if !next.payload().starts_with(&format!("{n} ")) {
            return fail(format!("notification {n} of a flood is another one"));
        }
        if begun.elapsed() > LIMIT * 3 {
            return fail("a listener that does not read holds up the others");
        }
    }
    // What it was sent at last says why.
    let rest = timeout(LIMIT, idle.until_closed()).await;
    let rest: Vec<Message> = rest.map_err(|_| Failure::new("a listener that does not read stays connected"))??;
    sleep(Duration::from_millis(50)).await;
    let log = cluster.proxy()?.log_tail(50);
    if !log.contains("the client does not take its notifications") || rest.iter().any(|m| m.kind == b'Z') {
        return fail(format!("the end of a listener that does not read: {log}"));
    }
    Ok(())
}
