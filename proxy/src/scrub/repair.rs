//! Deletes and inserts on the target what a comparison found.
//!
//! A row that differs is deleted and inserted again: whole rows as text, as the base writes them, so that the target reads
//! exactly that. Deletes come first, so that a unique value may move from one row to another.

use raidb_core::scrub::{Difference, Row};

use super::ScrubError;
use super::connection::Connection;
use super::table_queries::{delete, insert, whole_rows};
use super::tables::Table;

/// Rows that are deleted at once.
const DELETED_AT_ONCE: usize = 500;
/// Rows that are carried at once; memory holds so many.
const INSERTED_AT_ONCE: usize = 50;

/// Makes one table of the target like that of the base, in the target's transaction.
pub(super) async fn table(
    base: &mut Connection,
    target: &mut Connection,
    table: &Table,
    difference: &Difference,
) -> Result<(), ScrubError> {
    for rows in difference.surplus.chunks(DELETED_AT_ONCE) {
        target.run(&table.name, &delete(table, &places(rows))).await?;
    }
    for rows in difference.missing.chunks(INSERTED_AT_ONCE) {
        let whole = base.rows(&table.name, &whole_rows(table, &places(rows))).await?;
        let whole: Vec<String> = whole.into_iter().filter_map(|row| row.into_iter().next()?).collect();
        if whole.len() != rows.len() {
            let told = format!("{}: \"{}\" does not hold its rows still", table.name, base.member());
            return Err(ScrubError::NeedsCopy(told));
        }
        target.run(&table.name, &insert(table, &whole)).await?;
    }
    Ok(())
}

fn places(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.place.as_str()).collect()
}
