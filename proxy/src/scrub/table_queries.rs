//! The questions of a plan (`raidb_core::scrub::Ask`) as SQL.
//!
//! A table with a key is walked in the order of the key, a table without one in the order of a hash of its rows. Names
//! that the queries give to things have a blank in them, so that no column has the same.

use raidb_core::scrub::{Key, KeyRange};

use super::tables::Table;
use crate::rejoin::tables::literal;

/// Bytes of a row without a key that name it in reports.
const ROW_SHOWN: usize = 60;

/// A table, ready to be asked.
pub(super) struct Walk<'a> {
    table: &'a Table,
    /// Expressions of the key, and their types.
    key: Vec<(String, String)>,
    keyed: bool,
}

/// A hash of everything in the row. `COLLATE "C"`: bytes count, not what a collation takes for equal.
fn hash(seed: u8) -> String {
    format!("pg_catalog.hashtextextended((\"raidb row\".*)::text COLLATE \"C\", {seed})")
}

impl<'a> Walk<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        let columns = table.key();
        let keyed = !columns.is_empty();
        let key = if keyed {
            let column = |c: &&super::tables::Column| (format!("\"raidb row\".{}", c.name), c.type_name.clone());
            columns.iter().map(column).collect()
        } else {
            vec![(hash(1), "bigint".to_owned())]
        };
        Walk { table, key, keyed }
    }

    /// `FROM`, without what inherits from it: that is a table of its own.
    fn from(&self) -> String {
        format!("FROM ONLY {} AS \"raidb row\"", self.table.name)
    }

    fn key_row(&self) -> String {
        let expressions: Vec<&str> = self.key.iter().map(|(expression, _)| expression.as_str()).collect();
        format!("({})", expressions.join(", "))
    }

    fn value_row(&self, key: &Key) -> String {
        let values = self.key.iter().zip(key).map(|((_, kind), value)| format!("{}::{kind}", literal(value)));
        format!("({})", values.collect::<Vec<_>>().join(", "))
    }

    fn within(&self, range: &KeyRange) -> String {
        let bound = |operator: &str, key: &Key| format!("{} {operator} {}", self.key_row(), self.value_row(key));
        let bounds =
            [range.after.as_ref().map(|key| bound(">", key)), range.up_to.as_ref().map(|key| bound("<=", key))];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        if bounds.is_empty() { "true".to_owned() } else { bounds.join(" AND ") }
    }

    /// Number of the part, rows, two sums; parts without rows are left out.
    pub(super) fn checksums(&self, range: &KeyRange, bounds: &[Key]) -> String {
        let part = if bounds.is_empty() {
            "0".to_owned()
        } else {
            let when = |(n, bound)| format!("WHEN {} <= {} THEN {n}", self.key_row(), self.value_row(bound));
            let parts: Vec<String> = bounds.iter().enumerate().map(when).collect();
            format!("CASE {} ELSE {} END", parts.join(" "), bounds.len())
        };
        format!(
            "SELECT \"raidb part\", count(*), pg_catalog.sum(\"raidb 1\"::numeric), pg_catalog.sum(\"raidb 2\"::numeric) \
             FROM (SELECT {part} AS \"raidb part\", {} AS \"raidb 1\", {} AS \"raidb 2\" {} WHERE {}) AS \"raidb rows\" \
             GROUP BY \"raidb part\"",
            hash(1),
            hash(2),
            self.from(),
            self.within(range)
        )
    }

    /// Every so-many-th key, one column for each of its values.
    pub(super) fn bounds(&self, range: &KeyRange, every: u64) -> String {
        let names: Vec<String> = (0..self.key.len()).map(|n| format!("\"raidb key {n}\"")).collect();
        let inner: Vec<String> =
            self.key.iter().zip(&names).map(|((expression, _), name)| format!("{expression} AS {name}")).collect();
        let outer: Vec<String> = names.iter().map(|name| format!("{name}::text")).collect();
        let order: Vec<&str> = self.key.iter().map(|(expression, _)| expression.as_str()).collect();
        format!(
            "SELECT {} FROM (SELECT {}, pg_catalog.row_number() OVER (ORDER BY {}) AS \"raidb n\" {} WHERE {}) \
             AS \"raidb keys\" WHERE \"raidb n\" % {every} = 0 ORDER BY \"raidb n\"",
            outer.join(", "),
            inner.join(", "),
            order.join(", "),
            self.from(),
            self.within(range)
        )
    }

    /// Place, key and hashes of each row.
    pub(super) fn rows(&self, range: &KeyRange) -> String {
        let shown = match self.key.as_slice() {
            _ if !self.keyed => format!("pg_catalog.left((\"raidb row\".*)::text, {ROW_SHOWN})"),
            [(expression, _)] => format!("{expression}::text"),
            _ => format!("ROW{}::text", self.key_row()),
        };
        format!(
            "SELECT \"raidb row\".ctid, {shown}, {}, {} {} WHERE {}",
            hash(1),
            hash(2),
            self.from(),
            self.within(range)
        )
    }
}

/// The whole rows at these places, as text.
pub(super) fn whole_rows(table: &Table, places: &[&str]) -> String {
    format!(
        "SELECT (\"raidb row\".*)::text FROM ONLY {} AS \"raidb row\" WHERE \"raidb row\".ctid = ANY ({})",
        table.name,
        array(places)
    )
}

/// Deletes the rows at these places.
pub(super) fn delete(table: &Table, places: &[&str]) -> String {
    format!("DELETE FROM ONLY {} AS \"raidb row\" WHERE \"raidb row\".ctid = ANY ({})", table.name, array(places))
}

/// Inserts whole rows, given as text. What the member computes itself is left out.
pub(super) fn insert(table: &Table, rows: &[String]) -> String {
    let written: Vec<&str> = table.columns.iter().filter(|c| !c.generated).map(|c| c.name.as_str()).collect();
    let values: Vec<String> = written.iter().map(|name| format!("(\"raidb rows\".\"raidb row\").{name}")).collect();
    let rows: Vec<String> = rows.iter().map(|row| format!("({}::{})", literal(row), table.name)).collect();
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM (VALUES {}) AS \"raidb rows\"(\"raidb row\")",
        table.name,
        written.join(", "),
        values.join(", "),
        rows.join(", ")
    )
}

fn array(places: &[&str]) -> String {
    let places: Vec<String> = places.iter().map(|place| format!("\"{place}\"")).collect();
    format!("'{{{}}}'::pg_catalog.tid[]", places.join(","))
}
