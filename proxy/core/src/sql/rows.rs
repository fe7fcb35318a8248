//! Followers' SQL for captured rows.
//!
//! Values are the texts that the lead returned (`column::text`), in the client's encoding, byte for byte. Every value
//! stands with a cast to its column's full type wherever PostgreSQL would not take the column's type by itself: in
//! `INSERT … VALUES` it does for one row and for many; in `VALUES` lists of a join it does not.

use super::analysis::{CapturedOperation, LockStrength};
use super::catalog::Table;
use super::text::{quote_ident, quote_qualified};

/// Most rows in one statement.
pub const ROWS_PER_STATEMENT_MAX: usize = 500;
/// A statement is closed when it has reached this length; one row may make it longer.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024;

/// One statement for a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowStatement {
    /// Its text.
    pub sql: Vec<u8>,
    /// How many rows it must touch.
    pub rows: u64,
}

/// What was captured: the plan of an [`super::analysis::Capture`] or [`super::analysis::LockCapture`].
#[derive(Clone, Copy, Debug)]
pub struct CapturedRows<'a> {
    /// Captured columns (indexes into `Table::columns`).
    pub columns: &'a [usize],
    /// How many of them, at the front, are the key.
    pub key_columns: usize,
    /// What to do with them.
    pub operation: CapturedOperation,
}

/// A captured row: one value a column, `None` for NULL.
pub type Row<'v> = Vec<Option<&'v [u8]>>;

/// The statements that repeat captured rows on a follower, in order.
#[must_use]
pub fn follower_statements(
    table: &Table,
    captured: CapturedRows<'_>,
    rows: &[Row<'_>],
    standard_conforming: bool,
) -> Vec<RowStatement> {
    let writer = Writer { table, captured, standard_conforming };
    let mut statements = Vec::new();
    let mut first = 0;
    while first < rows.len() {
        let mut bytes = 0;
        let count = rows[first..]
            .iter()
            .take(ROWS_PER_STATEMENT_MAX)
            .take_while(|row| {
                let fits = bytes < STATEMENT_BYTES_MAX;
                bytes += row.iter().flatten().map(|value| value.len() + 8).sum::<usize>();
                fits
            })
            .count()
            .max(1);
        let batch = &rows[first..first + count];
        statements.push(RowStatement { sql: writer.statement(batch), rows: count as u64 });
        first += count;
    }
    statements
}

struct Writer<'a> {
    table: &'a Table,
    captured: CapturedRows<'a>,
    standard_conforming: bool,
}

impl Writer<'_> {
    fn statement(&self, rows: &[Row<'_>]) -> Vec<u8> {
        match self.captured.operation {
            CapturedOperation::Insert => self.insert(rows),
            CapturedOperation::Upsert => self.upsert(rows),
            CapturedOperation::Update => self.update(rows),
            CapturedOperation::Delete => self.by_key("DELETE", rows, ""),
            CapturedOperation::Lock(strength) => self.by_key("SELECT 1", rows, lock_clause(strength)),
        }
    }

    fn name(&self) -> String {
        quote_qualified(&self.table.schema, &self.table.name)
    }

    fn column(&self, place: usize) -> String {
        quote_ident(&self.table.columns[self.captured.columns[place]].name)
    }

    fn list(&self, places: std::ops::Range<usize>, item: impl Fn(String) -> String) -> String {
        places.map(|place| item(self.column(place))).collect::<Vec<_>>().join(", ")
    }

    fn insert(&self, rows: &[Row<'_>]) -> Vec<u8> {
        let columns = self.list(0..self.captured.columns.len(), |c| c);
        let mut sql = format!("INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE VALUES ", self.name()).into_bytes();
        self.values(&mut sql, rows, 0..self.captured.columns.len(), false);
        sql
    }

    fn upsert(&self, rows: &[Row<'_>]) -> Vec<u8> {
        let mut sql = self.insert(rows);
        let key = self.list(0..self.captured.key_columns, |c| c);
        let rest = self.list(self.captured.key_columns..self.captured.columns.len(), |c| format!("{c} = EXCLUDED.{c}"));
        // Every row must be touched: a row that only has a key is assigned its own key.
        let rest = if rest.is_empty() { self.list(0..1, |c| format!("{c} = EXCLUDED.{c}")) } else { rest };
        sql.extend_from_slice(format!(" ON CONFLICT ({key}) DO UPDATE SET {rest}").as_bytes());
        sql
    }

    fn update(&self, rows: &[Row<'_>]) -> Vec<u8> {
        let (key, all) = (self.captured.key_columns, self.captured.columns.len());
        let mut sql = format!("UPDATE {} AS t SET ", self.name()).into_bytes();
        if let [row] = rows {
            for (place, value) in row.iter().enumerate().skip(key) {
                let separator = if place == key { "" } else { ", " };
                sql.extend_from_slice(format!("{separator}{} = ", self.column(place)).as_bytes());
                self.value(&mut sql, place, *value, true);
            }
            sql.extend_from_slice(b" WHERE ");
            self.key_equals(&mut sql, row);
            return sql;
        }
        let set = self.list(key..all, |c| format!("{c} = v.{c}"));
        sql.extend_from_slice(format!("{set} FROM (VALUES ").as_bytes());
        self.values(&mut sql, rows, 0..all, true);
        let names = self.list(0..all, |c| c);
        let on = (0..key).map(|k| format!("t.{c} = v.{c}", c = self.column(k))).collect::<Vec<_>>().join(" AND ");
        sql.extend_from_slice(format!(") AS v({names}) WHERE {on}").as_bytes());
        sql
    }

    fn by_key(&self, what: &str, rows: &[Row<'_>], suffix: &str) -> Vec<u8> {
        let mut sql = format!("{what} FROM {} AS t WHERE ", self.name()).into_bytes();
        if let [row] = rows {
            self.key_equals(&mut sql, row);
        } else {
            let key = self.list(0..self.captured.key_columns, |c| format!("t.{c}"));
            sql.extend_from_slice(format!("({key}) IN (VALUES ").as_bytes());
            self.values(&mut sql, rows, 0..self.captured.key_columns, true);
            sql.push(b')');
        }
        sql.extend_from_slice(suffix.as_bytes());
        sql
    }

    fn key_equals(&self, sql: &mut Vec<u8>, row: &Row<'_>) {
        for (place, value) in row.iter().enumerate().take(self.captured.key_columns) {
            let separator = if place == 0 { "" } else { " AND " };
            sql.extend_from_slice(format!("{separator}t.{} = ", self.column(place)).as_bytes());
            self.value(sql, place, *value, true);
        }
    }

    /// `(…), (…)`; with casts, the first row's are enough for PostgreSQL, but a NULL there would not do.
    fn values(&self, sql: &mut Vec<u8>, rows: &[Row<'_>], places: std::ops::Range<usize>, cast: bool) {
        for (r, row) in rows.iter().enumerate() {
            sql.extend_from_slice(if r == 0 { b"(" } else { b", (" });
            for place in places.clone() {
                if place > places.start {
                    sql.extend_from_slice(b", ");
                }
                self.value(sql, place, row[place], cast && r == 0);
            }
            sql.push(b')');
        }
    }

    fn value(&self, sql: &mut Vec<u8>, place: usize, value: Option<&[u8]>, cast: bool) {
        match value {
            None => sql.extend_from_slice(b"NULL"),
            Some(value) => quote_literal(sql, value, self.standard_conforming),
        }
        if cast {
            let column = &self.table.columns[self.captured.columns[place]];
            sql.extend_from_slice(b"::");
            sql.extend_from_slice(column.type_name.as_bytes());
        }
    }
}

fn lock_clause(strength: LockStrength) -> &'static str {
    match strength {
        LockStrength::Update => " FOR UPDATE",
        LockStrength::NoKeyUpdate => " FOR NO KEY UPDATE",
        LockStrength::Share => " FOR SHARE",
        LockStrength::KeyShare => " FOR KEY SHARE",
    }
}

/// `'…'`, right under both settings of `standard_conforming_strings`: a text with a backslash is written as `E'…'`,
/// which means the same under either; the flag only saves that where it is not needed.
pub fn quote_literal(sql: &mut Vec<u8>, value: &[u8], standard_conforming: bool) {
    let escape = !standard_conforming && value.contains(&b'\\');
    sql.extend_from_slice(if escape { b" E'" } else { b"'" });
    for &b in value {
        if b == b'\'' || (escape && b == b'\\') {
            sql.push(b);
        }
        sql.push(b);
    }
    sql.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::super::testing::{table, with_key};
    use super::*;

    fn check(operation: CapturedOperation, rows: &[Row<'_>], expected: &str) {
        let table = with_key(table(1, "T", &["k int", "a text", "b timestamptz"]), &[0]);
        let captured = CapturedRows { columns: &[0, 1, 2], key_columns: 1, operation };
        let statements = follower_statements(&table, captured, rows, true);
        let sql: Vec<_> = statements.iter().map(|s| String::from_utf8_lossy(&s.sql)).collect();
        assert_eq!(sql.join("; "), expected);
        assert_eq!(statements.iter().map(|s| s.rows).sum::<u64>(), rows.len() as u64);
    }

    #[test]
    fn statements_by_key() {
        let one: &[Row<'_>] = &[vec![Some(b"1"), Some(b"it's"), None]];
        let two: &[Row<'_>] = &[vec![Some(b"1"), None, None], vec![Some(b"2"), Some(b"\\"), Some(b"x")]];
        check(
            CapturedOperation::Insert,
            two,
            r#"INSERT INTO "public"."T" ("k", "a", "b") OVERRIDING SYSTEM VALUE VALUES ('1', NULL, NULL), ('2', '\', 'x')"#,
        );
        check(
            CapturedOperation::Upsert,
            one,
            r#"INSERT INTO "public"."T" ("k", "a", "b") OVERRIDING SYSTEM VALUE VALUES ('1', 'it''s', NULL) ON CONFLICT ("k") DO UPDATE SET "a" = EXCLUDED."a", "b" = EXCLUDED."b""#,
        );
        check(
            CapturedOperation::Update,
            one,
            r#"UPDATE "public"."T" AS t SET "a" = 'it''s'::text, "b" = NULL::timestamp with time zone WHERE t."k" = '1'::integer"#,
        );
        check(
            CapturedOperation::Update,
            two,
            r#"UPDATE "public"."T" AS t SET "a" = v."a", "b" = v."b" FROM (VALUES ('1'::integer, NULL::text, NULL::timestamp with time zone), ('2', '\', 'x')) AS v("k", "a", "b") WHERE t."k" = v."k""#,
        );
        check(CapturedOperation::Delete, one, r#"DELETE FROM "public"."T" AS t WHERE t."k" = '1'::integer"#);
        check(
            CapturedOperation::Lock(LockStrength::NoKeyUpdate),
            two,
            r#"SELECT 1 FROM "public"."T" AS t WHERE (t."k") IN (VALUES ('1'::integer), ('2')) FOR NO KEY UPDATE"#,
        );
        check(CapturedOperation::Delete, &[], "");
    }

    #[test]
    fn batches_have_limits() {
        let table = with_key(table(1, "t", &["k int", "a text"]), &[0]);
        let captured = CapturedRows { columns: &[0, 1], key_columns: 0, operation: CapturedOperation::Insert };
        let counts = |rows: &[Row<'_>]| -> Vec<u64> {
            follower_statements(&table, captured, rows, true).iter().map(|s| s.rows).collect()
        };
        assert_eq!(counts(&vec![vec![Some(&b"1"[..]), None]; 1201]), [500, 500, 201]);
        let large = vec![b'x'; STATEMENT_BYTES_MAX];
        assert_eq!(counts(&vec![vec![None, Some(&large[..])]; 3]), [1, 1, 1]);
    }

    #[test]
    fn quotes_are_safe_under_both_settings() {
        let quoted = |value: &[u8], standard| {
            let mut sql = Vec::new();
            quote_literal(&mut sql, value, standard);
            String::from_utf8_lossy(&sql).into_owned()
        };
        assert_eq!(quoted(b"a'b\\c", true), "'a''b\\c'");
        assert_eq!(quoted(b"a'b\\c", false), " E'a''b\\\\c'");
    }
}
