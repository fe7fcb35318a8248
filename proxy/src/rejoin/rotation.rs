//! Keeps the members' tables and the log bounded, however long some transaction stays open.
//!
//! The tables change turns every [`ROTATE_EVERY`] positions, and when the log has outgrown its size, which bytes may do before
//! positions. Behind that every member that takes part has a new floor, so that only members that are out hold the log back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::RejoinError;
use super::back::nobody_left;
use super::tables;
use crate::fault_points::FaultPoint;
use crate::members::pg::maintenance::Maintenance;
use crate::virtual_database::VirtualDatabase;

/// Positions after which the tables change turns.
pub const ROTATE_EVERY: u64 = 20_000;
/// A change of turns that takes longer is given up, and tried again; a table that was not emptied keeps its markers.
const ROTATE_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A log that stays over its size is tried to be shortened so often.
const OVER_SIZE_PAUSE: Duration = Duration::from_secs(10);
/// Pause between two looks at commits in flight.
const COMMITS_PAUSE: Duration = Duration::from_millis(2);

/// Runs until the process ends.
pub async fn run(database: Arc<VirtualDatabase>) {
    let mut last = database.journal.settled().0;
    let every = database.faults.rotate_every(ROTATE_EVERY);
    let mut shortened = None;
    // A table that is out of use and was not emptied.
    let mut old = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let paused = shortened.is_some_and(|then: Instant| then.elapsed() < OVER_SIZE_PAUSE);
        let over_size = database.log_is_over_size() && !paused;
        if !over_size && database.journal.settled().0.saturating_sub(last) < every {
            continue;
        }
        if database.view().down {
            continue;
        }
        // Without a member nothing settles, and the last one needs the lock that is held here.
        let result = tokio::select! {
            result = tokio::time::timeout(ROTATE_LIMIT, rotate(&database, &mut old)) => {
                result.unwrap_or(Err(RejoinError::TimedOut(ROTATE_LIMIT)))
            }
            () = nobody_left(&database) => Err(RejoinError::NobodyLeft),
        };
        match result {
            Ok(true) => {
                last = database.journal.settled().0;
                shortened = database.log_is_over_size().then(Instant::now);
            }
            // The next look comes soon.
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(virtual_database = database.name, "markers not cleaned up: {error}");
                shortened = Some(Instant::now());
            }
        }
    }
}

/// Changes turns (unless that was done in an attempt that failed), waits until nobody uses the old table any more, raises the floor, empties it and shortens the log. False: a
/// member is being brought back, and everything stays as it is.
async fn rotate(database: &Arc<VirtualDatabase>, unemptied: &mut Option<u8>) -> Result<bool, RejoinError> {
    // A member that rejoins holds less than the others.
    let Ok(_no_rejoin) = database.rejoining.try_lock() else { return Ok(false) };
    let Ok(_no_copy) = database.copying.try_write() else { return Ok(false) };
    let old = *unemptied.get_or_insert_with(|| database.markers.change_turns());
    database.faults.reach(FaultPoint::RotateTurnsChanged).await;
    // Who has registered before this moment may use the old table, nobody else (see `Markers`).
    let before = database.in_flight.all();
    while !before.iter().all(|ticket| ticket.closed()) {
        tokio::time::sleep(COMMITS_PAUSE).await;
    }
    let floor = database.journal.end();
    database.journal.settled_to(floor).await;
    let within = database.settings.member_timeout;
    // A member that is enabled now has been so all the time, so it holds everything up to the floor.
    for member in database.view().members() {
        let at = database.member(member);
        let mut connection = Maintenance::connect(&at.target, &at.login, within).await?;
        tables::raise_floor(&mut connection, floor, &[old], within).await?;
        database.floor_raised(member, floor);
        database.faults.reach(FaultPoint::RotateFloorRaised).await;
    }
    *unemptied = None;
    database.shorten_log().await?;
    Ok(true)
}
