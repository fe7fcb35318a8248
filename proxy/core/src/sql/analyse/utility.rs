//! DDL and the like, decided by keywords: the parser fails on many of these statements, and their heads are enough.
//!
//! What is made once and the same by the same text on every member is a utility. What would be computed by each member
//! for itself, reaches outside the database, or names a thing of one member, is refused.

use super::super::analysis::{Command, Utility};
use super::super::footprint::Footprint;
use super::super::text::Text;
use super::relations::{Relations, check_writable};
use super::utility_checks::{check_alter_table, check_no_frozen_time};
use super::{Judged, Scope, Stop, concurrent, fill, hidden, read, refuse, temporary, unknown};

/// Kinds of objects that CREATE, ALTER and DROP may name; longer ones first.
const KINDS: &[&str] = &[
    "access method",
    "aggregate",
    "cast",
    "collation",
    "constraint trigger",
    "conversion",
    "default privileges",
    "domain",
    "extension",
    "function",
    "group",
    "index",
    "language",
    "operator",
    "owned",
    "policy",
    "procedural language",
    "procedure",
    "recursive view",
    "role",
    "routine",
    "rule",
    "schema",
    "sequence",
    "statistics",
    "table",
    "text search",
    "transform",
    "trigger",
    "trusted language",
    "type",
    "unique index",
    "user",
    "view",
];

/// Kinds that are refused, with the reason and the hint.
const REFUSED_KINDS: &[(&str, &str, &str)] = &[
    ("database", "a database is not part of the virtual database", "make it on every member directly"),
    ("tablespace", "a tablespace is a directory of one member's machine", "make it on every member directly"),
    ("system", "ALTER SYSTEM changes one member's configuration", "change it on every member directly"),
    ("publication", "a publication sends one member's changes elsewhere", "make it on the member that is to send"),
    ("subscription", "a subscription writes to a member behind raidb's back", "let the source write through raidb"),
    ("server", "each member would reach the other server by itself", "connect the application to that server"),
    ("foreign", "each member would reach the other server by itself", "connect the application to that server"),
    ("user mapping", "each member would reach the other server by itself", "connect the application to that server"),
    ("event trigger", "an event trigger would also run for raidb's own work", "do its work in the application"),
    ("large object", "large objects are not replicated", "keep the bytes in a bytea column"),
    (
        "materialized view",
        "a materialized view is filled by each member for itself",
        "use a view, or a table and INSERT … SELECT",
    ),
    ("unlogged", "an unlogged object is emptied when its member crashes", "leave out UNLOGGED"),
];

/// Statements that are refused by their first word.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "refresh",
        "a materialized view is filled by each member for itself",
        "use a view, or a table and INSERT … SELECT",
    ),
    ("security", "security labels belong to one member", "set them on every member directly"),
    ("import", "each member would reach the other server by itself", "connect the application to that server"),
    ("load", "LOAD changes one member's process", "use shared_preload_libraries on every member"),
];

/// Judges every statement that no other file of this folder reads.
pub(crate) fn judge(text: &Text<'_>, first: &str, scope: &Scope<'_>) -> Result<Judged, Stop> {
    if let Some((_, reason, hint)) = REFUSED.iter().find(|(word, ..)| *word == first) {
        return Err(refuse(*reason, *hint));
    }
    if let Some(judged) = temporary::utility(text, first, scope)? {
        return Ok(judged);
    }
    match first {
        "merge" => Err(read::merge()),
        "do" => {
            Err(hidden("DO runs code that raidb cannot see through", "send its statements one by one in a transaction"))
        }
        "call" => Err(hidden(
            "CALL runs code that raidb cannot see through",
            "send the procedure's statements one by one in a transaction",
        )),
        "create" => object(text, first, scope),
        "alter" | "drop" => object(text, first, scope).map(shuts_out_readers),
        "truncate" => truncate(text, scope).map(shuts_out_readers),
        "comment" | "grant" | "revoke" => {
            if text.are(1, &["on", "large"]) || (0..text.len()).any(|i| text.are(i, &["large", "object"])) {
                return Err(refuse_kind("large object"));
            }
            Ok(plain(Footprint::Everything))
        }
        "reassign" => Ok(ddl()),
        "vacuum" | "analyze" | "analyse" | "checkpoint" | "cluster" => Ok(alone()),
        "reindex" => {
            concurrent::check_plain(text)?;
            if text.any(1, &["database", "system"]) {
                return Err(refuse(
                    "REINDEX of a whole database names it, and members may name it differently",
                    "use REINDEX SCHEMA",
                ));
            }
            Ok(alone())
        }
        _ => Err(unknown(&format!("a statement that starts with \"{}\"", first.to_ascii_uppercase()))),
    }
}

/// In a transaction block; the facts of the catalog stay as they are.
pub(super) fn utility(footprint: Footprint) -> Utility {
    Utility {
        transactional: true,
        changes_catalog: false,
        shuts_out_readers: false,
        temporary: false,
        until_commit: false,
        footprint,
    }
}

/// In a transaction block, and the catalog changes.
pub(crate) fn ddl() -> Judged {
    judged(Utility { changes_catalog: true, ..utility(Footprint::Everything) })
}

/// In a transaction block; the facts of the catalog stay as they are.
fn plain(footprint: Footprint) -> Judged {
    judged(utility(footprint))
}

/// Outside a transaction block; the facts of the catalog stay as they are.
fn alone() -> Judged {
    judged(Utility { transactional: false, ..utility(Footprint::Everything) })
}

/// ALTER, DROP and TRUNCATE take locks that nobody reads beside.
fn shuts_out_readers(mut judged: Judged) -> Judged {
    if let Command::Utility(utility) = &mut judged.command {
        utility.shuts_out_readers = true;
    }
    judged
}

pub(super) fn judged(utility: Utility) -> Judged {
    Judged::plain(Command::Utility(utility))
}

/// Why such objects are refused.
pub(crate) fn refuse_kind(kind: &str) -> Stop {
    let (_, reason, hint) = REFUSED_KINDS.iter().find(|(k, ..)| *k == kind).unwrap_or(&REFUSED_KINDS[0]);
    refuse(*reason, *hint)
}

pub(super) fn is_kind(text: &Text<'_>, at: usize, kind: &str) -> bool {
    kind.split(' ').enumerate().all(|(k, word)| text.is(at + k, word))
}

pub(super) fn check_not_concurrent(text: &Text<'_>) -> Result<(), Stop> {
    if (0..text.len().min(8)).any(|i| text.is(i, "concurrently")) {
        return Err(misplaced());
    }
    Ok(())
}

/// Where the word belongs it was read before (`concurrent.rs`). In a transaction, where this is tried, no form of it runs.
pub(super) fn misplaced() -> Stop {
    unknown("CONCURRENTLY where it does not belong")
}

/// CREATE, ALTER, DROP.
fn object(text: &Text<'_>, first: &str, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let at = if text.are(1, &["or", "replace"]) { 3 } else { 1 };
    if let Some((_, reason, hint)) = REFUSED_KINDS.iter().find(|(kind, ..)| is_kind(text, at, kind)) {
        let gone = first == "drop" && text.are(at, &["materialized", "view"]);
        if !gone {
            return Err(refuse(*reason, *hint));
        }
        return Ok(ddl());
    }
    let Some(kind) = KINDS.iter().find(|kind| is_kind(text, at, kind)) else {
        return Err(unknown(&format!("this form of {}", first.to_ascii_uppercase())));
    };
    if (first, *kind) == ("create", "table") && fill::is_create(text) {
        return fill::create(text, at + 1, None, scope);
    }
    if kind.ends_with("index") {
        check_not_concurrent(text)?;
    }
    if matches!(*kind, "table" | "domain" | "type" | "view") {
        check_no_frozen_time(text)?;
    }
    let role = matches!(*kind, "role" | "user" | "group");
    if first == "alter" && role && (at + 1..text.len()).any(|i| text.any(i, &["set", "reset"])) {
        return Err(refuse(
            "settings of a role change what texts mean, and not on connections that are open already",
            "SET it in the sessions, or make it on every member directly while the proxy is stopped",
        ));
    }
    match (first, *kind) {
        ("alter", "table") => check_alter_table(text, at + 1, scope)?,
        ("create", "schema") if (3..text.len()).any(|i| text.is(i, "create")) => {
            return Err(refuse("objects inside CREATE SCHEMA", "make them by statements of their own"));
        }
        _ => {}
    }
    Ok(ddl())
}

/// TRUNCATE [TABLE] [ONLY] name [*], ….
fn truncate(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let mut at = 1 + usize::from(text.is(1, "table"));
    let mut relations = Relations::default();
    let mut known = true;
    loop {
        at += usize::from(text.is(at, "only"));
        let (schema, name, behind) = text.qualified(at).ok_or_else(|| unknown("this form of TRUNCATE"))?;
        match scope.resolve(schema.as_deref(), &name) {
            Some(table) => {
                check_writable(table)?;
                if (at..text.len()).any(|i| text.is(i, "cascade")) {
                    scope.group(table).try_for_each(|other| check_writable(other))?;
                }
                relations.add(table);
            }
            None => known = false,
        }
        at = behind + usize::from(text.operator(behind, "*"));
        if !text.symbol(at, ",") {
            break;
        }
        at += 1;
    }
    let footprint = if known { relations.footprint() } else { Footprint::Everything };
    Ok(Judged { tables: relations.tables.iter().map(|t| t.id).collect(), ..plain(footprint) })
}
