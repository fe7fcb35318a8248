//! One statement, analysed: [`analyse`].
//!
//! The order of judgement: tokens first (transaction control, session, utilities: decided by their keywords), then the
//! parser's tree for INSERT, UPDATE, DELETE and queries. Two views must agree before something counts as harmless: the
//! tree says which relations and clauses there are, the tokens say which functions are called. What neither can read is
//! refused; nothing is a read by default.

mod advisory;
mod call;
mod capture;
mod concurrent;
mod copy;
mod cursor;
mod delete;
mod effects;
mod explain;
mod fallback;
mod fill;
mod imaged;
mod insert;
mod locks;
mod notification;
mod pin;
mod read;
mod relations;
mod route;
mod row_lock;
mod session;
mod set_write;
mod temporary;
mod token;
mod transaction;
mod tree;
mod unproven;
mod update;
mod utility;
mod utility_checks;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use super::analysis::{Analysis, Command, FootprintHint, Refusal, Severity};
use super::catalog::{Catalog, TEMPORARY_SCHEMA, Table};
use super::footprint::Footprint;
use super::lexer::TokenKind;
use super::split::split;
use super::text::Text;
use crate::ids::TableId;

pub(crate) use effects::scan;
pub use read::column_of_setting;
pub use session::start_setting;
pub use unproven::run_unproven;

/// What of a session's state changes the meaning of a text. Part of the key of a cache of analyses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// `current_schemas(false)`: resolved, without the implicit `pg_catalog`.
    pub search_path: Vec<String>,
    /// `standard_conforming_strings`.
    pub standard_conforming_strings: bool,
}

/// Where names are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'c> {
    pub(crate) catalog: &'c Catalog,
    pub(crate) settings: &'c Settings,
}

impl<'c> Scope<'c> {
    /// Finds a relation.
    pub(crate) fn resolve(&self, schema: Option<&str>, name: &str) -> Option<&'c Arc<Table>> {
        self.catalog.resolve(schema, name, &self.settings.search_path)
    }

    /// All tables of a table's group, itself included.
    pub(crate) fn group(&self, table: &Table) -> impl Iterator<Item = &'c Arc<Table>> + use<'c> {
        self.catalog.groups.get(&table.group).into_iter().flatten()
    }
}

/// Why the analysis of a statement ends early.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// It runs nowhere, unless that is only because nobody can tell and the configuration lets it run ([`Severity`]).
    Refused(Refusal),
    /// What it writes cannot be told from its text: followers get images of it, if that is possible.
    Hidden(Refusal),
    /// A name that the catalog does not know.
    Unknown(String),
}

/// The result for one statement before it is put together.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) command: Command,
    pub(crate) tables: Vec<TableId>,
    pub(crate) read_footprint: Footprint,
    pub(crate) read_key: Option<(Arc<Table>, FootprintHint)>,
    /// See [`Analysis::because`].
    pub(crate) because: Cow<'static, str>,
}

impl Judged {
    /// A command that names no relations.
    pub(crate) fn plain(command: Command) -> Self {
        Judged {
            command,
            tables: Vec::new(),
            read_footprint: Footprint::Nothing,
            read_key: None,
            because: Cow::Borrowed(""),
        }
    }
}

/// Ends the analysis with a refusal.
pub(crate) fn refuse(reason: impl Into<String>, hint: impl Into<String>) -> Stop {
    Stop::Refused(Refusal { severity: Severity::Impossible, reason: reason.into(), hint: hint.into() })
}

/// Ends the analysis with a refusal that stands only because nobody can tell ([`Severity::Doubtful`]).
pub(crate) fn doubt(reason: impl Into<String>, hint: impl Into<String>) -> Stop {
    Stop::Refused(Refusal { severity: Severity::Doubtful, reason: reason.into(), hint: hint.into() })
}

/// Ends the analysis of a write of which the text does not tell all. The refusal is what is said where images cannot be had:
/// then nobody can tell either.
pub(crate) fn hidden(reason: impl Into<String>, hint: impl Into<String>) -> Stop {
    Stop::Hidden(Refusal { severity: Severity::Doubtful, reason: reason.into(), hint: hint.into() })
}

/// First words of statements that can be sent on as they are, whatever they do.
const STATEMENTS: &[&str] = &["select", "values", "table", "with", "insert", "update", "delete", "merge", "do", "call"];

/// Such a statement. Inside another (PREPARE, COPY, a cursor, EXPLAIN ANALYZE) it is none.
fn is_whole(text: &Text<'_>) -> bool {
    text.any(0, STATEMENTS) || text.symbol(0, "(")
}

/// A refusal that stands only because nobody can tell counts as such where the statement can be sent on as it is.
fn only_if_whole(text: &Text<'_>, refusal: Refusal) -> Refusal {
    if is_whole(text) { refusal } else { Refusal { severity: Severity::Impossible, ..refusal } }
}

/// Ends the analysis with an unknown name.
pub(crate) fn unknown(what: &str) -> Stop {
    Stop::Unknown(what.to_owned())
}

/// Says what one statement is and how it is replicated. Never panics, whatever the bytes.
#[must_use]
pub fn analyse(text: &[u8], catalog: &Catalog, settings: &Settings) -> Analysis {
    let text = Text::new(text, settings.standard_conforming_strings);
    let scope = Scope { catalog, settings };
    let judged = judge(&text, &scope).or_else(|stop| match stop {
        Stop::Hidden(instead_of) => imaged::judge(&text, &scope, instead_of),
        other => Err(other),
    });
    let judged = judged.and_then(|judged| temporary::adjust(judged, &text, &scope));
    settle(&text, settings, judged)
}

/// Puts the analysis together.
fn settle(text: &Text<'_>, settings: &Settings, judged: Result<Judged, Stop>) -> Analysis {
    let judged = judged.unwrap_or_else(|stop| {
        Judged::plain(match stop {
            Stop::Refused(refusal) | Stop::Hidden(refusal) => Command::Refused(only_if_whole(text, refusal)),
            Stop::Unknown(what) => Command::Unknown { what },
        })
    });
    let read_footprint = match judged.command {
        Command::Unknown { .. } => Footprint::Everything,
        _ => judged.read_footprint,
    };
    Analysis {
        command: judged.command,
        tables: judged.tables,
        read_footprint,
        read_key: judged.read_key,
        because: judged.because,
        parameters: text.parameters(),
        standard_conforming: settings.standard_conforming_strings,
    }
}

/// Judges a statement inside another (EXPLAIN, COPY, DECLARE), which can only be a query: none of these nest.
fn judge_query(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if text.any(0, &["select", "values", "table", "with"]) || text.symbol(0, "(") {
        return imaged::unless_probes_tell_little(text, read::judge(text, scope)?, scope);
    }
    Err(refuse("a statement inside another is not a query", "send it by itself"))
}

/// A semicolon that ends a statement, with another behind it.
fn has_several(text: &Text<'_>) -> bool {
    (0..text.len()).any(|i| text.symbol(i, ";")) && split(text.bytes, text.standard_conforming).len() > 1
}

fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if text.len() == 0 {
        return Ok(Judged::plain(Command::Empty));
    }
    if text.tokens.last().is_some_and(|t| t.kind == TokenKind::Incomplete) {
        return Err(unknown("a quoted text or a comment without an end"));
    }
    if has_several(text) {
        return Err(refuse("more than one statement in one text", "send them one by one, or as a simple query"));
    }
    let first = text.word(0).unwrap_or_default();
    if let Some(judged) = token::judge(text, &first) {
        return judged;
    }
    if let Some(judged) = transaction::judge(text, &first) {
        return judged;
    }
    if let Some(judged) = session::judge(text, &first, scope) {
        return judged;
    }
    match first.as_str() {
        "insert" => insert::judge(text, scope),
        "update" => update::judge(text, scope),
        "delete" => delete::judge(text, scope),
        "select" | "values" | "table" | "with" => {
            imaged::unless_probes_tell_little(text, read::judge(text, scope)?, scope)
        }
        "" if text.symbol(0, "(") => imaged::unless_probes_tell_little(text, read::judge(text, scope)?, scope),
        "show" => Ok(read::show()),
        "explain" if text.is(1, "route") => route::judge(text, scope),
        "explain" => explain::judge(text, scope),
        "copy" => copy::judge(text, scope),
        "lock" => locks::judge(text, scope),
        "listen" | "unlisten" | "notify" => notification::judge(text, &first),
        "declare" | "fetch" | "move" | "close" => cursor::judge(text, &first, scope),
        _ => match concurrent::judge(text, &first, scope)? {
            Some(judged) => Ok(judged),
            None => utility::judge(text, &first, scope),
        },
    }
}
