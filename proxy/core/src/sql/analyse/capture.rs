//! What the lead is asked to return so that followers can repeat a write by key.

use super::super::analysis::{Capture, CapturedOperation, Locked};
use super::super::catalog::{ColumnDefault, Table, UniqueKey};
use super::super::text::quote_ident;

/// `("t"."a")::pg_catalog.text AS "raidb.captured", …`. Named so that a client's `ORDER BY a` still means its own column. Qualified: other tables of an UPDATE … FROM may have columns of the same name.
pub(crate) fn items(table: &Table, qualifier: &str, columns: &[usize]) -> String {
    let item = |column: &usize| {
        format!(
            "({}.{})::pg_catalog.text AS \"raidb.captured\"",
            quote_ident(qualifier),
            quote_ident(&table.columns[*column].name)
        )
    };
    columns.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// Columns that may be given values.
pub(crate) fn writable_columns(table: &Table) -> Vec<usize> {
    (0..table.columns.len()).filter(|&c| table.columns[c].default != ColumnDefault::Generated).collect()
}

/// The first usable key of which no column is assigned; the primary key comes first.
pub(crate) fn unassigned_key<'t>(table: &'t Table, assigned: &[usize]) -> Option<&'t UniqueKey> {
    table.keys.iter().find(|key| !key.columns.iter().any(|c| assigned.contains(c)))
}

/// Puts a capture together: `key` columns first, then `rest` without those.
pub(crate) fn build(
    table: &Table,
    qualifier: &str,
    client_returning: bool,
    operation: CapturedOperation,
    (key, rest): (&[usize], &[usize]),
) -> Capture {
    let mut columns = key.to_vec();
    columns.extend(rest.iter().filter(|c| !key.contains(c)));
    let items = items(table, qualifier, &columns);
    let lead_suffix = if client_returning { format!(", {items}") } else { format!(" RETURNING {items}") };
    Capture { lead_suffix, columns, key_columns: key.len(), operation, locked_alternative: None }
}

/// The same with an alternative.
pub(crate) fn or_locked(mut capture: Capture, locked: Option<Locked>) -> Capture {
    capture.locked_alternative = locked;
    capture
}
