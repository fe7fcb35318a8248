//! Statements that are not proven to do the same on every member, and how they run where the configuration wants it.
//!
//! They run as they are on the lead and on the followers, one after the other, under locks of the tables that they name. What
//! is *known* to come out differently (the time, a sequence, a member's own catalogs) is refused here too: comparing command
//! tags would not find it.

use std::sync::Arc;

use sqlparser::ast::Statement;

use super::super::analysis::{Analysis, Command, Locked, Refusal, Severity, Unproven};
use super::super::catalog::{Catalog, ColumnDefault, RelationKind, Table};
use super::super::footprint::Footprint;
use super::super::lexer::TokenKind;
use super::super::text::Text;
use super::locks::exclusive;
use super::relations::{OWN_SCHEMA, Relations, relations};
use super::set_write::check_not_positioned;
use super::{Judged, Scope, Settings, Stop, fallback, insert, is_whole, refuse, row_lock, scan, settle, tree};

/// How a statement runs of which it is not proven that it does the same on every member, for this reason. The answer is
/// [`Command::Unproven`], or [`Command::Refused`] if it is known that it does not.
#[must_use]
pub fn run_unproven(text: &[u8], catalog: &Catalog, settings: &Settings, reason: &str) -> Analysis {
    let text = Text::new(text, settings.standard_conforming_strings);
    let judged = judge(&text, &Scope { catalog, settings }, reason).map_err(|stop| match stop {
        Stop::Refused(refusal) | Stop::Hidden(refusal) => {
            Stop::Refused(Refusal { severity: Severity::Impossible, ..refusal })
        }
        unknown @ Stop::Unknown(_) => unknown,
    });
    Analysis { read_footprint: Footprint::Everything, ..settle(&text, settings, judged) }
}

fn judge(text: &Text<'_>, scope: &Scope<'_>, reason: &str) -> Result<Judged, Stop> {
    if !is_whole(text) {
        return Err(refuse(reason, "send what writes as a statement of its own"));
    }
    // A cursor is on the lead alone.
    check_not_positioned(text)?;
    check_calls(text, scope, reason)?;
    let relations = if text.any(0, &["do", "call"]) { Relations::default() } else { named(text, scope, reason)? };
    for table in &relations.tables {
        check_table(table, reason)?;
    }
    if relations.member_bound {
        return Err(differs(reason, "contents of a catalog or a sequence"));
    }
    let tables = relations.tables.iter().map(|table| table.id).collect();
    let locked = Locked { lock_sql: exclusive(&relations.tables, scope) };
    let unproven = Unproven { reason: reason.to_owned(), locked };
    Ok(Judged { tables, ..Judged::plain(Command::Unproven(unproven)) })
}

/// Calls of which it is known that they do not come to the same on every member. The body of DO is looked into as far as its
/// words go.
fn check_calls(text: &Text<'_>, scope: &Scope<'_>, reason: &str) -> Result<(), Stop> {
    let check = |text: &Text<'_>| {
        let effects = scan(text, 0..text.len(), scope);
        match (effects.denied, effects.differs) {
            (Some(refusal), _) => Err(Stop::Refused(refusal)),
            (None, Some(what)) => Err(differs(reason, &what)),
            (None, None) => Ok(()),
        }
    };
    if !text.is(0, "do") {
        return check(text);
    }
    let is_string = |i: &usize| {
        use TokenKind::{DollarString, EscapeString, String, UnicodeString};
        matches!(text.kind(*i), Some(String | EscapeString | UnicodeString | DollarString))
    };
    (1..text.len()).filter(is_string).try_for_each(|i| match text.string(i) {
        Some(body) => check(&Text::new(&body, text.standard_conforming)),
        None => Err(differs(reason, "a body that is not simple to read")),
    })
}

/// The relations that the statement names.
fn named(text: &Text<'_>, scope: &Scope<'_>, reason: &str) -> Result<Relations, Stop> {
    let clauses = row_lock::clauses(text);
    let statement = tree::parse(text, &|i| clauses.iter().any(|clause| clause.contains(&i)))
        .map_err(|error| fallback::unreadable(&error))?;
    let relations = relations(&tree::facts(&statement), scope)?;
    let default = match &statement {
        Statement::Insert(_) => insert::lead_only_default(text, &statement, scope)?,
        // MERGE, a WITH query that inserts, SET column = DEFAULT: whichever column it is.
        _ if (0..text.len()).any(|i| text.any(i, &["insert", "default"])) => {
            let unknown = |table: &Table| {
                let lead_only = table.columns.iter().find(|column| column.default == ColumnDefault::LeadOnly);
                let any = table.columns.first().filter(|_| table.kind == RelationKind::View);
                any.or(lead_only).map(|column| column.name.clone())
            };
            relations.tables.iter().find_map(|table| unknown(table))
        }
        _ => None,
    };
    match default {
        Some(column) => Err(differs(reason, &format!("the default of column \"{column}\""))),
        None => Ok(relations),
    }
}

fn check_table(table: &Arc<Table>, reason: &str) -> Result<(), Stop> {
    if table.schema == OWN_SCHEMA {
        return Err(refuse(format!("\"{}\".\"{}\" is a system table", table.schema, table.name), "leave it out"));
    }
    if table.kind == RelationKind::Foreign {
        return Err(differs(reason, &format!("what members reach through the foreign table \"{}\"", table.name)));
    }
    if table.temporary {
        return Err(differs(reason, &format!("the contents of the temporary or unlogged table \"{}\"", table.name)));
    }
    Ok(())
}

fn differs(reason: &str, what: &str) -> Stop {
    refuse(
        format!("{reason}; and {what}: each member would have its own"),
        "give the value in the statement; what is known to differ is refused under unsafe_statement = \"warn\" too",
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{sample, settings};
    use super::*;

    /// `run …locks` or `refused reason`.
    fn run(sql: &str) -> String {
        let (catalog, settings) = (sample(), settings());
        match run_unproven(sql.as_bytes(), &catalog, &settings, "why").command {
            Command::Unproven(unproven) => {
                let names = unproven.locked.lock_sql.iter().map(|sql| sql.split('"').nth(3).unwrap_or("?").to_owned());
                format!("run {}", names.collect::<Vec<_>>().join(" "))
            }
            Command::Refused(refusal) => {
                assert_eq!(refusal.severity, Severity::Impossible, "{sql}");
                format!("refused {}", refusal.reason)
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_may_do_the_same_runs_under_locks() {
        for (sql, expected) in [
            ("insert into triggered values ($1, 2)", "run triggered"),
            ("delete from parent where id = 1", "run child parent"),
            ("select audit(1)", "run "),
            ("select audit(id) from parent", "run child parent"),
            ("delete from view where id = 1", "run view"),
            ("merge into two using keyless on two.id = keyless.a when matched then delete", "run keyless two"),
            ("with x as (delete from two returning id) select * from x", "run two"),
            ("select * from two, doc for update", "run doc two"),
            ("do $$ begin perform audit(1); end $$", "run "),
            ("call audit(1)", "run "),
        ] {
            assert_eq!(run(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_known_to_differ_does_not_run() {
        for (sql, what) in [
            ("insert into triggered values (1, now())", "now()"),
            ("select audit(nextval('serial_id_seq'))", "nextval()"),
            ("select audit(1), random()", "random()"),
            ("insert into triggered select oid, 1 from pg_class", "contents of a catalog"),
            ("select audit(id) from foreign_table", "foreign table"),
            ("insert into unlogged values (1)", "unlogged"),
            ("do $$ begin insert into two values (1, 'a', random()); end $$", "random()"),
            ("select audit(1), pg_advisory_xact_lock(1)", "pg_advisory_xact_lock()"),
            ("delete from triggered where current of c", "a cursor's row"),
            ("insert into triggered valuez (1)", "cannot read"),
            ("insert into view values (1)", "the default of column"),
            ("select audit(txid_current()::int)", "txid_current()"),
            ("copy (select audit(1)) to stdout", "why"),
            ("explain select audit(1)", "why"),
            ("insert into stamped (id, f) values (1, audit(1)::text)", "the default of column \"at\""),
            ("insert into stamped values (1, default, 2, 3, audit(1)::text)", "the default of column \"at\""),
            (
                "with x as (insert into serial (name) values ('a') returning id) select 1",
                "the default of column \"id\"",
            ),
        ] {
            let got = run(sql);
            assert!(got.starts_with("refused") && got.contains(what), "{sql}: {got}");
        }
    }
}
