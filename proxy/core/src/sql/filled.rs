//! A table that the lead has made from a query ([`super::analysis::Fill`]): what it is asked about it, and what followers get.
//!
//! Followers get the table's definition as the lead's catalog has it, not the client's text: that needs no parameters, no prepared
//! statement and no second reading of the query. The definition is a query as well, of typed NULLs: so it makes the columns in the
//! very way in which the lead made them. Then the rows come, in the order in which they lie on the lead.

use super::analysis::{Fill, OnCommit};
use super::catalog::Table;
use super::images::TableChange;
use super::images::follower::{ImageStatement, Unfit, statements};
use super::rows::quote_literal;
use super::text::{quote_ident, quote_qualified};

/// Columns of the answer to [`definition_query`].
pub const DEFINITION_COLUMNS: usize = 5;
/// The command tag of a definition.
pub const DEFINITION_TAG: &str = "CREATE TABLE AS";

/// What the lead is asked about the table: schema, definition, whether it lasts as long as it should, whether its owner may fill it
/// (`t` or `f`), a column whose values cannot be read back from their texts (or nothing).
#[must_use]
pub fn definition_query(fill: &Fill, standard_conforming: bool) -> Vec<u8> {
    // The schema of what is temporary has another name on every connection.
    let (schema, head, on_commit, lasts) = match fill.temporary {
        None => ("n.nspname", "pg_catalog.format('CREATE TABLE %I.%I', n.nspname, c.relname)", "", "p"),
        Some(on_commit) => (
            "'pg_temp'",
            "pg_catalog.format('CREATE TEMPORARY TABLE %I', c.relname)",
            match on_commit {
                OnCommit::PreserveRows => "",
                OnCommit::DeleteRows => " ON COMMIT DELETE ROWS",
                OnCommit::Drop => " ON COMMIT DROP",
            },
            "t",
        ),
    };
    let mut sql = DEFINITION
        .replace("{schema}", schema)
        .replace("{head}", head)
        .replace("{on commit}", on_commit)
        .replace("{lasts}", lasts)
        .into_bytes();
    sql.extend_from_slice(b" WHERE c.relkind = 'r' AND c.relname = ");
    quote_literal(&mut sql, fill.name.as_bytes(), standard_conforming);
    match (&fill.schema, fill.temporary) {
        (_, Some(_)) => sql.extend_from_slice(b" AND n.oid = pg_catalog.pg_my_temp_schema()"),
        (Some(schema), None) => {
            sql.extend_from_slice(b" AND n.nspname = ");
            quote_literal(&mut sql, schema.as_bytes(), standard_conforming);
        }
        (None, None) => sql.extend_from_slice(b" AND n.nspname = pg_catalog.current_schema()"),
    }
    sql
}

/// The text of a definition, made by the lead.
const DEFINITION: &str = "SELECT {schema}, {head} \
     || coalesce((SELECT pg_catalog.format(' USING %I', m.amname) FROM pg_catalog.pg_am m WHERE m.oid = c.relam), '') \
     || coalesce((SELECT ' WITH (' || pg_catalog.string_agg(o.text, ', ') || ')' FROM (\
       SELECT pg_catalog.format('%I = %L', pg_catalog.split_part(u, '=', 1), pg_catalog.substr(u, pg_catalog.strpos(u, '=') + 1)) \
         AS text FROM pg_catalog.unnest(c.reloptions) u \
       UNION ALL SELECT pg_catalog.format('toast.%I = %L', pg_catalog.split_part(u, '=', 1), \
         pg_catalog.substr(u, pg_catalog.strpos(u, '=') + 1)) \
         FROM pg_catalog.pg_class k, pg_catalog.unnest(k.reloptions) u WHERE k.oid = c.reltoastrelid) o), '') || '{on commit}' \
     || coalesce((SELECT pg_catalog.format(' TABLESPACE %I', s.spcname) FROM pg_catalog.pg_tablespace s \
       WHERE s.oid = c.reltablespace), '') \
     || ' AS SELECT ' || coalesce((SELECT pg_catalog.string_agg(pg_catalog.format('NULL::%s%s AS %I', \
       pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcollation <> t.typcollation THEN (\
         SELECT pg_catalog.format(' COLLATE %I.%I', ln.nspname, l.collname) FROM pg_catalog.pg_collation l \
         JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = a.attcollation) END, a.attname), \
       ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') || ' WITH NO DATA', \
     c.relpersistence = '{lasts}' AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t \
       ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND t.typnamespace = pg_catalog.pg_my_temp_schema()), \
     pg_catalog.has_table_privilege(c.oid, 'INSERT'), \
     coalesce((WITH RECURSIVE part(attname, of) AS (\
       SELECT a.attname, a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
       UNION SELECT p.attname, x.of FROM part p JOIN pg_catalog.pg_type t ON t.oid = p.of CROSS JOIN LATERAL (\
         SELECT t.typelem AS of WHERE t.typcategory = 'A' AND t.typelem <> 0 \
         UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd' \
         UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid OR r.rngmultitypid = t.oid \
         UNION ALL SELECT b.atttypid FROM pg_catalog.pg_attribute b WHERE b.attrelid = t.typrelid AND t.typtype = 'c' \
           AND b.attnum > 0 AND NOT b.attisdropped) x) \
       SELECT p.attname FROM part p JOIN pg_catalog.pg_type t ON t.oid = p.of WHERE \
         t.typname IN ('pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', \
           'pg_brin_minmax_multi_summary', 'gtsvector', 'aclitem', 'regproc', 'regprocedure', 'regoper', 'regoperator', \
           'regclass', 'regtype', 'regrole', 'regnamespace', 'regconfig', 'regdictionary', 'regcollation') \
         OR t.typtype = 'd' AND (t.typnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint k \
           WHERE k.contypid = t.oid AND NOT k.convalidated)) LIMIT 1)::text, '') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

/// The rows of the table, as text, in the order in which they lie there.
#[must_use]
pub fn rows_query(schema: &str, name: &str) -> String {
    format!(
        "SELECT (\"raidb row\".*)::pg_catalog.text FROM ONLY {} AS \"raidb row\" ORDER BY \"raidb row\".ctid",
        quote_qualified(schema, name)
    )
}

/// The statements that fill the table on a follower.
///
/// # Errors
/// See [`Unfit`].
pub fn fill_statements(
    table: &Table,
    rows: Vec<Vec<u8>>,
    standard_conforming: bool,
) -> Result<Vec<ImageStatement>, Unfit> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    if table.columns.is_empty() {
        let sql = format!(
            "INSERT INTO {}.{} SELECT FROM pg_catalog.generate_series(1, {})",
            quote_ident(&table.schema),
            quote_ident(&table.name),
            rows.len()
        );
        return Ok(vec![ImageStatement { sql: sql.into_bytes(), tag: format!("INSERT 0 {}", rows.len()) }]);
    }
    let change =
        TableChange { table: (table.schema.clone(), table.name.clone()), added: rows, ..TableChange::default() };
    statements(&[(&change, table)], standard_conforming).map(|work| work.statements)
}

#[cfg(test)]
mod tests {
    use super::super::testing::table;
    use super::*;

    fn filled(columns: &[&str], rows: &[&str]) -> String {
        let rows = rows.iter().map(|row| row.as_bytes().to_vec()).collect();
        let statements = fill_statements(&table(1, "T", columns), rows, true).unwrap();
        statements.iter().map(|s| format!("{} -- {}", String::from_utf8_lossy(&s.sql), s.tag)).collect()
    }

    #[test]
    fn rows_in_their_order() {
        assert_eq!(
            filled(&["a int", "b text"], &["(2,\"it's\")", "(1,)", "(1,)"]),
            r#"INSERT INTO "public"."T" ("a", "b") OVERRIDING SYSTEM VALUE VALUES ('2', 'it''s'), ('1', NULL), ('1', NULL) -- INSERT 0 3"#
        );
        assert_eq!(
            filled(&[], &["()", "()"]),
            r#"INSERT INTO "public"."T" SELECT FROM pg_catalog.generate_series(1, 2) -- INSERT 0 2"#
        );
        assert_eq!(filled(&["a int"], &[]), "");
        assert_eq!(
            fill_statements(&table(1, "T", &["a int"]), vec![b"(1,2)".to_vec()], true),
            Err(Unfit::NotOfTheTable)
        );
    }

    #[test]
    fn names_are_quoted() {
        let fill = |schema: Option<&str>| Fill {
            schema: schema.map(str::to_owned),
            name: "it's".into(),
            if_not_exists: false,
            executes: None,
            sequences: Vec::new(),
            temporary: None,
        };
        let query = |fill: &Fill| String::from_utf8(definition_query(fill, true)).unwrap();
        let end = |fill: &Fill| query(fill).rsplit_once(" WHERE c.relkind").unwrap().1.to_owned();
        let asked = " = 'r' AND c.relname = 'it''s' AND n.";
        assert_eq!(end(&fill(Some("s"))), format!("{asked}nspname = 's'"));
        assert_eq!(end(&fill(None)), format!("{asked}nspname = pg_catalog.current_schema()"));
        let temporary = Fill { temporary: Some(OnCommit::Drop), ..fill(Some("pg_temp")) };
        assert_eq!(end(&temporary), format!("{asked}oid = pg_catalog.pg_my_temp_schema()"));
        assert!(query(&temporary).contains("|| ' ON COMMIT DROP' ||"));
        assert!(!query(&temporary).contains('{'));
    }
}
