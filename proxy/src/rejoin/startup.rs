//! Before the first client: every enabled member holds exactly what the log says.
//!
//! 1. *Fence*: whatever an earlier proxy left running is ended, and gone, before anything is read.
//! 2. *Read* which intents each member holds.
//!    Of what a lead's COMMIT was to decide, that which no member holds is aborted (see [`super::certification`]).
//! 3. *Redo* each intent that is in the log and not on the member. What was not decided was rolled back by step 1.
//! 4. *Raise sequences* to what any member, or the log, says was handed out.
//! 5. *Raise the floor*, so that the tables start empty.
//! 6. *Tokens*: what the log says of them is known before anybody can ask.
//!
//! Every step may be repeated after a crash within it: markers are written with the data.
//!
//! A log that has not begun comes here only behind [`super::adoption`].

use std::collections::HashSet;
use std::sync::Arc;

use raidb_core::ids::MemberId;
use raidb_core::log::{CopiedRows, CorruptKind, Intent, Outcome, Position, Record, RecordKind};
use raidb_core::member::Reason;
use raidb_core::token::Recovery;

use super::RejoinError;
use super::applier::Applier;
use super::certification::Certified;
use super::fence::fence;
use super::replay::Replay;
use super::sequences::{self, HighWater};
use super::tables::{self, TABLES, Told};
use crate::fault_points::FaultPoint;
use crate::members::pg::maintenance::Maintenance;
use crate::recovery_log::LogError;
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::journal::Journal;
use crate::virtual_database::tokens::now_ms;

/// Payload bytes that are read from the log at once.
const SCAN_BYTES: usize = 8 << 20;

/// Commits in flight end within this time.
const COMMITS_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);
/// Pause between two looks at them.
const COMMITS_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// A member, what it said, and the connection.
pub(super) struct Found {
    pub(super) member: MemberId,
    pub(super) told: Told,
    connection: Maintenance,
}

/// Makes every enabled member equal to the log. `false`: nobody can be used yet; try again.
pub async fn recover(database: &Arc<VirtualDatabase>) -> bool {
    let mut found = Vec::new();
    for member in database.view().members() {
        match look(database, member).await {
            Ok(member) => found.push(member),
            Err(error) => give_up(database, member, &error).await,
        }
    }
    match make_equal(database, found).await {
        Ok(usable) => usable,
        Err(error) => {
            database.start_waits(format!("cannot start from the recovery log: {error}"));
            false
        }
    }
}

/// Fences a member and reads what it holds.
pub(super) async fn look(database: &VirtualDatabase, member: MemberId) -> Result<Found, RejoinError> {
    let within = database.settings.member_timeout;
    let at = database.member(member);
    let mut connection = Maintenance::connect(&at.target, &at.login, within).await?;
    fence(&mut connection, &database.roles(member), within).await?;
    database.faults.reach(FaultPoint::StartFenced).await;
    let told = tables::read(&mut connection, &database.name, &at.target.name, within).await?;
    tables::flush(&mut connection, within).await?;
    Ok(Found { member, told, connection })
}

/// The member cannot be used now; if it is the last one, the caller tries again.
async fn give_up(database: &Arc<VirtualDatabase>, member: MemberId, error: &RejoinError) {
    let reason = error.needs_rebuild().unwrap_or(Reason::Unreachable);
    database.fault(member, reason, format!("at the start of the proxy: {error}")).await;
}

async fn make_equal(database: &Arc<VirtualDatabase>, mut found: Vec<Found>) -> Result<bool, RejoinError> {
    if found.is_empty() {
        return Ok(false);
    }
    let journal = &database.journal;
    if let Some(why) = old_copy(journal, &found) {
        database.start_waits(format!(
            "{why}: the log is an old copy. Put the newest log in place, or move this one away to have the members adopted \
             without it"
        ));
        return Ok(false);
    }
    let floor = found.iter().map(|f| f.told.applied.floor()).min().unwrap_or_default();
    let mut tokens = Recovery::new(now_ms());
    let Walked { aborted, copied, mut high_water, certified } = walk(database, floor, &mut tokens).await?;
    journal.recovered(aborted, copied);
    let asked: Vec<_> = found.iter().map(|f| &f.told).collect();
    certified.abort_those_not_held(&asked, journal).await?;
    let tokens = tokens.finish(journal.end(), |position| journal.is_aborted(position));
    let end = journal.end();
    let mut usable = false;
    for member in &mut found {
        sequences::raise_to_members(&mut member.connection, &mut high_water, database.settings.member_timeout).await?;
    }
    for mut member in found {
        match redo(database, &mut member, &high_water, end).await {
            Ok(redone) => {
                usable = true;
                database.floor_raised(member.member, end);
                database.faults.reach(FaultPoint::StartMemberDone).await;
                if redone > 0 {
                    tracing::info!(member = member.told.name, redone, "decided transactions were redone from the log");
                }
            }
            Err(error) => give_up(database, member.member, &error).await,
        }
    }
    if usable {
        database.tokens_recovered(tokens).await;
    }
    Ok(usable)
}

/// How members show that the log is not the newest one. Positions alone do not: they are used anew behind an adoption. But a
/// member is told an epoch only when that is durable in the log (see [`Journal::epoch`]), and no log forgets its epoch.
fn old_copy(journal: &Journal, found: &[Found]) -> Option<String> {
    let newest = found.iter().max_by_key(|f| f.told.applied.last())?;
    let latest = found.iter().max_by_key(|f| f.told.epoch)?;
    let (end, epoch) = (journal.end(), journal.epoch());
    if latest.told.epoch > epoch {
        return Some(format!(
            "member \"{}\" is of epoch {}, the recovery log of epoch {epoch}",
            latest.told.name, latest.told.epoch
        ));
    }
    (newest.told.applied.last() > end).then(|| {
        let last = newest.told.applied.last();
        format!("member \"{}\" holds transactions up to {last}, the recovery log ends at {end}", newest.told.name)
    })
}

/// The last member, which did not answer for a while, is made equal to the log: COMMITs may have been lost with it.
///
/// # Errors
/// [`RejoinError`]; it cannot be used yet.
pub async fn last_member_back(database: &Arc<VirtualDatabase>, member: MemberId) -> Result<u64, RejoinError> {
    let _no_rotation = database.rejoining.lock().await;
    // Whoever was committing has been told that the outcome is unknown, and is about to say so here. Only then is what the
    // member holds read: nobody sends it a COMMIT any more.
    let limit = tokio::time::Instant::now() + COMMITS_LIMIT;
    while database.in_flight.any_provisional() || !database.in_flight.all().iter().all(|ticket| ticket.closed()) {
        if tokio::time::Instant::now() >= limit {
            let open: Vec<_> = database.in_flight.all().into_iter().filter(|t| !t.closed()).collect();
            tracing::warn!(?open, "commits in flight that do not end");
            return Err(RejoinError::TimedOut(COMMITS_LIMIT));
        }
        tokio::time::sleep(COMMITS_PAUSE).await;
    }
    let mut found = look(database, member).await?;
    let (high_water, certified) = decided_in_log(database, found.told.applied.floor()).await?;
    if !database.waits_for(member) {
        return Err(RejoinError::Left);
    }
    certified.abort_those_not_held(&[&found.told], &database.journal).await?;
    let end = database.journal.end();
    let redone = redo(database, &mut found, &high_water, end).await?;
    if !database.waits_for(member) {
        // Another one is waited for: what was decided is finished when that one has it.
        return Err(RejoinError::Left);
    }
    database.floor_raised(member, end);
    database.journal.finish_all(end);
    // If it was on its way back when the others were lost: nothing is left that the log has to bring it.
    database.caught_up(member);
    database.tokens.settled(end, |position| database.journal.is_aborted(position));
    Ok(redone)
}

/// Hands every record from `from` on to `look`; what is not kept any more is passed over.
async fn scan(
    database: &VirtualDatabase,
    mut from: Position,
    mut look: impl FnMut(Record) -> Result<(), CorruptKind>,
) -> Result<(), RejoinError> {
    let end = database.journal.end();
    while from <= end {
        let records = match database.journal.read(from, SCAN_BYTES).await {
            // What is gone was finished on every member that the log was kept for.
            Err(LogError::Gone { first, .. }) => {
                from = first;
                continue;
            }
            other => other?,
        };
        let Some(last) = records.last().map(|r| r.position) else { break };
        records.into_iter().try_for_each(&mut look)?;
        from = last.next();
    }
    Ok(())
}

/// What a start has to know of the log.
#[derive(Default)]
struct Walked {
    /// Intents that were aborted behind their decision.
    aborted: HashSet<Position>,
    /// Intents with rows of COPY.
    copied: CopiedRows,
    /// Values of sequences that decided transactions have used.
    high_water: HighWater,
    /// Intents that a lead was to decide.
    certified: Certified,
}

/// One walk over the whole log, a few MiB of it in memory at a time: a member that is out may have a lower floor than those
/// that are here, whose lowest is `floor`. What the log says of tokens is told to `tokens`.
async fn walk(database: &VirtualDatabase, floor: Position, tokens: &mut Recovery) -> Result<Walked, RejoinError> {
    let mut walked = Walked::default();
    let mut rows_seen = false;
    let look = |record: Record| {
        tokens.record(&record)?;
        if record.position > floor {
            walked.certified.record(&record)?;
        }
        match record.kind {
            RecordKind::Outcome => {
                walked.aborted.insert(Outcome::decode(&record.payload)?.aborted);
            }
            RecordKind::CopyRows => rows_seen = true,
            // Without rows before it an intent copies none.
            RecordKind::Intent if rows_seen || record.position > floor => {
                let intent = Intent::decode(&record.payload)?;
                walked.copied.found(record.position, &intent);
                if record.position > floor {
                    for (name, value) in intent.sequences {
                        sequences::raise(&mut walked.high_water, name, value);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    };
    scan(database, Position::START.next(), look).await?;
    Ok(walked)
}

/// Values of sequences that decided transactions have used, and what a lead was to decide.
async fn decided_in_log(database: &VirtualDatabase, floor: Position) -> Result<(HighWater, Certified), RejoinError> {
    let (mut high_water, mut certified) = (HighWater::new(), Certified::default());
    let look = |record: Record| {
        certified.record(&record)?;
        if record.kind == RecordKind::Intent {
            for (name, value) in Intent::decode(&record.payload)?.sequences {
                sequences::raise(&mut high_water, name, value);
            }
        }
        Ok(())
    };
    scan(database, floor.next(), look).await?;
    Ok((high_water, certified))
}

async fn redo(
    database: &Arc<VirtualDatabase>,
    found: &mut Found,
    high_water: &HighWater,
    end: Position,
) -> Result<u64, RejoinError> {
    let within = database.settings.member_timeout;
    let target = database.member(found.member).target.clone();
    let mut applier = Applier::new(target, database.logins(found.member), &database.journal, within);
    applier.faults = database.faults.clone();
    let mut replay = Replay::new(found.told.applied.clone());
    replay.run_to(end, &database.journal, &mut applier, database.markers.active(), |_| false, |_| {}).await?;
    drop(applier);
    database.faults.reach(FaultPoint::StartRedone).await;
    sequences::apply(&mut found.connection, high_water, within).await?;
    database.faults.reach(FaultPoint::StartSequencesRaised).await;
    // This commit waits for the disk, and so makes durable what was redone (see the applier).
    let all: Vec<u8> = (0..TABLES).collect();
    tables::raise_floor(&mut found.connection, end, &all, within).await?;
    database.faults.reach(FaultPoint::StartFloorRaised).await;
    tables::set_epoch(&mut found.connection, database.journal.epoch(), within).await?;
    Ok(replay.done())
}
