//! Table locks: those that the locked form takes first, and LOCK TABLE itself.

use std::sync::Arc;

use super::super::analysis::{Command, Locked, TableLock};
use super::super::catalog::{RelationKind, Table};
use super::super::footprint::Footprint;
use super::super::text::{Text, quote_qualified};
use super::relations::{Relations, display, is_system};
use super::{Judged, Scope, Stop, unknown};

/// Locks for a statement that writes `table` and reads `reads`: nobody else may write to the written table's group,
/// nor to what is read, until the transaction ends. In one order everywhere, so that two of them cannot deadlock.
pub(crate) fn locked(table: &Table, reads: &[Arc<Table>], scope: &Scope<'_>) -> Locked {
    // Nobody else can see what is temporary.
    let lockable = |t: &Table| {
        matches!(t.kind, RelationKind::Table | RelationKind::Partitioned) && !is_system(t) && !t.is_of_session()
    };
    let mut locks: Vec<(&str, &str, bool)> =
        scope.group(table).filter(|t| lockable(t)).map(|t| (t.schema.as_str(), t.name.as_str(), true)).collect();
    locks.extend(
        reads
            .iter()
            .filter(|t| t.group != table.group && lockable(t))
            .map(|t| (t.schema.as_str(), t.name.as_str(), false)),
    );
    locks.sort_unstable();
    locks.dedup();
    let statement = |(schema, name, write): &(&str, &str, bool)| {
        let mode = if *write { "SHARE ROW EXCLUSIVE" } else { "SHARE" };
        format!("LOCK TABLE {} IN {mode} MODE", quote_qualified(schema, name))
    };
    Locked { lock_sql: locks.iter().map(statement).collect() }
}

/// Locks for a statement that may write any of these tables, or what depends on them.
pub(crate) fn exclusive(tables: &[Arc<Table>], scope: &Scope<'_>) -> Vec<String> {
    let lockable = |t: &&Arc<Table>| {
        matches!(t.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::View) && !is_system(t)
    };
    let named = tables.iter().flat_map(|table| scope.group(table)).filter(lockable);
    let mut names: Vec<(&str, &str)> = named.map(|t| (t.schema.as_str(), t.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let lock = |(schema, name): &(&str, &str)| {
        format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", quote_qualified(schema, name))
    };
    names.iter().map(lock).collect()
}

/// LOCK [TABLE] [ONLY] name [*], … [IN mode MODE] [NOWAIT].
pub(crate) fn judge(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let mut at = 1 + usize::from(text.is(1, "table"));
    let mut relations = Relations::default();
    loop {
        at += usize::from(text.is(at, "only"));
        let (schema, name, behind) = text.qualified(at).ok_or_else(|| unknown("this form of LOCK"))?;
        let table =
            scope.resolve(schema.as_deref(), &name).ok_or_else(|| unknown(&display(schema.as_deref(), &name)))?;
        relations.add(table);
        at = behind + usize::from(text.operator(behind, "*"));
        if !text.symbol(at, ",") {
            break;
        }
        at += 1;
    }
    let read_footprint = relations.footprint();
    let footprint = if read_footprint.is_nothing() { Footprint::Everything } else { read_footprint.clone() };
    // Without IN … MODE it is ACCESS EXCLUSIVE.
    let shuts_out_readers = !text.is(at, "in") || (text.is(at + 1, "access") && text.is(at + 2, "exclusive"));
    Ok(Judged {
        tables: relations.tables.iter().map(|t| t.id).collect(),
        read_footprint,
        ..Judged::plain(Command::LockTable(TableLock { footprint, shuts_out_readers }))
    })
}
