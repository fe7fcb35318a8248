//! A member comes back while clients are at work. Nobody is stopped, and no open transaction is waited for.
//!
//! ```text
//!  catch up          follow                          join                       done
//!  ─────────────────┬───────────────────────────────┬──────────────────────────┬──────▶
//!  log ▶ member     │ new commits are pending on it  │ it is in the view: open   │ a member
//!  up to settled    │ until the log brings them      │ transactions are replayed │ like others
//!                   │                                │ to it, new ones include it│
//! ```
//! **Why nothing is missed, and nothing done twice.** A commit's session takes part in one of two ways, decided when its
//! ticket is registered, under one lock with the change of view:
//! * *registered before `join`*: its session does not commit on the member; the log brings it. Commits registered before
//!   `follow` are waited for (they are in flight, so that is short) and everything up to the end of the log at that time is
//!   applied before `join`. Those between `follow` and `join` are pending on the member: whatever conflicts with
//!   them waits there (rule 2, strict reads) until they are applied.
//! * *registered behind `join`*: its session commits on the member itself, and the intent says so: the log's replay
//!   passes it over.
//!
//! An intent that its session has written before all agreed ([`InFlight::begin_provisional`]) is not settled, and its session
//! may wait for the member, from `join` on, for what the log has yet to bring there. So there is none between `follow` and
//! the end.
//!
//! [`InFlight::begin_provisional`]: crate::virtual_database::in_flight::InFlight::begin_provisional
//!
//! Only what is settled is applied: an intent may still be aborted until all other members have committed it.

use std::sync::Arc;
use std::time::Duration;

use raidb_core::ids::MemberId;
use raidb_core::log::Position;
use tokio::time::Instant;

use super::applier::{Applier, Flushes};
use super::fence::fence;
use super::pacer::Pacer;
use super::replay::Replay;
use super::{RejoinError, tables};
use crate::fault_points::FaultPoint;
use crate::members::pg::maintenance::Maintenance;
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::in_flight::Ticket;

/// Commits in flight end within this time, or the attempt is given up.
const COMMITS_LIMIT: Duration = Duration::from_secs(30);
/// A member that has caught up waits so long for transactions with rows of COPY; those that are still open then are rolled back
/// (40001) when it joins.
const COPIES_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks at them.
const COPIES_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks at commits in flight.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
/// Pause between two looks whether the last member answers.
const DOWN_PAUSE: Duration = Duration::from_millis(20);
/// So many positions behind is close enough to follow.
const CLOSE: u64 = 64;
/// Rounds of catching up before the member is followed however far behind it is: it would never get closer.
const ROUNDS_MAX: u32 = 20;

/// Brings a disabled member back. Returns how many intents it was given.
///
/// # Errors
/// [`RejoinError`]; the member is then disabled, as before.
pub async fn rejoin(database: &Arc<VirtualDatabase>, member: MemberId) -> Result<u64, RejoinError> {
    // A member that does not answer stays what it is, and holds up no other one.
    let at = database.member(member);
    let connection = Maintenance::connect(&at.target, &at.login, database.settings.member_timeout).await?;
    let _one_at_a_time = database.rejoining.lock().await;
    if database.view().down {
        return Err(RejoinError::NobodyLeft);
    }
    if !database.start_rejoin(member) {
        return Err(RejoinError::Left);
    }
    // With nobody to work with, nothing settles: the last member needs the log first (`startup::last_member_back`).
    let result = tokio::select! {
        result = run(database, member, connection) => result,
        () = nobody_left(database) => Err(RejoinError::NobodyLeft),
    };
    if let Err(error) = &result {
        database.rejoin_failed(member, error).await;
    }
    result
}

async fn run(
    database: &Arc<VirtualDatabase>,
    member: MemberId,
    mut connection: Maintenance,
) -> Result<u64, RejoinError> {
    let within = database.settings.member_timeout;
    let at = database.member(member);
    let name = at.target.name.as_str();
    let journal = &database.journal;
    fence(&mut connection, &database.roles(member), within).await?;
    database.faults.reach(FaultPoint::RejoinFenced).await;
    let told = tables::read(&mut connection, &database.name, name, within).await?;
    tables::flush(&mut connection, within).await?;
    if told.applied.last() > journal.end() {
        return Err(RejoinError::Foreign { told: told.applied.last(), end: journal.end() });
    }
    if told.epoch > journal.epoch() {
        return Err(RejoinError::Newer { told: told.epoch, epoch: journal.epoch() });
    }
    database.floor_raised(member, told.applied.floor());
    let table = database.markers.active();
    let mut applier = Applier::new(at.target.clone(), database.logins(member), journal, within);
    applier.faults = database.faults.clone();
    let mut replay = Replay::new(told.applied);
    let started = Instant::now();
    let pacer = Pacer::new(database, name, replay.at());
    let progress = |position| {
        database.rejoin_progress(member, position);
        pacer.look(position);
    };

    // Catch up.
    for _ in 0..ROUNDS_MAX {
        let to = journal.settled();
        replay.run_to(to, journal, &mut applier, table, |_| false, progress).await?;
        if journal.settled().0.saturating_sub(to.0) < CLOSE {
            break;
        }
    }
    // Rows of COPY went through once: their transactions end first, if they do so soon. (Before the member is followed: commits
    // in flight would pile up.)
    let limit = Instant::now() + COPIES_LIMIT;
    while Arc::strong_count(&database.copies) > 1 && Instant::now() < limit {
        tokio::time::sleep(COPIES_PAUSE).await;
        replay.run_to(journal.settled(), journal, &mut applier, table, |_| false, progress).await?;
    }
    database.sequences_to(member, &mut connection).await?;

    // Follow.
    let before = database.in_flight.follow(member);
    nothing_provisional(database).await?;
    database.faults.reach(FaultPoint::RejoinFollowed).await;
    closed(&before).await?;
    let applied = |position: Position| {
        database.in_flight.applied(member, position);
        progress(position);
    };
    let to = settled(database, journal.end()).await?;
    replay.run_to(to, journal, &mut applier, table, |_| false, applied).await?;
    database.sequences_to(member, &mut connection).await?;

    // From here on it is a member like others: one whose connections are lost and that answers again is taken to hold all that
    // it has committed. (The connection is older than the first of those commits.)
    tables::flush(&mut connection, within).await?;
    applier.flushes = Flushes::Each;

    // Join: from here on an error is a fault of an enabled member.
    database.faults.reach(FaultPoint::RejoinBeforeRecord).await;
    database.record_enabled(member).await?;
    database.faults.reach(FaultPoint::RejoinRecorded).await;
    tables::set_epoch(&mut connection, journal.epoch(), within).await?;
    let others = database.join(member);
    database.faults.reach(FaultPoint::RejoinJoined).await;
    let rest = async {
        closed(&others).await?;
        let to = settled(database, journal.end()).await?;
        let own = |intent: &raidb_core::log::Intent| intent.members.iter().any(|m| m == name);
        // Passing over what the member commits itself holds only behind the position up to which all was applied.
        replay.run_to(to, journal, &mut applier, table, own, applied).await
    };
    rest.await?;
    database.faults.reach(FaultPoint::RejoinBeforeCaughtUp).await;
    database.caught_up(member);
    tracing::info!(
        member = name,
        intents = replay.done(),
        seconds = started.elapsed().as_secs_f64(),
        "member has rejoined"
    );
    Ok(replay.done())
}

/// Waits until the last member does not answer. Dropping the replay is safe: the next one fences what it left running, and
/// reads the markers.
pub(super) async fn nobody_left(database: &VirtualDatabase) {
    while !database.view().down {
        tokio::time::sleep(DOWN_PAUSE).await;
    }
}

async fn closed(tickets: &[Arc<Ticket>]) -> Result<(), RejoinError> {
    let limit = Instant::now() + COMMITS_LIMIT;
    while !tickets.iter().all(|t| t.closed()) {
        if Instant::now() >= limit {
            return Err(RejoinError::TimedOut(COMMITS_LIMIT));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(())
}

/// Waits until no intent in the log may be withdrawn any more: their sessions wait for members that are in the view.
async fn nothing_provisional(database: &VirtualDatabase) -> Result<(), RejoinError> {
    let limit = Instant::now() + COMMITS_LIMIT;
    while database.in_flight.any_provisional() {
        if Instant::now() >= limit {
            return Err(RejoinError::TimedOut(COMMITS_LIMIT));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(())
}

async fn settled(database: &VirtualDatabase, to: Position) -> Result<Position, RejoinError> {
    let waiting = database.journal.settled_to(to);
    tokio::time::timeout(COMMITS_LIMIT, waiting).await.map_err(|_| RejoinError::TimedOut(COMMITS_LIMIT))?;
    Ok(to)
}
