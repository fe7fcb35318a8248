//! What the cases share: sessions that can be told apart on the members, backends that end, messages by hand.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use crate::clients::{Message, Raw};
use crate::cluster::{Cluster, Member};
use crate::sql::Endpoint;
use crate::{Result, fail};

/// How long a lock wait, or a backend, may take to be seen.
const SEEN_LIMIT: Duration = Duration::from_secs(5);
/// How long a member may take to leave, or to come back.
const STATE_LIMIT: Duration = Duration::from_secs(6);

/// A session whose backends on the members are called `name`.
pub(in super::super) async fn session(endpoint: &Endpoint, name: &str) -> Result<Client> {
    let (client, connection) = endpoint.config().application_name(name).connect(NoTls).await?;
    tokio::spawn(async move {
        // The client's own call reports the error.
        let _ = connection.await;
    });
    Ok(client)
}

/// Runs statements that do not go in one message.
pub(super) async fn one_by_one(endpoint: &Endpoint, statements: &[&str]) -> Result<()> {
    for statement in statements {
        endpoint.execute(statement).await.map_err(|failure| failure.during(*statement))?;
    }
    Ok(())
}

/// Ends the backends of the session `name` on `member`.
pub(in super::super) async fn terminate(member: &Member, name: &str) -> Result<()> {
    let sql = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where application_name = '{name}' and datname = current_database() and usename = 'postgres'"
    );
    let begun = Instant::now();
    while member.endpoint().value(&sql).await? == "0" {
        if begun.elapsed() > SEEN_LIMIT {
            return fail(format!("session {name} has no backend on {}", member.name()));
        }
    }
    Ok(())
}

/// Waits until the session `name` waits for a lock on `member`.
pub(in super::super) async fn wait_for_lock(member: &Member, name: &str) -> Result<()> {
    let sql =
        format!("select count(*) from pg_stat_activity where application_name = '{name}' and wait_event_type = 'Lock'");
    let begun = Instant::now();
    while member.endpoint().value(&sql).await? == "0" {
        if begun.elapsed() > SEEN_LIMIT {
            return fail(format!("session {name} waits for no lock on {}", member.name()));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Starts the proxy again with a fault in it (`RAIDB_FAULT`); passages are counted from then on.
pub(super) async fn armed(cluster: &mut Cluster, fault: &str) -> Result<()> {
    let proxy = cluster.proxy_mut()?;
    proxy.stop().await?;
    proxy.set_environment(vec![("RAIDB_FAULT".to_owned(), fault.to_owned())]);
    proxy.restart().await
}

/// Fails unless the fault has happened.
pub(super) fn reached(cluster: &Cluster, fault: &str) -> Result<()> {
    let log = String::from_utf8_lossy(&std::fs::read(cluster.proxy()?.log())?).into_owned();
    let point = fault.split(':').next().unwrap_or_default();
    if log.contains(&format!("fault point {point}")) {
        return Ok(());
    }
    fail(format!("{fault} was not reached (cargo build -p raidb --features raidb/fault-points)"))
}

/// Fails unless `query` gives `wanted` on every living member.
pub(super) async fn expect_on_all(members: &[Member], query: &str, wanted: &str) -> Result<()> {
    for member in members.iter().filter(|member| member.pid().is_some()) {
        let found = member.endpoint().value(query).await?;
        if found != wanted {
            return fail(format!("{query} on {}: {found} in place of {wanted}", member.name()));
        }
    }
    Ok(())
}

/// SQLSTATE of an error; `connection` if the connection was lost.
pub(in super::super) fn code(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| "connection".to_owned(), |code| code.code().to_owned())
}

/// `Ok` or the SQLSTATE, as text.
pub(in super::super) fn outcome<T>(answer: &Result<T, tokio_postgres::Error>) -> String {
    answer.as_ref().map_or_else(code, |_| "ok".to_owned())
}

/// Parse of the unnamed statement; no parameter types.
pub(in super::super) async fn parse(raw: &mut Raw, sql: &str) -> Result<()> {
    raw.send(b'P', format!("\0{sql}\0\0\0").as_bytes()).await
}

/// Bind of the unnamed statement with text parameters.
pub(in super::super) async fn bind(raw: &mut Raw, parameters: &[&str]) -> Result<()> {
    let mut body = vec![0; 4];
    body.extend_from_slice(&i16::try_from(parameters.len())?.to_be_bytes());
    for parameter in parameters {
        body.extend_from_slice(&i32::try_from(parameter.len())?.to_be_bytes());
        body.extend_from_slice(parameter.as_bytes());
    }
    body.extend_from_slice(&[0, 0]);
    raw.send(b'B', &body).await
}

/// Execute of the unnamed portal.
pub(in super::super) async fn execute(raw: &mut Raw) -> Result<()> {
    raw.send(b'E', &[0; 5]).await
}

/// Sync, and all answers up to ReadyForQuery.
pub(in super::super) async fn sync(raw: &mut Raw) -> Result<Vec<Message>> {
    raw.send(b'S', b"").await?;
    raw.until(b'Z').await
}

/// A Query, and all answers up to ReadyForQuery.
pub(in super::super) async fn query(raw: &mut Raw, sql: &str) -> Result<Vec<Message>> {
    raw.query(sql.as_bytes()).await?;
    raw.until(b'Z').await
}

/// Type bytes of messages, without notices and parameter status.
pub(in super::super) fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.kind)).filter(|kind| !"NS".contains(*kind)).collect()
}

/// SQLSTATE of the first error among messages.
pub(in super::super) fn error_code(messages: &[Message]) -> Option<String> {
    messages.iter().find(|message| message.kind == b'E').and_then(|message| message.field(b'C'))
}

/// Has a follower taken out by an operator; returns its index.
pub(super) async fn disable_follower(cluster: &Cluster) -> Result<usize> {
    let away = (cluster.lead().await? + 1) % cluster.members.len();
    member(cluster, "disable", away, "disabled").await?;
    Ok(away)
}

/// Has it brought back from the log.
pub(super) async fn enable(cluster: &Cluster, away: usize) -> Result<()> {
    member(cluster, "enable", away, "enabled").await
}

async fn member(cluster: &Cluster, verb: &str, index: usize, state: &str) -> Result<()> {
    let name = cluster.members[index].name();
    let (code, printed) = cluster.proxy()?.member(&[verb, name]).await?;
    if code != Some(0) {
        return fail(format!("raidb member {verb} {name}: {code:?}, {printed}"));
    }
    let waited = cluster.wait_for_state(name, state, STATE_LIMIT).await;
    if let Err(failure) = waited {
        return fail(format!("{failure}\n{}", cluster.proxy()?.status().await?));
    }
    Ok(())
}
