//! CONCURRENTLY: the statement without the word, and what makes it another one all the same.
//!
//! With the word PostgreSQL works in several transactions, and leaves something unfinished behind if one of them fails: on one
//! member, and not on another. Without it the statement does the same in one transaction, under a stronger lock.

use std::sync::Arc;

use super::super::analysis::{Command, ConcurrentKind, Concurrently};
use super::super::catalog::RelationKind;
use super::super::lexer::TokenKind;
use super::super::split::blanked;
use super::super::text::Text;
use super::{Judged, Scope, Stop, refuse, settle, temporary, utility};

/// What names the statement's object: the schema, if there is one, and the name.
type Name = Option<(Option<String>, String)>;

/// A statement that is to work concurrently; `None`: it is not, or the word stands where it does not belong.
pub(crate) fn judge(text: &Text<'_>, first: &str, scope: &Scope<'_>) -> Result<Option<Judged>, Stop> {
    let found = match first {
        "create" => create_index(text),
        "drop" => drop_index(text),
        "reindex" => reindex(text)?,
        "alter" => detach(text),
        _ => None,
    };
    let Some(Found { kind, word, name, wrong }) = found else { return Ok(None) };
    let sql = blanked(text.bytes, &word, text.standard_conforming);
    let plain = Text::new(&sql, text.standard_conforming);
    let judged = utility::judge(&plain, first, scope).and_then(|judged| temporary::adjust(judged, &plain, scope));
    let judged = if kind == ConcurrentKind::Detach { judged.and(Err(detached())) } else { judged };
    let wrong = wrong.or_else(|| partitioned(kind, text, scope));
    let plain = Arc::new(settle(&plain, scope.settings, judged));
    Ok(Some(Judged {
        tables: plain.tables.clone(),
        ..Judged::plain(Command::Concurrently(Concurrently { kind, word, plain, name, wrong }))
    }))
}

struct Found {
    kind: ConcurrentKind,
    /// Tokens that make it so.
    word: Vec<usize>,
    name: Name,
    wrong: Option<String>,
}

fn create_index(text: &Text<'_>) -> Option<Found> {
    let word = 2 + usize::from(text.is(1, "unique"));
    let is = text.is(word - 1, "index") && text.is(word, "concurrently") && !text.is(word + 1, "concurrently");
    is.then(|| Found { kind: ConcurrentKind::CreateIndex, word: vec![word], name: None, wrong: None })
}

/// The error of CREATE INDEX CONCURRENTLY on a partitioned table.
fn partitioned(kind: ConcurrentKind, text: &Text<'_>, scope: &Scope<'_>) -> Option<String> {
    if kind != ConcurrentKind::CreateIndex {
        return None;
    }
    let on = (0..text.len()).find(|&i| text.is(i, "on"))?;
    let (schema, name, _) = text.qualified(on + 1 + usize::from(text.is(on + 1, "only")))?;
    let table = scope.resolve(schema.as_deref(), &name).filter(|table| table.kind == RelationKind::Partitioned)?;
    (!table.is_of_session()).then(|| format!("cannot create index on partitioned table \"{name}\" concurrently"))
}

/// DROP INDEX CONCURRENTLY [IF EXISTS] name [, …] [CASCADE | RESTRICT].
fn drop_index(text: &Text<'_>) -> Option<Found> {
    if !text.are(1, &["index", "concurrently"]) || text.is(3, "concurrently") {
        return None;
    }
    let (schema, name, behind) = text.qualified(3 + 2 * usize::from(text.are(3, &["if", "exists"])))?;
    let wrong = if text.symbol(behind, ",") {
        Some("DROP INDEX CONCURRENTLY does not support dropping multiple objects")
    } else if text.is(behind, "cascade") {
        Some("DROP INDEX CONCURRENTLY does not support CASCADE")
    } else {
        None
    };
    let (name, wrong) = (Some((schema, name)), wrong.map(str::to_owned));
    Some(Found { kind: ConcurrentKind::DropIndex, word: vec![2], name, wrong })
}

/// REINDEX [(option, …)] kind [CONCURRENTLY] name.
fn reindex(text: &Text<'_>) -> Result<Option<Found>, Stop> {
    let close = if text.symbol(1, "(") { text.closing(1) } else { None };
    let mut word = Vec::new();
    let mut concurrently = false;
    if let Some(close) = close {
        (concurrently, word) = options(text, close)?;
    }
    let at = close.map_or(1, |close| close + 1);
    if text.is(at + 1, "concurrently") {
        if text.is(at + 2, "concurrently") {
            return Ok(None);
        }
        concurrently = true;
        word.push(at + 1);
    }
    let name = at + 1 + usize::from(text.is(at + 1, "concurrently"));
    let Some((schema, name, _)) = text.qualified(name).filter(|_| concurrently) else { return Ok(None) };
    let kind = match text.word(at).unwrap_or_default().as_str() {
        "index" => ConcurrentKind::ReindexIndex,
        "table" => ConcurrentKind::ReindexTable,
        "schema" => ConcurrentKind::ReindexSchema,
        "database" | "system" => ConcurrentKind::ReindexDatabase,
        _ => return Ok(None),
    };
    let wrong = text.is(at, "system").then(|| "cannot reindex system catalogs concurrently".to_owned());
    Ok(Some(Found { kind, word, name: Some((schema, name)), wrong }))
}

/// Refuses a REINDEX that the lead could take for a concurrent one: it runs outside transactions, as it is.
pub(crate) fn check_plain(text: &Text<'_>) -> Result<(), Stop> {
    let close = if text.symbol(1, "(") { text.closing(1) } else { None };
    let concurrently = close.map_or(Ok(false), |close| options(text, close).map(|(concurrently, _)| concurrently))?;
    let behind = close.map_or(1, |close| close + 1);
    if concurrently || (behind..text.len()).any(|i| text.is(i, "concurrently")) {
        return Err(utility::misplaced());
    }
    Ok(())
}

/// Whether the options of REINDEX, which `close` ends, say CONCURRENTLY, and the tokens without which they do not speak of it.
fn options(text: &Text<'_>, close: usize) -> Result<(bool, Vec<usize>), Stop> {
    let unreadable = || refuse("raidb cannot read these options of REINDEX", "write REINDEX … CONCURRENTLY name");
    let mut concurrently = false;
    let (mut kept, mut from) = (Vec::new(), 2);
    let commas = (2..close).filter(|&i| text.symbol(i, ","));
    for end in commas.chain([close]) {
        if text.kind(from) != Some(TokenKind::Ident) {
            return Err(unreadable());
        }
        if text.is(from, "concurrently") {
            concurrently = match end - from {
                1 => true,
                2 => value(text, from + 1).ok_or_else(unreadable)?,
                _ => return Err(unreadable()),
            };
        } else {
            kept.push(from..end);
        }
        from = end + 1;
    }
    // A comma stands before each option that is left but the first; without any, the parentheses go as well.
    let stays = |i: usize| {
        let comma = kept.iter().skip(1).any(|option| option.start == i + 1);
        comma || kept.iter().any(|option| option.contains(&i)) || (!kept.is_empty() && (i == 1 || i == close))
    };
    Ok((concurrently, (1..=close).filter(|&i| !stays(i)).collect()))
}

fn value(text: &Text<'_>, at: usize) -> Option<bool> {
    let word = text.word(at).map(String::into_bytes).or_else(|| text.string(at));
    match word.unwrap_or_default().to_ascii_lowercase().as_slice() {
        b"true" | b"on" => Some(true),
        b"false" | b"off" => Some(false),
        _ => None,
    }
}

/// ALTER TABLE [IF EXISTS] [ONLY] name DETACH PARTITION name CONCURRENTLY.
fn detach(text: &Text<'_>) -> Option<Found> {
    if !text.is(1, "table") {
        return None;
    }
    let at = 2 + 2 * usize::from(text.are(2, &["if", "exists"]));
    let (schema, name, behind) = text.qualified(at + usize::from(text.is(at, "only")))?;
    let behind = behind + usize::from(text.operator(behind, "*"));
    let (_, _, word) = text.qualified(behind + 2).filter(|_| text.are(behind, &["detach", "partition"]))?;
    let is = text.is(word, "concurrently") && word + 1 == text.len();
    is.then(|| Found { kind: ConcurrentKind::Detach, word: vec![word], name: Some((schema, name)), wrong: None })
}

fn detached() -> Stop {
    refuse(
        "DETACH PARTITION CONCURRENTLY leaves a CHECK constraint on what was the partition, and DETACH PARTITION, in one \
         transaction on all members, leaves none",
        "leave out CONCURRENTLY",
    )
}
