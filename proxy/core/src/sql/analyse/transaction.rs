//! Transaction control, read from tokens: it is in every client's path, and its spellings are few.

use super::super::analysis::{Command, Isolation, Refusal, Severity, TransactionModes, TwoPhase};
use super::super::lexer::TokenKind;
use super::super::text::Text;
use super::{Judged, Stop, unknown};

/// Judges a statement of transaction control; `None` if it is none.
pub(crate) fn judge(text: &Text<'_>, first: &str) -> Option<Result<Judged, Stop>> {
    let command = match first {
        "begin" => {
            let at = 1 + usize::from(text.any(1, &["work", "transaction"]));
            modes(text, at).map(Command::Begin)
        }
        "start" if text.is(1, "transaction") => modes(text, 2).map(Command::Begin),
        "commit" | "end" if !text.is(1, "prepared") => end(text, 1).map(|chain| Command::Commit { chain }),
        "rollback" | "abort" if !text.is(1, "prepared") => rollback(text),
        "savepoint" => only_name(text, 1).map(Command::Savepoint),
        "release" => only_name(text, 1 + usize::from(text.is(1, "savepoint") && text.len() > 2)).map(Command::Release),
        "commit" | "rollback" => return Some(two_phase(text, first)),
        // The name of a prepared statement may be the same word.
        "prepare" if text.is(1, "transaction") && !text.is(2, "as") && !text.symbol(2, "(") => {
            return Some(two_phase(text, first));
        }
        _ => return None,
    };
    Some(command.map(Judged::plain).ok_or_else(|| unknown("this form of transaction control")))
}

/// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED 'identifier'.
fn two_phase(text: &Text<'_>, first: &str) -> Result<Judged, Stop> {
    use TokenKind::{DollarString, EscapeString, String, UnicodeString};
    let refusal = Refusal {
        severity: Severity::Impossible,
        reason: "two-phase commit is not supported by this version".to_owned(),
        hint: "use BEGIN and COMMIT".to_owned(),
    };
    if !matches!(text.kind(2), Some(String | EscapeString | UnicodeString | DollarString)) {
        // A syntax error, which the lead will tell.
        return Err(unknown("this form of transaction control"));
    }
    let identifier = text.string(2).and_then(|value| std::string::String::from_utf8(value).ok());
    let command = match (first, identifier) {
        // Perhaps UESCAPE: what cannot be read must not be tried.
        _ if text.len() > 3 => return Err(Stop::Refused(refusal)),
        ("prepare", _) => TwoPhase::Prepare,
        (_, Some(identifier)) => TwoPhase::Finish { commit: first == "commit", identifier },
        (_, None) => return Err(Stop::Refused(refusal)),
    };
    Ok(Judged::plain(Command::TwoPhase { command, refusal }))
}

/// [WORK | TRANSACTION] [AND [NO] CHAIN] from `at` to the end.
fn end(text: &Text<'_>, at: usize) -> Option<bool> {
    let at = at + usize::from(text.any(at, &["work", "transaction"]));
    if at == text.len() {
        return Some(false);
    }
    match text.len() - at {
        2 if text.are(at, &["and", "chain"]) => Some(true),
        3 if text.are(at, &["and", "no", "chain"]) => Some(false),
        _ => None,
    }
}

fn rollback(text: &Text<'_>) -> Option<Command> {
    let at = 1 + usize::from(text.any(1, &["work", "transaction"]));
    if text.is(at, "to") {
        let at = at + 1 + usize::from(text.is(at + 1, "savepoint") && text.len() > at + 2);
        return only_name(text, at).map(Command::RollbackTo);
    }
    end(text, 1).map(|chain| Command::Rollback { chain })
}

/// The name at `at`, if it is the last token.
fn only_name(text: &Text<'_>, at: usize) -> Option<String> {
    text.name(at).filter(|_| at + 1 == text.len())
}

/// A list of transaction modes from `at` to the end; commas are optional, as in PostgreSQL.
pub(crate) fn modes(text: &Text<'_>, mut at: usize) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    while at < text.len() {
        if text.are(at, &["isolation", "level"]) {
            let (isolation, words) = isolation(text, at + 2)?;
            modes.isolation = Some(isolation);
            at += 2 + words;
        } else if text.are(at, &["read", "only"]) || text.are(at, &["read", "write"]) {
            modes.read_only = Some(text.is(at + 1, "only"));
            at += 2;
        } else if text.are(at, &["not", "deferrable"]) {
            modes.deferrable = Some(false);
            at += 2;
        } else if text.is(at, "deferrable") {
            modes.deferrable = Some(true);
            at += 1;
        } else {
            return None;
        }
        at += usize::from(text.symbol(at, ","));
    }
    Some(modes)
}

fn isolation(text: &Text<'_>, at: usize) -> Option<(Isolation, usize)> {
    if text.are(at, &["read", "committed"]) {
        Some((Isolation::ReadCommitted, 2))
    } else if text.are(at, &["read", "uncommitted"]) {
        Some((Isolation::ReadUncommitted, 2))
    } else if text.are(at, &["repeatable", "read"]) {
        Some((Isolation::RepeatableRead, 2))
    } else {
        text.is(at, "serializable").then_some((Isolation::Serializable, 1))
    }
}
