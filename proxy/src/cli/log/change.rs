//! `raidb log checkpoint` and `raidb log truncate`: with the lock that a running proxy holds.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::SystemTime;

use raidb_core::log::{MemberChange, NamedCheckpoint, Position, RecordKind};
use raidb_core::member::MemberState;

use super::Refused;
use super::locate::Located;
use crate::recovery_log::{FileLog, Opened, RecoveryLog, inspect};

/// Appends a named checkpoint; the name must not be in the log.
pub(super) async fn checkpoint(log: &Located, name: &str, out: &mut dyn Write) -> Result<(), Refused> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let checkpoint = NamedCheckpoint::new(name, unix_ms).map_err(|problem| Refused::Usage(problem.to_owned()))?;
    let Opened { log: file, .. } = FileLog::open(&log.dir, &log.database)?;
    if let Some((_, position)) = checkpoints(log)?.into_iter().find(|(known, _)| known == name) {
        return Err(Refused::Usage(format!("the log has a checkpoint of the name \"{name}\" already, at {position}")));
    }
    let position = file.append(RecordKind::NamedCheckpoint, checkpoint.encode()).await?;
    let _ = writeln!(out, "checkpoint \"{name}\" at {position}");
    Ok(())
}

/// Removes segments that hold only records before `before`.
pub(super) async fn truncate(log: &Located, before: Position, out: &mut dyn Write) -> Result<(), Refused> {
    let Opened { log: file, membership, .. } = FileLog::open(&log.dir, &log.database)?;
    if before > file.end().next() {
        return Err(Refused::Usage(format!("the log ends at {}; there is no {before}", file.end())));
    }
    let checkpoints = checkpoints(log)?;
    let was = first(log)?;
    file.truncate(before).await?;
    let is = first(log)?;
    if was == is {
        let _ = writeln!(out, "nothing to remove: no segment holds only records before {before}; first {is}");
        return Ok(());
    }
    let _ = writeln!(out, "removed the records before {is}; first {is}, last {}", file.end());
    for (name, position) in checkpoints.iter().filter(|(_, position)| *position < is) {
        let _ = writeln!(out, "checkpoint \"{name}\" at {position} went with them");
    }
    for (change, position) in membership.changes().filter_map(left_behind).filter(|(_, position)| position.next() < is)
    {
        let member = &change.member;
        let _ = writeln!(out, "{member}, which has everything up to {position}, has to be rebuilt now to come back");
    }
    Ok(())
}

/// A member that would come back by what the log holds behind a position.
fn left_behind(change: &MemberChange) -> Option<(&MemberChange, Position)> {
    match change.change {
        MemberState::Disabled { position, .. } | MemberState::Rejoining { position } => Some((change, position)),
        MemberState::Enabled | MemberState::Draining | MemberState::Rebuilding { .. } => None,
    }
}

fn checkpoints(log: &Located) -> Result<Vec<(String, Position)>, Refused> {
    let mut found = Vec::new();
    inspect(&log.dir, Position::START, &mut |seen| {
        if seen.record.kind == RecordKind::NamedCheckpoint {
            let name = NamedCheckpoint::decode(&seen.record.payload)?.name;
            found.push((name, seen.record.position));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn first(log: &Located) -> Result<Position, Refused> {
    let mut first = Position::START.next();
    inspect(&log.dir, Position::START, &mut |seen| {
        first = seen.record.position;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(first)
}
