//! DECLARE … CURSOR FOR query, FETCH, MOVE, CLOSE: cursors stand on the lead's connection.

use super::super::analysis::{Command, CursorUse, Proof, Read};
use super::super::text::Text;
use super::{Judged, Scope, Stop, judge_query, refuse, row_lock, unknown};

/// Judges one of them.
pub(crate) fn judge(text: &Text<'_>, first: &str, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if first == "declare" {
        return declare(text, scope);
    }
    // Whatever stands between, the name comes last.
    let end = (0..text.len()).rev().find(|&i| !text.symbol(i, ";")).unwrap_or(0);
    let name = text.name(end).filter(|_| end > 0);
    Ok(about(match first {
        "close" if end == 1 && text.is(1, "all") => CursorUse::CloseAll,
        "close" => CursorUse::Close(name),
        _ => CursorUse::Move(name),
    }))
}

fn about(cursor: CursorUse) -> Judged {
    let read = Read { proof: Proof::Proven, lead_only: true, sequences: Vec::new(), cursor: Some(cursor) };
    Judged::plain(Command::Read(read))
}

/// Its query runs by pieces, behind the statement, and WITH HOLD a last time when the transaction commits: where nothing is asked
/// what it has written. So it must be known to write nothing.
fn declare(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let malformed = || unknown("this form of DECLARE");
    let name = text.name(1).ok_or_else(malformed)?;
    let cursor = (2..text.len()).find(|&i| text.is(i, "cursor")).ok_or_else(malformed)?;
    let start = (cursor..text.len()).find(|&i| text.is(i, "for")).ok_or_else(malformed)?;
    let hold = (cursor..start).any(|i| text.are(i, &["with", "hold"]));
    let inner = Text::new(
        &text.bytes[text.tokens.get(start + 1).map_or(text.bytes.len(), |t| t.start)..],
        text.standard_conforming,
    );
    if row_lock::has_clause(&inner) {
        return Err(refuse(
            "a cursor that locks rows cannot be captured",
            "lock the rows with SELECT … FOR UPDATE without a cursor",
        ));
    }
    let judged = judge_query(&inner, scope)?;
    match judged.command {
        Command::Read(read) if read.proof == Proof::Proven && read.sequences.is_empty() => {
            let read = Read { lead_only: true, cursor: Some(CursorUse::Declare { name, hold }), ..read };
            Ok(Judged { command: Command::Read(read), read_key: None, ..judged })
        }
        _ => Err(refuse(
            "the cursor's query is not known to be a plain read",
            "send the query without a cursor (a driver's fetch size works without DECLARE)",
        )),
    }
}
