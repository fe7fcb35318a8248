//! Whether a member lives, judged on a connection of its own.
//!
//! A statement on the lead may wait for hours by design, so no statement of a client tells whether the lead lives;
//! this does. A member that refuses connections is out at once, one that does not answer within `member_timeout` then.

use std::sync::Arc;
use std::time::Duration;

use raidb_core::config::Rejoin;
use raidb_core::ids::MemberId;
use raidb_core::member::{Reason, WayBack};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::VirtualDatabase;
use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::{Maintenance, QueryError};
use crate::rejoin::back::rejoin;

/// Shortest and longest pause between two beats.
const BEAT_MIN: Duration = Duration::from_millis(20);
const BEAT_MAX: Duration = Duration::from_millis(500);
/// A member that is out is not tried more often than this.
const DISABLED_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause behind a copy that failed: it takes a snapshot on the donor, and reads it.
const REBUILD_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Watches every member, also those that are added. Runs until the process ends.
pub async fn run_all(database: Arc<VirtualDatabase>) {
    let mut tasks = JoinSet::new();
    loop {
        let added = database.added.notified();
        tokio::pin!(added);
        added.as_mut().enable();
        for number in tasks.len()..database.members.len() {
            tasks.spawn(run(database.clone(), MemberId(u8::try_from(number).unwrap_or(u8::MAX))));
        }
        added.await;
    }
}

/// Runs until the process ends.
async fn run(database: Arc<VirtualDatabase>, member: MemberId) {
    let limit = database.settings.member_timeout;
    let beat = (limit / 8).clamp(BEAT_MIN, BEAT_MAX);
    let mut connection: Option<Maintenance> = None;
    let mut last_answer = Instant::now();
    let mut rebuild_pause = DISABLED_PAUSE;
    loop {
        tokio::time::sleep(beat).await;
        if !database.view().is_enabled(member) {
            connection = None;
            tokio::time::sleep(DISABLED_PAUSE).await;
            if come_back(&database, member).await.is_err() {
                tokio::time::sleep(rebuild_pause).await;
                rebuild_pause = REBUILD_PAUSE_MAX.min(rebuild_pause * 2);
            }
            last_answer = Instant::now();
            continue;
        }
        rebuild_pause = DISABLED_PAUSE;
        let left = limit.saturating_sub(last_answer.elapsed()).max(BEAT_MIN);
        match ask(&database, member, &mut connection, left).await {
            Ok(()) => {
                last_answer = Instant::now();
                database.answers(member).await;
            }
            Err(error) => {
                let had_connection = connection.take().is_some();
                let timed_out =
                    matches!(&error, QueryError::TimedOut(_) | QueryError::Connect(ConnectError::TimedOut(_)));
                if full(&error) {
                    last_answer = Instant::now();
                } else if timed_out && last_answer.elapsed() >= limit {
                    database.fault(member, Reason::TimedOut, format!("heartbeat: {error}")).await;
                } else if !timed_out && !had_connection {
                    database.fault(member, Reason::LostConnection, format!("heartbeat: {error}")).await;
                }
                // A broken connection alone proves nothing: the next beat opens a new one.
            }
        }
    }
}

/// A copy was begun, and failed.
struct RebuildFailed;

/// Has a member that is out brought back, if nobody else has to decide that.
async fn come_back(database: &Arc<VirtualDatabase>, member: MemberId) -> Result<(), RebuildFailed> {
    if database.settings.rejoin != Rejoin::Auto {
        return Ok(());
    }
    let name = database.member(member).target.name.as_str();
    match database.reason_out(member).and_then(Reason::way_back) {
        // Nobody was told of what it holds beyond the others.
        Some(WayBack::Rebuild) => {
            if let Err(error) = database.expect_answer(member).await {
                tracing::debug!(member = name, "not rebuilt: {error}");
                return Ok(());
            }
            match database.rebuild(member, None).await {
                Ok(done) => tracing::info!("{done}"),
                Err(error) => {
                    tracing::warn!(member = name, "not rebuilt, which is tried again by itself: {error}");
                    return Err(RebuildFailed);
                }
            }
        }
        Some(WayBack::Rejoin) => {
            if let Err(error) = rejoin(database, member).await {
                tracing::debug!(member = name, "not back: {error}");
            }
        }
        None => {}
    }
    Ok(())
}

async fn ask(
    database: &VirtualDatabase,
    member: MemberId,
    connection: &mut Option<Maintenance>,
    within: Duration,
) -> Result<(), QueryError> {
    let member = database.member(member);
    let mut open = match connection.take() {
        Some(open) => open,
        None => Maintenance::connect(&member.target, &member.login, within).await?,
    };
    let answer = open.query(&["SELECT 1"], within).await;
    // Keep the broken one too: the caller tells "was connected" from "cannot connect".
    *connection = Some(open);
    answer.map(|_| ())
}

/// The member lives, but has no connection to spare.
fn full(error: &QueryError) -> bool {
    matches!(error, QueryError::Connect(ConnectError::Server { sqlstate, .. }) if sqlstate == b"53300")
}
