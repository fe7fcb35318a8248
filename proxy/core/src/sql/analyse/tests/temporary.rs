//! Statements of a session that has temporary relations.

use std::sync::Arc;

use super::super::super::catalog::{Catalog, RelationKind, Table};
use super::super::super::testing::{sample, settings, table, with_key};
use super::describe;
use crate::sql::analyse;

/// The sample with temporary relations: `tmp` has a key, `plain` has none, `two` hides an ordinary table.
fn catalog() -> Catalog {
    let of_session = |table: Table| Arc::new(Table { schema: "pg_temp".to_owned(), temporary: true, ..table });
    let sequence = Table { kind: RelationKind::Sequence, ..table(1, "s", &[]) };
    let index = Table { kind: RelationKind::Other, ..table(2, "tmp_idx", &[]) };
    let tables = [
        with_key(table(3, "tmp", &["id int", "a text"]), &[0]),
        table(4, "plain", &["i int", "r text=lead"]),
        with_key(table(5, "two", &["id int"]), &[0]),
        sequence,
        index,
    ];
    sample().with_temporary(&tables.map(of_session), 7)
}

fn check(cases: &[(&str, &str)]) {
    let (catalog, settings) = (catalog(), settings());
    let mut failures = String::new();
    for (sql, expected) in cases {
        let got = describe::describe(sql, &analyse(sql.as_bytes(), &catalog, &settings));
        let matches = match expected.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == *expected,
        };
        if !matches {
            failures.push_str(&format!("\n  {sql}\n    expected {expected}\n    got      {got}"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn names_mean_what_the_session_has() {
    let catalog = catalog();
    let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let schema = |name: &str, path: &[String]| catalog.resolve(None, name, path).map(|t| t.schema.clone());
    assert_eq!(schema("two", &path(&["public"])).as_deref(), Some("pg_temp"));
    assert_eq!(schema("two", &path(&["public", "pg_temp"])).as_deref(), Some("public"));
    assert_eq!(schema("two", &path(&["public", "pg_temp_12"])).as_deref(), Some("public"));
    assert_eq!(schema("tmp", &path(&["public", "pg_temp_12"])).as_deref(), Some("pg_temp"));
    assert_eq!(schema("parent", &path(&["public"])).as_deref(), Some("public"));
    assert!(sample().resolve(None, "tmp", &path(&["public"])).is_none());
}

#[test]
fn utilities_of_the_session() {
    let ddl = "utility ddl temporary nothing";
    check(&[
        ("create temp table x (a int) on commit drop", ddl),
        ("create local temporary table if not exists x (a int)", ddl),
        ("create table pg_temp.x (a int)", ddl),
        ("create or replace temp view x as select * from tmp", ddl),
        ("create temp sequence x", ddl),
        ("create temp table x as select * from tmp", "fill temporary PreserveRows x from nothing"),
        (
            "create temp table x as select nextval('s')",
            "fill temporary PreserveRows x seq \"pg_temp\".\"s\" from nothing",
        ),
        ("create temp table x as select * from tmp with no data", ddl),
        // Followers get its definition and its rows.
        ("create table x as select * from tmp", "fill x from nothing"),
        ("create table x as select * from tmp with no data", "refused it names \"tmp\"…"),
        ("create table tmp as select 1 with no data", "utility ddl everything"),
        ("select * into x from tmp", "fill x from nothing"),
        ("create temp table x () inherits (parent)", "refused a temporary table that is a child…"),
        ("create temp table pg_class (a int)", "refused a temporary object with the name…"),
        ("alter table tmp rename to raidb_x", "refused a temporary object with the name…"),
        ("create temp function f() returns int language sql as 'select 1'", "refused only tables…"),
        ("create unique index on tmp (a)", ddl),
        ("alter table tmp add column b int default 5", ddl),
        ("alter table tmp inherit parent", "refused this action…"),
        ("drop table tmp, plain", ddl),
        ("drop index tmp_idx", ddl),
        ("drop table tmp, parent", "refused it names temporary objects…"),
        ("truncate tmp", "utility temporary nothing"),
        ("truncate tmp, parent", "refused it names temporary objects…"),
        ("discard temp", ddl),
        ("create view v as select * from tmp", "refused it names \"tmp\"…"),
        ("create function f(tmp) returns int language sql as 'select 1'", "refused it names \"tmp\"…"),
        ("create function f() returns bigint language sql as 'select count(*) from Tmp'", "refused it names \"tmp\"…"),
        ("create table other (a int default nextval('s'))", "refused it names \"s\"…"),
        ("create table other (a _tmp)", "refused it names \"_tmp\"…"),
        ("create trigger g before insert on tmp execute function f()", "refused it names \"tmp\"…"),
        ("comment on table tmp is 'x'", "refused it names \"tmp\"…"),
        ("create table tmp (a int)", "utility ddl everything"),
        ("create table other (a int)", "utility ddl everything"),
        ("lock table tmp", "refused LOCK TABLE of a temporary table"),
    ]);
}

#[test]
fn what_a_probe_would_not_show_is_imaged() {
    let why = "may write, also to the session's temporary tables, which a probe would not show";
    check(&[
        ("select audit(1)", &format!("imaged (): the function audit() {why}")),
        ("select lookup(1)", &format!("imaged (): the function lookup() {why}")),
        ("select * from loud_view", &format!("imaged (): \"loud_view\" {why}")),
        ("select * from view", "read probe everything"),
        ("select count(*), now() from tmp", "read nothing"),
    ]);
}

#[test]
fn what_goes_to_ordinary_tables_is_captured() {
    let (catalog, settings) = (catalog(), settings());
    let form = |sql: &str| match analyse(sql.as_bytes(), &catalog, &settings).command {
        crate::sql::analysis::Command::Write(write) => match write.form {
            crate::sql::analysis::WriteForm::Keyed { .. } => "keyed".to_owned(),
            crate::sql::analysis::WriteForm::Locked(locked) => format!("locked {}", locked.lock_sql.len()),
            crate::sql::analysis::WriteForm::Captured(capture) => {
                format!("captured{}", if capture.locked_alternative.is_some() { " or locked" } else { "" })
            }
        },
        crate::sql::analysis::Command::Refused(_) => "refused".to_owned(),
        crate::sql::analysis::Command::Read(_) => "read".to_owned(),
        other => format!("{other:?}"),
    };
    for (sql, wanted) in [
        ("insert into tmp values (1, 'a')", "keyed"),
        ("update tmp set a = 'b' where id = 1", "keyed"),
        ("insert into plain values (1)", "captured"),
        ("insert into tmp select i, 'x' from plain", "locked 0"),
        ("delete from plain where i > 1", "locked 0"),
        ("update plain set r = random()", "refused"),
        ("insert into parent (id) select id from tmp", "captured"),
        ("insert into two values (1)", "keyed"),
        ("delete from parent where id in (select id from tmp)", "captured"),
        ("insert into parent (id) values (('(1,a)'::tmp).id)", "refused"),
        ("insert into parent (id) values ((tmp('(1,a)')).id)", "refused"),
        ("insert into parent (id) values (1)", "keyed"),
        ("select * from tmp for update", "read"),
    ] {
        assert_eq!(form(sql), wanted, "{sql}");
    }
}
