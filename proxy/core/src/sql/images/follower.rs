//! Followers' SQL for what a statement left behind: rows out, rows changed, rows in, without triggers, rules or foreign keys.
//!
//! Rows go before others come, so that a unique value may move from one row to another. A row that keeps its key is updated,
//! so that it is locked on a follower no stronger than on the lead; if a value of another unique index changes with it, it goes
//! and comes, which is the lock that the lead has on it then (but for expressions and predicates: ADR 0013, known gap).

use std::collections::{BTreeMap, HashMap};

use super::super::analysis::CapturedOperation;
use super::super::catalog::{Column, ColumnDefault, Table};
use super::super::rows::{CapturedRows, Row, follower_statements, quote_literal};
use super::super::text::{quote_ident, quote_qualified};
use super::composite;
use super::net::TableChange;

/// One statement with the command tag that it must answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStatement {
    /// Its text.
    pub sql: Vec<u8>,
    /// Its command tag.
    pub tag: String,
}

/// Why followers cannot be given a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is not of the table as the catalog has it.
    NotOfTheTable,
    /// This column is NULL, which its type does not take ([`Column::domain_not_null`]).
    NullOfDomain(String),
}

type Values = Vec<Option<Vec<u8>>>;

/// What followers are to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowerWork {
    /// In order.
    pub statements: Vec<ImageStatement>,
    /// The lead has locked rows that none of these touches: set back, or other in generated columns alone.
    pub more_locks_on_the_lead: bool,
}

/// The statements for these changes, in order, each table as the catalog has it.
///
/// # Errors
/// See [`Unfit`].
pub fn statements(changes: &[(&TableChange, &Table)], standard_conforming: bool) -> Result<FollowerWork, Unfit> {
    let emptied: Vec<String> = changes
        .iter()
        .filter(|(change, _)| change.truncated)
        .map(|(_, table)| format!("ONLY {}", quote_qualified(&table.schema, &table.name)))
        .collect();
    let mut work = FollowerWork::default();
    let statements = &mut work.statements;
    if !emptied.is_empty() {
        // All at once: they may refer to each other.
        let sql = format!("TRUNCATE {}", emptied.join(", ")).into_bytes();
        statements.push(ImageStatement { sql, tag: "TRUNCATE TABLE".to_owned() });
    }
    for (change, table) in changes {
        let rows = |texts: &[Vec<u8>]| texts.iter().map(|text| values(text, table)).collect::<Result<Vec<_>, _>>();
        let writer = Writer { table, standard_conforming };
        let added = rows(&change.added)?;
        if let Some(column) = null_of_domain(table, 0..table.columns.len(), &added) {
            return Err(Unfit::NullOfDomain(column.name.clone()));
        }
        let locks_less = writer.table(rows(&change.removed)?, added, statements);
        work.more_locks_on_the_lead |= locks_less || change.unchanged;
    }
    Ok(work)
}

fn values(text: &[u8], table: &Table) -> Result<Values, Unfit> {
    composite::columns(text).filter(|values| values.len() == table.columns.len()).ok_or(Unfit::NotOfTheTable)
}

/// The column, if any, in which one of these rows is NULL although its type does not take that.
pub fn null_of_domain<'t, V>(
    table: &'t Table,
    columns: impl Iterator<Item = usize> + Clone,
    rows: &[Vec<Option<V>>],
) -> Option<&'t Column> {
    let guarded = |(_, column): &(usize, usize)| table.columns[*column].domain_not_null;
    let null = |at: usize| rows.iter().any(|row| row.get(at).is_none_or(Option::is_none));
    columns.enumerate().filter(guarded).find(|(at, _)| null(*at)).map(|(_, column)| &table.columns[column])
}

struct Writer<'a> {
    table: &'a Table,
    standard_conforming: bool,
}

impl Writer<'_> {
    /// Returns whether a row that the lead has changed is left out.
    fn table(&self, removed: Vec<Values>, added: Vec<Values>, statements: &mut Vec<ImageStatement>) -> bool {
        let Some(key) = self.table.keys.first().map(|key| &key.columns) else {
            removed.iter().for_each(|row| statements.push(self.delete_one_like(row)));
            self.rows(CapturedOperation::Insert, &self.writable(), &added, statements);
            return false;
        };
        let mut left_out = false;
        let of_key = |row: &Values| key.iter().map(|&c| row[c].clone()).collect::<Values>();
        let mut coming: HashMap<Values, Values> = HashMap::new();
        let mut order = Vec::new();
        for row in added {
            order.push(of_key(&row));
            coming.insert(of_key(&row), row);
        }
        let several = removed.len() > 1 || order.len() > 1;
        let mut gone = Vec::new();
        let mut updates: BTreeMap<Vec<usize>, Vec<Values>> = BTreeMap::new();
        for old in removed {
            let changed = coming.get(&of_key(&old)).map(|new| self.changed(&old, new));
            match changed {
                Some(changed) if !self.goes_and_comes(&changed, several) => {
                    left_out |= changed.is_empty();
                    if let Some(new) = coming.remove(&of_key(&old)).filter(|_| !changed.is_empty()) {
                        updates.entry(changed).or_default().push(new);
                    }
                }
                _ => gone.push(old),
            }
        }
        self.rows(CapturedOperation::Delete, key, &gone, statements);
        for (changed, rows) in &updates {
            let columns: Vec<usize> = key.iter().chain(changed).copied().collect();
            self.rows(CapturedOperation::Update, &columns, rows, statements);
        }
        let added: Vec<Values> = order.iter().filter_map(|key| coming.remove(key)).collect();
        self.rows(CapturedOperation::Insert, &self.writable(), &added, statements);
        left_out
    }

    fn writable(&self) -> Vec<usize> {
        let given = |&c: &usize| self.table.columns[c].default != ColumnDefault::Generated;
        (0..self.table.columns.len()).filter(given).collect()
    }

    /// Columns that differ, without generated ones.
    fn changed(&self, old: &Values, new: &Values) -> Vec<usize> {
        self.writable().into_iter().filter(|&c| old[c] != new[c]).collect()
    }

    /// Whether an UPDATE of these columns could meet another row of the same statement, or is not to be had at all.
    fn goes_and_comes(&self, changed: &[usize], several: bool) -> bool {
        let unique = |c: &usize| self.table.keys.iter().any(|key| key.columns.contains(c));
        // An index that is no key (partial, of expressions, of columns that may be NULL) matters where values may change places.
        let constrained = |c: &usize| several && self.table.unique_columns.contains(c);
        // Identity columns take no value in an UPDATE.
        let numbered = |c: &usize| self.table.sequences.iter().any(|(column, _)| column == c);
        changed.iter().any(|c| unique(c) || constrained(c) || numbered(c))
    }

    fn rows(&self, operation: CapturedOperation, columns: &[usize], rows: &[Values], out: &mut Vec<ImageStatement>) {
        let key_columns = match operation {
            CapturedOperation::Insert => 0,
            CapturedOperation::Delete => columns.len(),
            _ => self.table.keys.first().map_or(0, |key| key.columns.len()),
        };
        let verb = match operation {
            CapturedOperation::Insert => "INSERT 0",
            CapturedOperation::Delete => "DELETE",
            _ => "UPDATE",
        };
        let captured = CapturedRows { columns, key_columns, operation };
        let rows: Vec<Row<'_>> = rows.iter().map(|row| columns.iter().map(|&c| row[c].as_deref()).collect()).collect();
        for statement in follower_statements(self.table, captured, &rows, self.standard_conforming) {
            out.push(ImageStatement { sql: statement.sql, tag: format!("{verb} {}", statement.rows) });
        }
    }

    /// One of the rows that have these values, in a table without a key. Of equal rows, one that nobody else is about to delete:
    /// two transactions that take one each do not wait for each other on the lead either.
    fn delete_one_like(&self, row: &Values) -> ImageStatement {
        let name = quote_qualified(&self.table.schema, &self.table.name);
        let head = format!("DELETE FROM ONLY {name} AS t WHERE t.ctid = (SELECT x.ctid FROM ONLY {name} AS x WHERE ");
        let mut sql = head.into_bytes();
        let columns = self.writable();
        if columns.is_empty() {
            sql.extend_from_slice(b"true");
        }
        for (place, &c) in columns.iter().enumerate() {
            let column = &self.table.columns[c];
            let and = if place == 0 { "" } else { " AND " };
            let quoted = quote_ident(&column.name);
            match &row[c] {
                None => sql.extend_from_slice(format!("{and}x.{quoted} IS NULL").as_bytes()),
                // As text: not every type has an operator for equality, and what is equal may still be written in two ways.
                Some(value) => {
                    sql.extend_from_slice(format!("{and}x.{quoted}::pg_catalog.text = ").as_bytes());
                    quote_literal(&mut sql, value, self.standard_conforming);
                    sql.extend_from_slice(format!("::{}::pg_catalog.text", column.type_name).as_bytes());
                }
            }
        }
        sql.extend_from_slice(b" LIMIT 1 FOR UPDATE SKIP LOCKED)");
        ImageStatement { sql, tag: "DELETE 1".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{table, with_key};
    use super::*;

    fn check(table: &Table, truncated: bool, removed: &[&str], added: &[&str], expected: &[(&str, &str)]) {
        let bytes = |rows: &[&str]| rows.iter().map(|row| row.as_bytes().to_vec()).collect::<Vec<_>>();
        let change = TableChange {
            table: ("public".into(), table.name.clone()),
            truncated,
            unchanged: false,
            removed: bytes(removed),
            added: bytes(added),
        };
        let found = statements(&[(&change, table)], true).unwrap().statements;
        let found: Vec<(String, String)> =
            found.into_iter().map(|s| (String::from_utf8(s.sql).unwrap(), s.tag)).collect();
        let expected: Vec<(String, String)> = expected.iter().map(|(s, t)| ((*s).into(), (*t).into())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn by_key() {
        let t = with_key(table(1, "t", &["id int", "a text", "g text=gen"]), &[0]);
        check(
            &t,
            false,
            &["(1,x,X)"],
            &["(1,y,Y)"],
            &[(r#"UPDATE "public"."t" AS t SET "a" = 'y'::text WHERE t."id" = '1'::integer"#, "UPDATE 1")],
        );
        // Generated columns follow; an update of nothing else is none.
        check(&t, false, &["(1,x,X)"], &["(1,x,Y)"], &[]);
        // The key changes; a row goes, another comes.
        check(
            &t,
            false,
            &["(1,x,X)", "(3,,)"],
            &["(2,\"it's\",X)"],
            &[
                (r#"DELETE FROM "public"."t" AS t WHERE (t."id") IN (VALUES ('1'::integer), ('3'))"#, "DELETE 2"),
                (r#"INSERT INTO "public"."t" ("id", "a") OVERRIDING SYSTEM VALUE VALUES ('2', 'it''s')"#, "INSERT 0 1"),
            ],
        );
        check(
            &t,
            true,
            &[],
            &["(2,,)"],
            &[
                (r#"TRUNCATE ONLY "public"."t""#, "TRUNCATE TABLE"),
                (r#"INSERT INTO "public"."t" ("id", "a") OVERRIDING SYSTEM VALUE VALUES ('2', NULL)"#, "INSERT 0 1"),
            ],
        );
    }

    #[test]
    fn unique_values_may_change_places() {
        let mut t = with_key(table(1, "t", &["id int", "code text", "v int"]), &[0]);
        t.keys.push(super::super::super::catalog::UniqueKey { columns: vec![1], primary: false });
        t.unique_indexes = 2;
        check(
            &t,
            false,
            &["(1,a,0)", "(2,b,0)"],
            &["(1,b,0)", "(2,a,0)"],
            &[
                (r#"DELETE FROM "public"."t" AS t WHERE (t."id") IN (VALUES ('1'::integer), ('2'))"#, "DELETE 2"),
                (
                    r#"INSERT INTO "public"."t" ("id", "code", "v") OVERRIDING SYSTEM VALUE VALUES ('1', 'b', '0'), ('2', 'a', '0')"#,
                    "INSERT 0 2",
                ),
            ],
        );
        check(
            &t,
            false,
            &["(1,a,0)", "(2,b,0)"],
            &["(1,a,1)", "(2,b,2)"],
            &[(
                r#"UPDATE "public"."t" AS t SET "v" = v."v" FROM (VALUES ('1'::integer, '1'::integer), ('2', '2')) AS v("id", "v") WHERE t."id" = v."id""#,
                "UPDATE 2",
            )],
        );
    }

    #[test]
    fn rows_are_locked_no_stronger_than_on_the_lead() {
        // A partial unique index on "code": two rows that change in "v" alone stay where they are.
        let mut t = with_key(table(1, "t", &["id int", "code text", "v int"]), &[0]);
        (t.unique_indexes, t.unique_columns) = (2, vec![0, 1]);
        check(
            &t,
            false,
            &["(1,a,0)", "(2,b,0)"],
            &["(1,a,1)", "(2,b,2)"],
            &[(
                r#"UPDATE "public"."t" AS t SET "v" = v."v" FROM (VALUES ('1'::integer, '1'::integer), ('2', '2')) AS v("id", "v") WHERE t."id" = v."id""#,
                "UPDATE 2",
            )],
        );
        let change = |removed: &[&[u8]], added: &[&[u8]], unchanged: bool| TableChange {
            table: ("public".into(), "t".into()),
            removed: removed.iter().map(|row| row.to_vec()).collect(),
            added: added.iter().map(|row| row.to_vec()).collect(),
            unchanged,
            truncated: false,
        };
        let more =
            |change: &TableChange, table: &Table| statements(&[(change, table)], true).unwrap().more_locks_on_the_lead;
        assert!(!more(&change(&[b"(1,a,0)"], &[b"(1,a,1)"], false), &t));
        assert!(more(&change(&[], &[], true), &t), "set back");
        let g = with_key(table(1, "t", &["id int", "g text=gen"]), &[0]);
        assert!(more(&change(&[b"(1,x)"], &[b"(1,y)"], false), &g), "generated");
    }

    #[test]
    fn without_a_key() {
        let t = table(1, "t", &["a int", "b text"]);
        check(
            &t,
            false,
            &["(1,)"],
            &["(1,x)", "(1,x)"],
            &[
                (
                    r#"DELETE FROM ONLY "public"."t" AS t WHERE t.ctid = (SELECT x.ctid FROM ONLY "public"."t" AS x WHERE x."a"::pg_catalog.text = '1'::integer::pg_catalog.text AND x."b" IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED)"#,
                    "DELETE 1",
                ),
                (
                    r#"INSERT INTO "public"."t" ("a", "b") OVERRIDING SYSTEM VALUE VALUES ('1', 'x'), ('1', 'x')"#,
                    "INSERT 0 2",
                ),
            ],
        );
    }

    #[test]
    fn rows_of_another_shape_are_an_error() {
        let t = table(1, "t", &["a int"]);
        let change = TableChange { added: vec![b"(1,2)".to_vec()], ..TableChange::default() };
        assert_eq!(statements(&[(&change, &t)], true), Err(Unfit::NotOfTheTable));
    }
}
