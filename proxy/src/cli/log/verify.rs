//! `raidb log verify`.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;

use raidb_core::log::{Membership, NamedCheckpoint, Position, RecordKind, database_hash};

use super::Refused;
use super::locate::Located;
use super::summary::{kind_name, summary};
use crate::cli::table;
use crate::recovery_log::inspect;

/// Reads everything, and prints what there is.
pub(super) fn verify(log: &Located, out: &mut dyn Write) -> Result<(), Refused> {
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut checkpoints = Vec::new();
    let mut membership = Membership::default();
    let mut ends: Option<(Position, Position)> = None;
    let segments = inspect(&log.dir, Position::START, &mut |seen| {
        let record = seen.record;
        membership.apply(record)?;
        if record.kind == RecordKind::NamedCheckpoint {
            NamedCheckpoint::decode(&record.payload)?;
            checkpoints.push(format!("{}: {}", record.position, summary(record.kind, &record.payload)));
        }
        let (records, bytes) = kinds.entry(kind_name(record.kind)).or_default();
        *records += 1;
        *bytes += u64::try_from(record.bytes()).unwrap_or(0);
        ends = Some((ends.map_or(record.position, |(first, _)| first), record.position));
        Ok(ControlFlow::Continue(()))
    })?;
    let mut text = format!("{}: log of \"{}\"\n", log.dir.display(), log.database);
    let rows = segments.iter().map(|segment| {
        let name = segment.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let records = segment.next.0.saturating_sub(segment.first.0);
        vec![name.unwrap_or_default(), segment.first.0.to_string(), records.to_string(), segment.good_bytes.to_string()]
    });
    text.push_str(&table::render(&["SEGMENT", "FIRST", "RECORDS", "BYTES"], &rows.collect::<Vec<_>>()));
    let rows = kinds.into_iter().map(|(kind, (records, bytes))| vec![kind, records.to_string(), bytes.to_string()]);
    text.push_str(&table::render(&["KIND", "RECORDS", "BYTES"], &rows.collect::<Vec<_>>()));
    match ends {
        Some((first, last)) => text.push_str(&format!("first {first}, last {last}\n")),
        None => text.push_str("no records\n"),
    }
    for checkpoint in checkpoints {
        text.push_str(&format!("checkpoint at {checkpoint}\n"));
    }
    for change in membership.changes() {
        text.push_str(&format!("member {}\n", summary(RecordKind::MemberChange, &change.encode())));
    }
    let torn: usize = segments.iter().map(|segment| segment.torn_bytes).sum();
    match torn {
        0 => text.push_str("no torn tail\n"),
        _ => text.push_str(&format!(
            "torn tail of {torn} bytes: what was being written when the proxy ended, or is being written now; \
             a start cuts it\n"
        )),
    }
    if segments.iter().any(|segment| segment.database != database_hash(&log.database)) {
        text.push_str(
            "note: another virtual database wrote this log; a proxy accepts it only in a folder of its name\n",
        );
    }
    text.push_str("good\n");
    let _ = out.write_all(text.as_bytes());
    Ok(())
}
