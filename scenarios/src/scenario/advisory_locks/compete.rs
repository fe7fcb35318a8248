//! Sessions compete for a lock while leads are killed: never two holders, nobody hangs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::held_by_all;
use crate::checkers::hang_report;
use crate::cluster::Cluster;
use crate::scenario::regressions::support::code;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Leads that are killed, one after the other has come back.
const KILLS: usize = 4;
/// Pause around each.
const PAUSE: Duration = Duration::from_millis(700);
/// Longest time for a member to come back.
const BACK_LIMIT: Duration = Duration::from_secs(120);
/// Longest time in which nobody gets the lock.
const STUCK_LIMIT: Duration = Duration::from_secs(90);
/// Sessions that compete.
const SESSIONS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) kills: usize,
    pub(super) taken: u64,
    pub(super) ended: u64,
}

/// What the competitors know together.
#[derive(Debug, Default)]
struct Shared {
    /// Who believes that he holds the lock.
    holder: Mutex<Option<usize>>,
    /// Somebody else got it while this one believed that: wrong only if it turns out that his session lived.
    doubted: Mutex<Option<usize>>,
    over: AtomicBool,
    taken: AtomicU64,
    ended: AtomicU64,
}

pub(super) async fn run(cluster: &mut Cluster) -> Result<Report> {
    let endpoint = cluster.endpoint();
    let shared = Shared::default();
    let competing = try_join_all((0..SESSIONS).map(|session| compete(&endpoint, session, &shared)));
    let killing = kill(cluster, &shared);
    let (_, kills) = tokio::try_join!(competing, killing)?;
    held_by_all(&cluster.members, "none").await?;
    super::super::ending(cluster).await?;
    Ok(Report { kills, taken: shared.taken.load(Ordering::SeqCst), ended: shared.ended.load(Ordering::SeqCst) })
}

async fn kill(cluster: &mut Cluster, shared: &Shared) -> Result<usize> {
    let mut kills = 0;
    for _ in 0..KILLS {
        sleep(PAUSE).await;
        let lead = cluster.lead().await?;
        let before = shared.taken.load(Ordering::SeqCst);
        cluster.members[lead].kill_9()?;
        kills += 1;
        // Work goes on without it.
        let goes_on = async {
            while shared.taken.load(Ordering::SeqCst) < before + 20 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(STUCK_LIMIT, goes_on).await.is_err() {
            return fail(format!("nobody gets the lock behind the loss of the lead:\n{}", hang_report(cluster).await));
        }
        cluster.members[lead].restart().await?;
        let name = cluster.members[lead].name().to_owned();
        cluster.wait_for_state(&name, "enabled", BACK_LIMIT).await?;
    }
    sleep(PAUSE).await;
    shared.over.store(true, Ordering::SeqCst);
    Ok(kills)
}

async fn compete(endpoint: &Endpoint, session: usize, shared: &Shared) -> Result<()> {
    let mut client = endpoint.connect().await?;
    while !shared.over.load(Ordering::SeqCst) {
        let turn = timeout(STUCK_LIMIT, turn(&client, session, shared)).await;
        match turn.map_err(|_| Failure::new(format!("session {session} hangs")))? {
            Ok(()) => {}
            Err(Ended::Session) => {
                // Its locks went with it: whoever got the lock meanwhile is right.
                shared.ended.fetch_add(1, Ordering::SeqCst);
                leave(session, shared);
                locked(&shared.doubted).take_if(|doubted| *doubted == session);
                client = endpoint.connect().await?;
            }
            Err(Ended::Wrong(failure)) => return Err(failure),
        }
    }
    Ok(())
}

enum Ended {
    /// The session is gone, or says so.
    Session,
    Wrong(Failure),
}

fn locked(place: &Mutex<Option<usize>>) -> MutexGuard<'_, Option<usize>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

fn leave(session: usize, shared: &Shared) {
    locked(&shared.holder).take_if(|holder| *holder == session);
}

async fn turn(client: &Client, session: usize, shared: &Shared) -> Result<(), Ended> {
    let lost = |error: tokio_postgres::Error| match code(&error).as_str() {
        // The statement was rolled back, or the session has ended: a new one is taken in both cases.
        "40001" | "08006" | "connection" => Ended::Session,
        _ => Ended::Wrong(Failure::from(error)),
    };
    if session == 0 {
        // By trying.
        while !client.query_one("select pg_try_advisory_lock(77)", &[]).await.map_err(lost)?.get::<_, bool>(0) {
            sleep(Duration::from_millis(1)).await;
        }
    } else {
        client.query("select pg_advisory_lock($1)", &[&77_i64]).await.map_err(lost)?;
    }
    if let Some(other) = locked(&shared.holder).replace(session) {
        // It has not heard yet that its session is gone, or there are two holders.
        *locked(&shared.doubted) = Some(other);
    }
    shared.taken.fetch_add(1, Ordering::SeqCst);
    sleep(Duration::from_millis(1)).await;
    // From here on another one may come.
    leave(session, shared);
    let held = client.query_one("select pg_advisory_unlock(77)", &[]).await.map_err(lost)?.get::<_, bool>(0);
    let doubted = locked(&shared.doubted).take_if(|doubted| *doubted == session).is_some();
    if doubted || !held {
        let what =
            format!("session {session} lived, and held the lock to its end: {held}; another one got it: {doubted}");
        return Err(Ended::Wrong(Failure::new(what)));
    }
    Ok(())
}
