//! EXPLAIN: plans without running, unless ANALYZE is on.

use super::super::analysis::{Command, Proof};
use super::super::text::Text;
use super::read::harmless;
use super::{Judged, Scope, Stop, judge_query, refuse, scan, unknown};

/// EXPLAIN [ANALYZE] [VERBOSE] statement, EXPLAIN (options) statement.
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let mut at = 1;
    let mut analyze = false;
    let is_query = text.any(2, &["select", "values", "with", "table"]) || text.symbol(2, "(");
    if text.symbol(1, "(") && !is_query {
        let close = text.closing(1).ok_or_else(|| unknown("EXPLAIN without an end"))?;
        analyze = (2..close)
            .any(|i| text.any(i, &["analyze", "analyse"]) && !text.any(i + 1, &["false", "off"]) && !zero(text, i + 1));
        at = close + 1;
    } else {
        while text.any(at, &["analyze", "analyse", "verbose"]) {
            analyze |= !text.is(at, "verbose");
            at += 1;
        }
    }
    let start = text.tokens.get(at).ok_or_else(|| unknown("EXPLAIN of nothing"))?.start;
    if !analyze {
        let effects = scan(text, at..text.len(), scope);
        // What a name stands for, only the lead is sure to know: PREPARE runs there.
        let mut judged = harmless(effects.member_bound || text.is(at, "execute"));
        if let (Command::Read(read), Some(what)) = (&mut judged.command, effects.unproven) {
            read.proof = Proof::Probe;
            judged.because = format!("it is not known whether {what} writes while it is planned").into();
        }
        return Ok(judged);
    }
    let inner = Text::new(&text.bytes[start..], text.standard_conforming);
    match judge_query(&inner, scope) {
        // A pinned key would be a token of the inner text.
        Ok(judged @ Judged { command: Command::Read(_), .. }) => Ok(Judged { read_key: None, ..judged }),
        Err(stop @ Stop::Unknown(_)) => Err(stop),
        _ => Err(refuse(
            "EXPLAIN ANALYZE runs the statement, which is not known to be a read",
            "use EXPLAIN without ANALYZE, or run it against a copy of the database",
        )),
    }
}

fn zero(text: &Text<'_>, i: usize) -> bool {
    text.tokens.get(i).is_some_and(|t| t.bytes(text.bytes) == b"0")
}
