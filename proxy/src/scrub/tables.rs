//! Which tables hold rows of users, and by which key each is walked.

use std::collections::BTreeMap;

use super::ScrubError;
use super::connection::Connection;
use crate::rejoin::tables::literal;

/// What holds the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table or a partition.
    Table,
    /// A materialized view: compared, never repaired.
    MaterializedView,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Quoted name.
    pub(super) name: String,
    /// Its type, as a cast needs it.
    pub(super) type_name: String,
    /// The member computes it.
    pub(super) generated: bool,
    /// Its place in the key, from 1.
    key: Option<usize>,
}

/// A table with rows of its own.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Quoted name, with schema.
    pub(super) name: String,
    /// What it is.
    pub(super) kind: Kind,
    /// In order.
    pub(super) columns: Vec<Column>,
}

impl Table {
    /// Columns of the key, in order; empty: it has none.
    pub(super) fn key(&self) -> Vec<&Column> {
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key.is_some()).collect();
        key.sort_by_key(|column| column.key);
        key
    }
}

/// Schemas whose contents are not users' (`n` is `pg_namespace`).
pub(super) const USERS_SCHEMAS: &str =
    "n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'";

/// One line for each column: table, kind, column, type, whether it is generated, place in the key. Tables without columns
/// have one line. The key is the primary one, or the smallest unique one that is whole and never null.
fn sql() -> String {
    format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind, pg_catalog.quote_ident(a.attname), \
           pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', \
           pg_catalog.array_position(k.keys, a.attnum) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN LATERAL (SELECT (i.indkey::int2[])[0 : i.indnkeyatts - 1] AS keys FROM pg_catalog.pg_index i \
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL \
             AND i.indexprs IS NULL AND c.relkind = 'r' \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute o WHERE o.attrelid = c.oid AND NOT o.attnotnull \
               AND o.attnum = ANY ((i.indkey::int2[])[0 : i.indnkeyatts - 1])) \
           ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) k ON true \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND {USERS_SCHEMAS} \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\", a.attnum"
    )
}

/// The base's tables. The target has the same: see [`super::schema`].
pub(super) async fn read(base: &mut Connection) -> Result<Vec<Table>, ScrubError> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for row in base.rows("tables", &sql()).await? {
        let [Some(name), kind, column, type_name, generated, place] = row.as_slice() else { continue };
        let kind = if kind.as_deref() == Some("m") { Kind::MaterializedView } else { Kind::Table };
        let table =
            tables.entry(name.clone()).or_insert_with(|| Table { name: name.clone(), kind, columns: Vec::new() });
        if let (Some(name), Some(type_name)) = (column, type_name) {
            table.columns.push(Column {
                name: name.clone(),
                type_name: type_name.clone(),
                generated: generated.as_deref() == Some("t"),
                key: place.as_deref().and_then(|place| place.parse().ok()),
            });
        }
    }
    Ok(tables.into_values().collect())
}

/// Whether writing rows would set something off though `session_replication_role` is `replica`.
pub(super) fn fires_in_a_repair(table: &Table) -> String {
    let table = literal(&table.name);
    format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = {table}::regclass AND tgenabled IN ('A', 'R')) \
         OR EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = {table}::regclass AND ev_enabled IN ('A', 'R'))"
    )
}
