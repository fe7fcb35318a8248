//! A log that has not begun: the first start of all, or the machine of an earlier proxy is gone, log and all.
//!
//! 1. *Wait* until every configured member was seen. A member alone cannot know whether it is current: it may have been
//!    disabled while it was away. An operator may name the members that are to be waited for (`raidb run --adopt`).
//! 2. *Sort* them (`raidb_core::log::Adoption`): those of the newest epoch hold every acknowledged transaction.
//! 3. *Make equal*: markers alike, contents alike. Otherwise the tables are compared, and the rows that differ are made those
//!    of the member that holds most ([`crate::scrub`]), markers included, in one transaction on each member.
//! 4. *Begin the log*: one record says which members take part, and which are out until they are rebuilt: members of an
//!    older epoch, those that could not be repaired, and those that were not seen.
//!
//! Until that record nothing is adopted: whatever ends the proxy before it, the next start does the same again.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use raidb_core::ids::MemberId;
use raidb_core::log::{Adoption, Checkpoint, MemberChange, Position, RecordKind};
use raidb_core::member::{Answer, Incident, MemberState, Reason};

use super::RejoinError;
use super::startup::{Found, look};
use super::tables::{self, TABLES, Told};
use crate::members::pg::maintenance::Maintenance;
use crate::scrub::{self, Place, Repaired, ScrubError};
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::member::Member;

/// Markers that one statement writes.
const MARKERS_AT_ONCE: usize = 1000;

/// What becomes of one member.
enum Fate {
    /// It takes part; the incident tells what was repaired.
    Adopted(MemberId, Option<Incident>),
    /// It is out until it is rebuilt.
    Out(MemberId, Incident),
}

/// Begins the log if it has not begun. `false`: not yet; try again.
pub async fn begin(database: &Arc<VirtualDatabase>) -> bool {
    match database.journal.is_empty().await {
        Ok(true) => {}
        Ok(false) => {
            if !database.settings.adopt.is_empty() {
                tracing::warn!(virtual_database = database.name, "the recovery log has begun; --adopt has no effect");
            }
            return true;
        }
        Err(error) => {
            database.start_waits(format!("the recovery log cannot be read: {error}"));
            return false;
        }
    }
    let Some((seen, unseen)) = look_at_all(database).await else { return false };
    match adopt(database, seen, unseen).await {
        Ok(()) => true,
        Err(error) => {
            database.start_waits(format!("the recovery log is empty, and members cannot be adopted yet: {error}"));
            false
        }
    }
}

/// Members that answered, and those that did not and are not waited for. `None`: somebody is still missing.
async fn look_at_all(database: &VirtualDatabase) -> Option<(Vec<Found>, Vec<MemberId>)> {
    let named = &database.settings.adopt;
    let (mut seen, mut unseen, mut awaited) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..database.members.len() {
        let member = MemberId(u8::try_from(index).unwrap_or(u8::MAX));
        let name = &database.member(member).target.name;
        match look(database, member).await {
            Ok(found) => seen.push(found),
            Err(_) if !named.is_empty() && !named.contains(name) => unseen.push(member),
            Err(error) => awaited.push(format!("\"{name}\" ({error})")),
        }
    }
    if awaited.is_empty() && !seen.is_empty() {
        return Some((seen, unseen));
    }
    database.start_waits(format!(
        "the recovery log is empty, so only all members together can tell which of them are current; waiting for {}. If \
         a member is lost for good, name those that remain and were not disabled: raidb run --adopt NAME,…",
        awaited.join(", ")
    ));
    None
}

async fn adopt(database: &Arc<VirtualDatabase>, seen: Vec<Found>, unseen: Vec<MemberId>) -> Result<(), RejoinError> {
    // Only what they said is needed; a comparison may take longer than an idle connection lives.
    let seen: Vec<(MemberId, Told)> = seen.into_iter().map(|found| (found.member, found.told)).collect();
    let told: Vec<_> = seen.iter().map(|(_, told)| (told.epoch, &told.applied)).collect();
    let Some(sorted) = Adoption::of(&told) else { return Err(RejoinError::NobodyLeft) };
    let base = &seen[sorted.base];
    let base_name = &database.member(base.0).target.name;

    let mut fates = vec![Fate::Adopted(base.0, None)];
    fates.extend(sorted.alike.iter().map(|n| Fate::Adopted(seen[*n].0, None)));
    for n in &sorted.differing {
        fates.push(make_equal(database, base, seen[*n].0).await?);
    }
    let out = |member, why: &str| Fate::Out(member, incident(database, member, sorted.newest, &[why]));
    for n in &sorted.stale {
        let (member, told) = &seen[*n];
        let why = format!(
            "the recovery log was lost. It was disabled in an earlier epoch ({}, the others are at {}): it is not current",
            told.epoch, sorted.epoch
        );
        fates.push(out(*member, &why));
    }
    for member in unseen {
        let why = "the recovery log was lost, and the members were adopted without this one, which did not answer";
        fates.push(out(member, why));
    }
    for fate in &fates {
        if let Fate::Adopted(member, _) = fate {
            raise_floor(database, *member, sorted.newest).await?;
        }
    }
    record(database, &sorted, fates).await?;
    tracing::warn!(
        virtual_database = database.name,
        epoch = database.epoch(),
        position = sorted.newest.0,
        base = base_name,
        "the recovery log was empty and begins here"
    );
    Ok(())
}

/// A member of the newest epoch with other markers than the base.
async fn make_equal(
    database: &Arc<VirtualDatabase>,
    base: &(MemberId, Told),
    member: MemberId,
) -> Result<Fate, RejoinError> {
    let (from, to) = (database.member(base.0), database.member(member));
    let (base_name, name) = (&from.target.name, &to.target.name);
    database.start_waits(format!(
        "the recovery log was lost, and \"{name}\" does not hold the same transactions as \"{base_name}\": comparing and repairing"
    ));
    match scrub::repair(place(from), place(to), &markers_like(&base.1)).await {
        Ok(repaired) => {
            tracing::warn!(member = name, base = base_name, "made equal, row by row: {repaired}");
            for table in &repaired.tables {
                tracing::warn!(
                    member = name,
                    table = table.table,
                    deleted = table.deleted,
                    inserted = table.inserted,
                    changed = table.changed,
                    keys = ?table.sample,
                    "repaired"
                );
            }
            Ok(Fate::Adopted(member, Some(repaired_incident(database, member, base, &repaired))))
        }
        // Nothing was changed.
        Err(ScrubError::NeedsCopy(why)) => {
            let why = format!(
                "the recovery log was lost. It differs from \"{base_name}\" by transactions that nobody acknowledged, and \
                 a repair of rows is not enough: {why}"
            );
            tracing::warn!(member = name, base = base_name, "{why}");
            Ok(Fate::Out(member, incident(database, member, base.1.applied.last(), &[&why])))
        }
        Err(error @ ScrubError::Member { .. }) => Err(RejoinError::Repair(error)),
    }
}

/// What a member holds is all that there is up to `newest`. (Not its epoch: if the start ends here, those that were not
/// told would look disabled.)
async fn raise_floor(database: &VirtualDatabase, member: MemberId, newest: Position) -> Result<(), RejoinError> {
    let within = database.settings.member_timeout;
    let at = database.member(member);
    let mut connection = Maintenance::connect(&at.target, &at.login, within).await?;
    let all: Vec<u8> = (0..TABLES).collect();
    tables::raise_floor(&mut connection, newest, &all, within).await?;
    Ok(())
}

/// The statements that give a member the markers of another one.
fn markers_like(base: &Told) -> String {
    let mut sql = String::new();
    // Writing to a String cannot fail.
    for table in 0..TABLES {
        let _ = write!(sql, "DELETE FROM raidb.applied_{table}; ");
    }
    let positions: Vec<String> = base.applied.above().map(|position| format!("({})", position.0)).collect();
    for some in positions.chunks(MARKERS_AT_ONCE) {
        let _ = write!(sql, "INSERT INTO raidb.applied_0 (position) VALUES {}; ", some.join(", "));
    }
    let _ = write!(sql, "UPDATE raidb.member SET floor = {}", base.applied.floor().0);
    sql
}

fn incident(database: &VirtualDatabase, member: MemberId, position: Position, lines: &[&str]) -> Incident {
    let mut incident = database.incident(member, Reason::LogLost);
    incident.position = position;
    let name = &database.member(member).target.name;
    incident.answers = lines.iter().map(|line| Answer { member: name.clone(), answer: (*line).to_owned() }).collect();
    incident
}

fn repaired_incident(
    database: &VirtualDatabase,
    member: MemberId,
    base: &(MemberId, Told),
    repaired: &Repaired,
) -> Incident {
    let base_name = &database.member(base.0).target.name;
    let what = format!(
        "the recovery log was lost, and it did not hold the same transactions as \"{base_name}\"; nobody had been told of \
         those that differ. Made equal to \"{base_name}\", row by row: {repaired}"
    );
    let mut incident = incident(database, member, base.1.applied.last(), &[&what]);
    incident.what_to_do =
        "Nothing: the member is equal to the others and enabled. If a client had a commit whose outcome \
                           was unknown to it, the rows named here show what became of it."
            .to_owned();
    incident
}

/// Makes the adoption durable, in one record, and then visible.
async fn record(database: &Arc<VirtualDatabase>, sorted: &Adoption, fates: Vec<Fate>) -> Result<(), RejoinError> {
    database.journal.begin_behind(sorted.newest).await?;
    // Newer than all, so that members that are left out cannot be taken for current if this log is lost too.
    database.raise_epoch(sorted.epoch + 1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let when_unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let change = |fate: &Fate| {
        let (member, change, incident) = match fate {
            Fate::Adopted(member, incident) => (*member, MemberState::Enabled, incident.clone()),
            Fate::Out(member, incident) => {
                let out = MemberState::Disabled { reason: Reason::LogLost, position: sorted.newest };
                (*member, out, Some(incident.clone()))
            }
        };
        let member = database.member(member).target.name.clone();
        MemberChange { member, change, epoch: database.epoch(), when_unix_ms, incident }
    };
    // Every member of the configuration has its fate here.
    let members = Checkpoint { members: fates.iter().map(change).collect(), complete: true };
    database.journal.note(RecordKind::Checkpoint, members.encode()).await?;
    database.named.store(true, Ordering::Release);
    for fate in fates {
        match fate {
            Fate::Adopted(_, None) => {}
            Fate::Adopted(_, Some(incident)) => database.keep_incident(incident),
            Fate::Out(member, incident) => {
                database.disable(member, incident).await;
            }
        }
    }
    Ok(())
}

fn place(member: &Member) -> Place<'_> {
    Place { target: &member.target, login: &member.login }
}
