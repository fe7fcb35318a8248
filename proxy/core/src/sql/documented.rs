//! docs/what-is-replicated-how.md says what the analysis says: its tables are made from this list of statements.
//!
//! The test compares them with the document; with `RAIDB_WRITE_DOCS=1` it writes them into it (`make docs`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::analysis::{Command, Severity};
use super::catalog::{Catalog, TEMPORARY_SCHEMA, Table};
use super::route::{Goes, Route, route};
use super::testing::{sample, settings, table, with_key};
use super::{analyse, run_unproven};

/// Set: the document is written instead of compared.
const WRITE: &str = "RAIDB_WRITE_DOCS";

/// Statements that are carried out. Their tables are those of [`sample`].
const CARRIED_OUT: &[&str] = &[
    "INSERT INTO parent VALUES ($1, $2)",
    "INSERT INTO parent VALUES (1, 'a') ON CONFLICT DO NOTHING",
    "UPDATE parent SET name = upper(name) WHERE id = $1",
    "DELETE FROM two WHERE code = 'x'",
    "INSERT INTO serial (name) VALUES ('x')",
    "INSERT INTO doc VALUES (gen_random_uuid(), 'x')",
    "INSERT INTO parent SELECT a, 'x' FROM keyless",
    "INSERT INTO parent VALUES (1, 'a'), (2, 'b') ON CONFLICT DO NOTHING",
    "UPDATE parent SET name = 'x' WHERE name = 'y'",
    "UPDATE stamped SET at = now() WHERE id = $1",
    "UPDATE child SET name = p.name FROM parent p WHERE p.id = parent_id",
    "DELETE FROM parent WHERE id IN (SELECT a FROM keyless LIMIT 5)",
    "DELETE FROM keyless WHERE a = 1",
    "INSERT INTO triggered VALUES (1, 2)",
    "UPDATE ruled SET v = 1 WHERE id = 1",
    "DELETE FROM cascading WHERE id = 1",
    "INSERT INTO view VALUES (1)",
    "INSERT INTO stamped (id) VALUES (1)",
    "UPDATE parent SET name = audit(1)::text WHERE id = 1",
    "UPDATE two SET id = id + 1, code = 'x' WHERE v = 1",
    "INSERT INTO parent SELECT 1, 'a' FROM loud_view",
    "INSERT INTO parent VALUES (1, 'a'), (2, 'b') ON CONFLICT (id) DO UPDATE SET id = 3",
    "UPDATE keyless SET b = random()",
    "MERGE INTO parent USING two ON two.id = parent.id WHEN MATCHED THEN DELETE",
    "WITH x AS (DELETE FROM two RETURNING id) SELECT * FROM x",
    "DELETE FROM parent WHERE CURRENT OF c",
    "DO $$ BEGIN PERFORM audit(1); END $$",
    "CALL audit(1)",
    "SELECT audit(1), nextval('serial_id_seq')",
    "DELETE parent",
    "COPY parent FROM STDIN",
    "COPY serial (name) FROM STDIN",
    "COPY triggered FROM STDIN",
    "SELECT * FROM parent WHERE id = 1 FOR UPDATE",
    "SELECT * FROM parent ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED",
    "LOCK TABLE parent",
    "SELECT * FROM parent WHERE id = 1",
    "SELECT count(*), now() FROM parent",
    "SELECT * FROM view",
    "SELECT audit(1)",
    "SELECT nextval('serial_id_seq')",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM parent",
    "FETCH 10 FROM c",
    "SELECT nextval($1)",
    "SELECT relname FROM pg_class",
    "COPY parent TO STDOUT",
    "EXPLAIN DELETE FROM parent",
    "CREATE TABLE t (id int PRIMARY KEY)",
    "CREATE TABLE t AS SELECT *, now() FROM parent",
    "SELECT 1 AS a INTO t FROM parent",
    "CREATE TEMP TABLE t (id int PRIMARY KEY) ON COMMIT DROP",
    "CREATE TEMP TABLE t AS SELECT *, now() FROM parent",
    "INSERT INTO own VALUES ($1, 'a')",
    "DELETE FROM own WHERE name = 'x'",
    "INSERT INTO parent SELECT id, name FROM own",
    "SELECT * FROM own",
    "COPY own FROM STDIN",
    "DROP TABLE own",
    "ALTER TABLE parent ADD COLUMN x int DEFAULT 0",
    "CREATE INDEX ON parent (name)",
    "CREATE INDEX CONCURRENTLY ON parent (name)",
    "DROP INDEX CONCURRENTLY i",
    "REINDEX TABLE CONCURRENTLY parent",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "GRANT SELECT ON parent TO public",
    "TRUNCATE parent",
    "VACUUM parent",
    "SET search_path = app",
    "SELECT set_config('work_mem', '64MB', false)",
    "PREPARE p AS DELETE FROM parent WHERE id = $1",
    "EXECUTE p (1)",
    "DEALLOCATE p",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_lock($1)",
    "SELECT pg_advisory_unlock(1)",
    "LISTEN a",
    "NOTIFY a, 'b'",
    "SELECT pg_notify('a', $1)",
    "SAVEPOINT s",
    "COMMIT",
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "SHOW raidb.token",
    "SELECT raidb.outcome('…')",
    "EXPLAIN ROUTE DELETE FROM parent",
];

/// Statements that are refused.
const REFUSED: &[&str] = &[
    "INSERT INTO calls VALUES (1, 2)",
    "UPDATE always SET v = 1 WHERE id = 1",
    "TRUNCATE triggered",
    "SELECT * FROM two, doc FOR UPDATE",
    "SELECT * FROM keyless FOR UPDATE",
    "SELECT * FROM view FOR UPDATE",
    "SELECT id, audit(id) FROM parent FOR UPDATE",
    "SELECT pg_advisory_xact_lock(hashtext('a'))",
    "PREPARE p AS SELECT pg_advisory_lock(1)",
    "SELECT id, pg_notify('a', name) FROM parent",
    "SELECT pg_listening_channels()",
    "SELECT lo_create(0)",
    "SELECT dblink_exec('host=b', 'DELETE FROM t')",
    "SELECT pg_reload_conf()",
    "INSERT INTO unlogged VALUES (1)",
    "INSERT INTO foreign_table VALUES (1)",
    "INSERT INTO pg_class VALUES (1)",
    "SELECT set_config('work_mem', $1, false)",
    "CREATE TABLE t AS SELECT audit(id) FROM parent",
    "ALTER TABLE parent ADD COLUMN x timestamptz DEFAULT clock_timestamp()",
    "CREATE TABLE t (at timestamptz DEFAULT 'now')",
    "MERGE INTO own USING two ON two.id = own.id WHEN MATCHED THEN DELETE",
    "UPDATE own SET id = random()",
    "DELETE FROM keyless WHERE a IN (SELECT id FROM own)",
    "LOCK TABLE own",
    "DROP TABLE own, parent",
    "CREATE VIEW v AS SELECT * FROM own",
    "CREATE TEMP TABLE t () INHERITS (parent)",
    "CREATE TEMP TABLE pg_t (id int)",
    "CREATE TEMP TABLE text (id int)",
    "DROP TABLE pg_temp_3.own",
    "SET search_path = public, pg_temp_3",
    "EXECUTE p (CAST(ROW(1, 'a') AS own))",
    "CREATE TEMP FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE MATERIALIZED VIEW m AS SELECT 1",
    "REFRESH MATERIALIZED VIEW m",
    "CREATE UNLOGGED TABLE t (id int)",
    "CREATE DATABASE d",
    "CREATE TABLESPACE s LOCATION '/s'",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "REINDEX DATABASE d",
    "ALTER TABLE parent DETACH PARTITION child CONCURRENTLY",
    "CREATE PUBLICATION p",
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
    "CREATE SERVER s FOREIGN DATA WRAPPER w",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
    "SECURITY LABEL ON TABLE parent IS 'x'",
    "ALTER ROLE app SET search_path = a",
    "DECLARE c CURSOR WITH HOLD FOR SELECT audit()",
    "DECLARE c CURSOR FOR SELECT * FROM parent FOR UPDATE",
    "COPY parent FROM '/file'",
    "COPY serial (name) FROM STDIN (FREEZE)",
    "COPY always FROM STDIN",
    "EXPLAIN ANALYZE DELETE FROM parent",
    "SELECT raidb.outcome('…') FROM parent",
    "SET raidb.capture = on",
    "SET synchronous_commit = off",
    "SET transaction_isolation = 'serializable'",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION app",
    "SET extra_float_digits = 0",
    "SET client_encoding = 'SJIS'",
    "SET TRANSACTION SNAPSHOT '1'",
];

/// Where the statement is sent: in a session that has the temporary table `own`, if it names that.
fn catalog_for(sql: &str) -> Catalog {
    if !sql.contains(" own") {
        return sample();
    }
    let own = with_key(table(1, "own", &["id int", "name text"]), &[0]);
    sample().with_temporary(&[Arc::new(Table { schema: TEMPORARY_SCHEMA.to_owned(), temporary: true, ..own })], 1)
}

fn route_of(sql: &str) -> Route {
    let (catalog, settings) = (catalog_for(sql), settings());
    route(sql.as_bytes(), &analyse(sql.as_bytes(), &catalog, &settings), &catalog)
}

fn place(goes: Goes) -> &'static str {
    match goes {
        Goes::Nowhere => "none",
        Goes::AnyMember => "any one",
        Goes::Lead => "the lead",
        Goes::LeadThenFollowers => "lead, then followers",
        Goes::OneByOne => "one by one",
        Goes::EveryConnection => "the session's connections",
    }
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn carried_out() -> String {
    let mut table = "| statement | class, form | members | why |\n|---|---|---|---|\n".to_owned();
    for sql in CARRIED_OUT {
        let route = route_of(sql);
        assert!(!matches!(route.class, "refused" | "unknown"), "{sql}: {:?}", route.lines(""));
        let form = if route.form.is_empty() { String::new() } else { format!(", {}", route.form) };
        let because = route.fact("because").unwrap_or_default();
        // Writing to a String cannot fail, here and below.
        let _ =
            writeln!(table, "| `{}` | {}{form} | {} | {} |", cell(sql), route.class, place(route.goes), cell(because));
    }
    table
}

fn refused() -> String {
    let mut table = "| for instance | why | instead | under \"warn\" |\n|---|---|---|---|\n".to_owned();
    for sql in REFUSED {
        let (catalog, settings) = (catalog_for(sql), settings());
        let command = analyse(sql.as_bytes(), &catalog, &settings).command;
        let command = match &command {
            Command::Concurrently(concurrently) => &concurrently.plain.command,
            other => other,
        };
        let Command::Refused(refusal) = command else {
            panic!("{sql} is not refused: {:?}", route_of(sql).lines(""));
        };
        let runs = refusal.severity == Severity::Doubtful
            && matches!(
                run_unproven(sql.as_bytes(), &catalog, &settings, &refusal.reason).command,
                Command::Unproven(_)
            );
        let warn = if runs { "runs" } else { "refused" };
        let _ = writeln!(table, "| `{}` | {} | {} | {warn} |", cell(sql), cell(&refusal.reason), cell(&refusal.hint));
    }
    table
}

/// The document with the table `name` in place of what stands between its marks.
fn replaced(document: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: made by `make docs` -->\n"), format!("<!-- end of {name} -->"));
    let from = document.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
    let to = from + document[from..].find(&end).unwrap_or_else(|| panic!("no {end}"));
    [&document[..from], table, &document[to..]].concat()
}

#[test]
fn the_document_says_what_the_analysis_says() {
    let file: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "docs", "what-is-replicated-how.md"].iter().collect();
    let document = std::fs::read_to_string(&file).unwrap();
    let wanted = replaced(&replaced(&document, "examples", &carried_out()), "refused", &refused());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, wanted).unwrap();
        return;
    }
    let differing = wanted.lines().find(|line| !document.lines().any(|found| found == *line));
    assert_eq!(differing, None, "{} is out of date: run `make docs`", file.display());
    assert!(document == wanted, "{} is out of date: run `make docs`", file.display());
}
