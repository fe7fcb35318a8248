//! Statements that the parser cannot read.

use super::super::analysis::{Command, Proof, Read};
use super::super::footprint::Footprint;
use super::super::text::Text;
use super::{Judged, Scope, Stop, hidden, scan, unknown};

/// What is said of a statement that is not read and might write.
pub(crate) fn unreadable(error: &str) -> Stop {
    hidden(
        format!("raidb cannot read this statement (parser: {error})"),
        "write it in a simpler form; if PostgreSQL accepts it as it is, please report it",
    )
}

/// A query that the parser cannot read is run as a read where a member refuses writes, if no word in it can stand for
/// a write and no function in it is known to get around READ ONLY.
pub(crate) fn query(text: &Text<'_>, scope: &Scope<'_>, error: &str) -> Result<Judged, Stop> {
    let writes = &["insert", "update", "delete", "merge", "into", "call", "do"];
    if (0..text.len()).any(|i| text.any(i, writes)) {
        return Err(unreadable(error));
    }
    let effects = scan(text, 0..text.len(), scope);
    if let Some(refusal) = effects.denied {
        return Err(Stop::Refused(refusal));
    }
    if let Some(sequence) = effects.unknown_sequence {
        return Err(unknown(&format!("sequence \"{sequence}\"")));
    }
    if !effects.sequences.is_empty() {
        return Err(unreadable(error));
    }
    // Object ids of one member's catalogs mean nothing to another.
    let catalogs = (0..text.len())
        .filter_map(|i| text.name(i))
        .any(|name| name.starts_with("pg_") || name == "information_schema");
    let read =
        Read { proof: Proof::Probe, lead_only: effects.member_bound || catalogs, sequences: Vec::new(), cursor: None };
    let because = format!("raidb cannot read it (parser: {error})").into();
    Ok(Judged { read_footprint: Footprint::Everything, because, ..Judged::plain(Command::Read(read)) })
}
