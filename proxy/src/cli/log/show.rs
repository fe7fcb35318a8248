//! `raidb log show`.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::ControlFlow;

use raidb_core::log::{Position, RecordKind};
use serde_json::{Value, json};

use super::Refused;
use super::locate::Located;
use super::summary::{kind_name, summary};
use crate::recovery_log::{Seen, inspect};

/// Prints records from `from` on, no more than `limit`; those before a damaged one too.
pub(super) fn show(
    log: &Located,
    from: Position,
    limit: Option<u64>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Refused> {
    let mut left = limit.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(());
    }
    head(json, out);
    inspect(&log.dir, from, &mut |seen| {
        let written = if json { writeln!(out, "{}", object(&seen)) } else { writeln!(out, "{}", line(&seen)) };
        left -= 1;
        // Who no longer reads wants no more.
        Ok(if written.is_err() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(())
}

/// Prints the last `last` records, in order.
pub(super) fn show_last(log: &Located, last: u64, json: bool, out: &mut dyn Write) -> Result<(), Refused> {
    let mut lines = VecDeque::new();
    let read = inspect(&log.dir, Position::START, &mut |seen| {
        lines.push_back(if json { object(&seen).to_string() } else { line(&seen) });
        if u64::try_from(lines.len()).unwrap_or(u64::MAX) > last {
            lines.pop_front();
        }
        Ok(ControlFlow::Continue(()))
    });
    head(json, out);
    for line in lines {
        // Who no longer reads wants no more.
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    read?;
    Ok(())
}

fn head(json: bool, out: &mut dyn Write) {
    if !json {
        let _ = writeln!(out, "{:>12}  {:<29}  {:<19}  {:>10}  SUMMARY", "POSITION", "SEGMENT+OFFSET", "KIND", "BYTES");
    }
}

fn line(seen: &Seen<'_>) -> String {
    let record = seen.record;
    let place = format!("{}+{}", seen.segment.trim_end_matches(".seg"), seen.offset);
    let (kind, summary) = (kind_name(record.kind), summary(record.kind, &record.payload));
    format!("{:>12}  {place:<29}  {kind:<19}  {:>10}  {summary}", record.position.0, record.bytes())
}

fn object(seen: &Seen<'_>) -> Value {
    let record = seen.record;
    let mut object = json!({
        "position": record.position.0,
        "segment": seen.segment,
        "offset": seen.offset,
        "kind": kind_name(record.kind),
        "bytes": record.bytes(),
        "summary": summary(record.kind, &record.payload),
    });
    let is_json =
        matches!(record.kind, RecordKind::MemberChange | RecordKind::Checkpoint | RecordKind::NamedCheckpoint);
    if is_json && let Ok(payload) = serde_json::from_slice::<Value>(&record.payload) {
        object["payload"] = payload;
    }
    object
}
