//! The connection of a cancel request ends when the request has been delivered, not before: clients (libpq, pgJDBC) take that
//! for a promise that it does not hit their next statement.

use std::time::Duration;

use tokio::time::timeout;

use crate::clients::Raw;
use crate::cluster::{Cluster, signal};
use crate::{Failure, Result, fail};

/// CancelRequest's code in place of a protocol version.
const CANCEL: i32 = 80_877_102;
/// While the postmaster stands still: far below `member_timeout`, far above what an early end took.
const STILL: Duration = Duration::from_millis(300);
/// Longest time for everything else.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let mut raw = Raw::open(&endpoint).await?;
    raw.start_up(&endpoint, &[]).await?;
    let started = raw.until(b'Z').await?;
    let Some(key) = started.iter().find(|message| message.kind == b'K').map(|message| message.body.clone()) else {
        return fail("no BackendKeyData");
    };
    let lead = &cluster.members[cluster.lead().await?];
    let postmaster = lead.pid().ok_or_else(|| Failure::new("the lead does not run"))?;

    raw.query(b"select pg_sleep(30)").await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Only the process that takes cancel requests: the statement itself goes on.
    signal("STOP", &[postmaster])?;
    let mut request = Raw::open(&endpoint).await?;
    let sent = async {
        request.bytes(&16_i32.to_be_bytes()).await?;
        request.bytes(&CANCEL.to_be_bytes()).await?;
        request.bytes(&key).await?;
        Ok::<_, Failure>(timeout(STILL, request.until_closed()).await.is_ok())
    };
    let ended_early = sent.await;
    signal("CONT", &[postmaster])?;
    if ended_early? {
        return fail("the connection of a cancel request ended before the member had heard of it");
    }
    timeout(LIMIT, request.until_closed()).await.map_err(|_| Failure::new("the cancel request does not end"))??;
    let answers = timeout(LIMIT, raw.until(b'Z')).await.map_err(|_| Failure::new("not cancelled"))??;
    let states: Vec<_> = answers.iter().filter_map(|message| message.field(b'C')).collect();
    if !answers.iter().any(|message| message.kind == b'E' && message.field(b'C').as_deref() == Some("57014")) {
        return fail(format!("the cancelled statement ended with {states:?}"));
    }
    // The next statements on the same connections are not hit.
    for sql in ["create table cancel_in_time(i int primary key)", "drop table cancel_in_time"] {
        raw.query(sql.as_bytes()).await?;
        if let Some(error) = raw.until(b'Z').await?.iter().find(|message| message.kind == b'E') {
            return fail(format!("{sql}: {error:?}"));
        }
    }
    Ok(())
}
