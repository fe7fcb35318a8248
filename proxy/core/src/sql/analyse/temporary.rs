//! Temporary tables, views and sequences: they belong to the session, and stand on each of its connections alike.
//!
//! What makes or changes one is the same statement for all of these connections, and for nobody else: whoever redoes a
//! transaction from the log is another session, in which a name means something else. So nothing that names a
//! temporary object may reach the log: a statement is either about temporary objects alone, or followers get what it did
//! to ordinary tables as values ([`adjust`]), or it is refused.

use std::sync::Arc;

use super::super::analysis::{Command, CopyIn, Locked, OnCommit, Utility, Write, WriteForm};
use super::super::catalog::{Column, Table, is_temporary_schema};
use super::super::footprint::Footprint;
use super::super::lexer::TokenKind;
use super::super::text::Text;
use super::utility::{check_not_concurrent, is_kind, judged, utility as plain};
use super::utility_checks::{check_alter_table, check_no_frozen_time};
use super::{Judged, Scope, Stop, fill, refuse, unknown};

/// What may be temporary, and be made, altered and dropped.
const KINDS: &[&str] = &["table", "recursive view", "view", "sequence"];
/// Names of temporary objects that would hide what raidb itself uses by that name.
const OWN_PREFIXES: &[&str] = &["pg_", "raidb_"];

/// Types in texts of raidb's own, which would mean the type of such a table's rows: PostgreSQL looks there first.
const TYPES: &[&str] = &[
    "text",
    "name",
    "oid",
    "bool",
    "int2",
    "int4",
    "int8",
    "bytea",
    "json",
    "jsonb",
    "tid",
    "xid",
    "numeric",
    "float8",
    "char",
    "refcursor",
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regnamespace",
    "regrole",
    "void",
    "record",
    "trigger",
    "timestamptz",
    "uuid",
    "varchar",
];

/// A utility that concerns temporary objects; `None`: it has nothing to do with them.
pub(crate) fn utility(text: &Text<'_>, first: &str, scope: &Scope<'_>) -> Result<Option<Judged>, Stop> {
    if (1..text.len()).any(|i| text.name(i).is_some_and(|name| names_numbered_schema(&name))) {
        return Err(numbered_schema());
    }
    let found = match first {
        "create" => create(text, scope)?,
        "alter" => alter(text, scope)?,
        "drop" => drop(text, scope)?,
        "truncate" => {
            let at = 1 + usize::from(text.is(1, "table"));
            all_or_none(text, at, scope)?.then(|| judged(of_session(false)))
        }
        // They change no contents, and stand in no log.
        "vacuum" | "analyze" | "analyse" | "checkpoint" | "cluster" | "reindex" => return Ok(None),
        _ => None,
    };
    // Of a table that is made from a query followers get what came of it.
    let filled = first == "create" && text.is(1, "table") && fill::is_create(text);
    if found.is_none() && !filled && !matches!(first, "merge" | "do" | "call") {
        check_mentions(text, created_name(text, first), scope)?;
    }
    Ok(found)
}

fn of_session(changes_catalog: bool) -> Utility {
    Utility { changes_catalog, temporary: true, ..plain(Footprint::Nothing) }
}

/// Something temporary is made by the same text on every connection of the session.
pub(crate) fn made(on_commit: OnCommit) -> Judged {
    judged(Utility { until_commit: on_commit == OnCommit::Drop, ..of_session(true) })
}

/// Whether what is made under this name is temporary: by a `word`, or by its schema.
pub(crate) fn is_made(word: bool, schema: Option<&str>, name: &str) -> Result<bool, Stop> {
    let temporary = word || schema.is_some_and(is_temporary_schema);
    if temporary {
        check_name(name)?;
    }
    Ok(temporary)
}

/// DISCARD TEMP, where there is something to discard.
pub(crate) fn discard(scope: &Scope<'_>) -> Option<Judged> {
    (!scope.catalog.temporary.is_empty()).then(|| judged(of_session(true)))
}

fn find<'c>(scope: &Scope<'c>, schema: Option<&str>, name: &str) -> Option<&'c Arc<Table>> {
    let schema = schema.map(|schema| if is_temporary_schema(schema) { super::TEMPORARY_SCHEMA } else { schema });
    scope.resolve(schema, name).filter(|table| table.is_of_session())
}

/// CREATE [OR REPLACE] [LOCAL | GLOBAL] TEMP …, CREATE … pg_temp.name, CREATE INDEX … ON a temporary table.
fn create(text: &Text<'_>, scope: &Scope<'_>) -> Result<Option<Judged>, Stop> {
    let mut at = if text.are(1, &["or", "replace"]) { 3 } else { 1 };
    if text.is(at, "index") || text.are(at, &["unique", "index"]) {
        return create_index(text, at, scope);
    }
    let local = text.any(at, &["local", "global"]);
    at += usize::from(local);
    let word = text.any(at, &["temp", "temporary"]);
    if local && !word {
        return Err(unknown("this form of CREATE"));
    }
    at += usize::from(word);
    let kind = KINDS.iter().find(|kind| is_kind(text, at, kind));
    let Some(kind) = kind else {
        return if word {
            Err(refuse("only tables, views and sequences can be temporary here", HINT))
        } else {
            Ok(None)
        };
    };
    at += kind.split(' ').count();
    let behind_kind = at;
    at += 3 * usize::from(text.are(at, &["if", "not", "exists"]));
    let Some((schema, name, _)) = text.qualified(at) else {
        return if word { Err(unknown("this form of CREATE")) } else { Ok(None) };
    };
    if !is_made(word, schema.as_deref(), &name)? {
        return Ok(None);
    }
    let on_commit = on_commit(text, at);
    if *kind == "table" {
        if fill::is_create(text) {
            return fill::create(text, behind_kind, Some(on_commit), scope).map(Some);
        }
        let family = (at..text.len()).any(|i| text.is(i, "inherits") || text.are(i, &["partition", "of"]));
        if family {
            return Err(refuse(
                "a temporary table that is a child or a partition of another one",
                "make it with LIKE, or with its columns",
            ));
        }
    }
    check_no_frozen_time(text)?;
    Ok(Some(made(on_commit)))
}

fn on_commit(text: &Text<'_>, at: usize) -> OnCommit {
    match text.top_level(at).find(|&i| text.are(i, &["on", "commit"])) {
        Some(i) if text.is(i + 2, "drop") => OnCommit::Drop,
        Some(i) if text.is(i + 2, "delete") => OnCommit::DeleteRows,
        _ => OnCommit::PreserveRows,
    }
}

const HINT: &str = "use a table, or an ordinary object, and drop it afterwards";

fn check_name(name: &str) -> Result<(), Stop> {
    if TYPES.contains(&name) {
        return Err(refuse(
            format!("a temporary object with the name \"{name}\" would hide a type that raidb uses"),
            "give it another name",
        ));
    }
    if OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(refuse(
            format!("a temporary object with the name \"{name}\" would hide what PostgreSQL or raidb uses"),
            "give it a name that begins neither with pg_ nor with raidb_",
        ));
    }
    Ok(())
}

/// CREATE [UNIQUE] INDEX [[IF NOT EXISTS] name] ON [ONLY] table ….
fn create_index(text: &Text<'_>, at: usize, scope: &Scope<'_>) -> Result<Option<Judged>, Stop> {
    let Some(on) = (at..text.len().min(at + 8)).find(|&i| text.is(i, "on")) else { return Ok(None) };
    let table = on + 1 + usize::from(text.is(on + 1, "only"));
    let Some((schema, name, _)) = text.qualified(table) else { return Ok(None) };
    if find(scope, schema.as_deref(), &name).is_none() {
        return Ok(None);
    }
    check_not_concurrent(text)?;
    Ok(Some(judged(of_session(true))))
}

/// ALTER TABLE | VIEW | SEQUENCE | INDEX of a temporary one.
fn alter(text: &Text<'_>, scope: &Scope<'_>) -> Result<Option<Judged>, Stop> {
    if !text.any(1, &["table", "view", "sequence", "index"]) {
        return Ok(None);
    }
    let mut at = 2 + 2 * usize::from(text.are(2, &["if", "exists"]));
    at += usize::from(text.is(at, "only"));
    let Some((schema, name, behind)) = text.qualified(at) else { return Ok(None) };
    if find(scope, schema.as_deref(), &name).is_none() {
        return Ok(None);
    }
    check_no_frozen_time(text)?;
    if text.is(1, "table") {
        check_alter_table(text, 2, scope)?;
        let family = |i: usize| text.any(i, &["inherit", "attach", "detach", "trigger", "rule", "row"]);
        if (behind..text.len()).any(family) {
            return Err(refuse("this action of ALTER TABLE on a temporary table", HINT));
        }
    }
    if let Some(name) = (behind..text.len()).find(|&i| text.is(i, "to")).and_then(|i| text.name(i + 1)) {
        check_name(&name)?;
    }
    Ok(Some(judged(of_session(true))))
}

/// DROP TABLE | VIEW | SEQUENCE | INDEX of temporary ones.
fn drop(text: &Text<'_>, scope: &Scope<'_>) -> Result<Option<Judged>, Stop> {
    if !text.any(1, &["table", "view", "sequence", "index"]) {
        return Ok(None);
    }
    if text.is(1, "index") && text.is(2, "concurrently") {
        return Ok(None);
    }
    let at = 2 + 2 * usize::from(text.are(2, &["if", "exists"]));
    Ok(all_or_none(text, at, scope)?.then(|| judged(of_session(true))))
}

/// Whether the list of names that begins at `at` names temporary objects. Refuses a list of both kinds: one statement cannot
/// be for the session alone and for everybody.
fn all_or_none(text: &Text<'_>, mut at: usize, scope: &Scope<'_>) -> Result<bool, Stop> {
    let (mut temporary, mut ordinary) = (0, 0);
    loop {
        at += usize::from(text.is(at, "only"));
        let Some((schema, name, behind)) = text.qualified(at) else { break };
        // It may be there or not (IF EXISTS): of this session it is.
        let said = schema.as_deref().is_some_and(is_temporary_schema);
        if said || find(scope, schema.as_deref(), &name).is_some() {
            temporary += 1;
        } else {
            ordinary += 1;
        }
        at = behind + usize::from(text.operator(behind, "*"));
        if !text.symbol(at, ",") {
            break;
        }
        at += 1;
    }
    if temporary > 0 && ordinary > 0 {
        return Err(refuse(
            "it names temporary objects, which the session has alone, together with others",
            "use a statement for each kind",
        ));
    }
    Ok(temporary > 0)
}

/// Where CREATE names what it makes: that is no reference to anything.
fn created_name(text: &Text<'_>, first: &str) -> Option<usize> {
    if first != "create" {
        return None;
    }
    let at = if text.are(1, &["or", "replace"]) { 3 } else { 1 };
    let kind = KINDS.iter().find(|kind| is_kind(text, at, kind))?;
    let at = at + kind.split(' ').count();
    let at = at + 3 * usize::from(text.are(at, &["if", "not", "exists"]));
    // The last part of the name.
    text.qualified(at).map(|(_, _, behind)| behind - 1)
}

/// Whether it names (perhaps among others) the schema of temporary objects as only one connection has it: `pg_temp_3`.
pub(crate) fn names_numbered_schema(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let numbered = |(at, prefix): (usize, &str)| text[at + prefix.len()..].starts_with(|c: char| c.is_ascii_digit());
    text.match_indices("pg_temp_").any(numbered)
}

/// Why such a name is not accepted.
pub(crate) fn numbered_schema() -> Stop {
    refuse(
        "it names a schema pg_temp_…, which is another one on every connection, or none",
        "say pg_temp, which means the session's own everywhere",
    )
}

/// Whether a name is one of a temporary relation, or of the type of arrays of its rows.
pub(crate) fn is_temporary(name: &str, scope: &Scope<'_>) -> bool {
    let known = |name: &str| scope.catalog.temporary.iter().any(|table| table.name == name);
    is_temporary_schema(name) || known(name) || name.strip_prefix('_').is_some_and(known)
}

/// Refuses a statement that goes into the log with the name of a temporary object in it.
pub(crate) fn check_mentions(text: &Text<'_>, except: Option<usize>, scope: &Scope<'_>) -> Result<(), Stop> {
    for i in (1..text.len()).filter(|i| Some(*i) != except) {
        let found = match text.name(i) {
            Some(name) => is_temporary(&name, scope).then_some(name),
            // The body of a function, the argument of nextval: read when it is made, on whatever connection that is.
            None => text.string(i).and_then(|value| named_in(&value, scope)),
        };
        if let Some(name) = found {
            return Err(refuse(
                format!("it names \"{name}\", which is temporary and belongs to this session alone"),
                "make what uses it TEMPORARY as well, or use an ordinary table",
            ));
        }
    }
    Ok(())
}

/// The temporary relation that a text names as a word.
fn named_in(value: &[u8], scope: &Scope<'_>) -> Option<String> {
    let value = String::from_utf8_lossy(value).to_lowercase();
    let within = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let names_it = |name: &str| {
        value.match_indices(name).any(|(at, found)| {
            !within(value[..at].chars().next_back()) && !within(value[at + found.len()..].chars().next())
        })
    };
    let mut names = scope.catalog.temporary.iter().map(|table| &table.name);
    names.find(|name| names_it(&name.to_lowercase())).cloned()
}

/// A value of the row type of a temporary relation is made: `(…)::name`, `CAST(… AS name)`, `name '…'`, `name('…')`.
pub(crate) fn names_row_type(text: &Text<'_>, scope: &Scope<'_>) -> bool {
    if scope.catalog.temporary.is_empty() {
        return false;
    }
    let temporary = |i: usize| {
        let (schema, name, behind) = text.qualified(i)?;
        let known = schema.as_deref().is_some_and(is_temporary_schema) || is_temporary(&name, scope);
        known.then_some(behind)
    };
    let value = |i: usize| {
        text.symbol(i, "(")
            || matches!(text.kind(i), Some(TokenKind::String | TokenKind::EscapeString | TokenKind::DollarString))
    };
    (0..text.len()).any(|i| {
        ((text.symbol(i, "::") || text.is(i, "as")) && temporary(i + 1).is_some()) || temporary(i).is_some_and(value)
    })
}

/// What a statement that was judged as any other may do where temporary relations are among those that it names.
pub(crate) fn adjust(mut judged: Judged, text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if scope.catalog.temporary.is_empty() {
        return Ok(judged);
    }
    let of_session = |id| scope.catalog.by_id.get(id).is_some_and(|table: &Arc<Table>| table.is_of_session());
    let named = judged.tables.iter().any(of_session);
    match &mut judged.command {
        Command::Read(_) | Command::CopyOut(_) if named => judged.read_key = None,
        Command::CopyIn(CopyIn { table, .. }) if table.is_of_session() => {}
        Command::Write(Write { table, form, .. }) if table.is_of_session() => {
            // What it reads is the session's own as well, and it computes the same everywhere: no values are needed.
            let alone = |locked: &Locked| locked.lock_sql.is_empty();
            if let WriteForm::Captured(capture) = form
                && let Some(locked) = capture.locked_alternative.take_if(|locked| alone(locked))
            {
                *form = WriteForm::Locked(locked);
            }
        }
        // Names of objects: one may be of a temporary relation, and mean nothing, or something else, to whoever gets the value.
        Command::Write(write) if write.table.columns.iter().any(Column::names_objects) => {
            return Err(refuse(
                format!(
                    "\"{}\" has a column for names of objects (regclass or the like), and the session has temporary ones",
                    write.table.name
                ),
                "write to it in a session without temporary objects",
            ));
        }
        Command::Write(write) if named || names_row_type(text, scope) => match &mut write.form {
            // Followers get values, and know nothing of where they came from.
            WriteForm::Captured(capture) => capture.locked_alternative = None,
            WriteForm::Keyed { .. } | WriteForm::Locked(_) => {
                return Err(refuse(
                    format!(
                        "what it writes to \"{}\" depends on a temporary table, and followers cannot be given it as values",
                        write.table.name
                    ),
                    "give the table a primary key that the statement does not assign",
                ));
            }
        },
        Command::RowLock(lock) if lock.capture.is_none() && (named || names_row_type(text, scope)) => {
            return Err(refuse(
                "it locks rows of an ordinary table beside a temporary one",
                "lock the rows by a statement that names no temporary table",
            ));
        }
        Command::LockTable(_) if named => {
            return Err(refuse("LOCK TABLE of a temporary table", "leave it out: nobody else can see the table"));
        }
        _ => {}
    }
    Ok(judged)
}
