//! Routes of statements of every class.

use super::super::analyse;
use super::super::testing::{sample, settings};
use super::*;

fn lines(sql: &str) -> Vec<String> {
    let (catalog, settings) = (sample(), settings());
    route(sql.as_bytes(), &analyse(sql.as_bytes(), &catalog, &settings), &catalog).lines("the members")
}

#[test]
fn a_keyed_write() {
    assert_eq!(
        lines("update pgbench_accounts set abalance = abalance + $1 where aid = $2"),
        [
            "class: write",
            "form: keyed",
            "members: the members",
            "because: its WHERE pins the key (aid) by constants, and every member computes the same",
            "tables: public.pgbench_accounts",
            "rows: public.pgbench_accounts where aid = $2",
            "followers: the same statement with the same parameters, if the lead touched 1 row; nothing if it touched none",
        ]
    );
    let literal = lines("delete from doc where id = '5d6b1bb0-0000-0000-0000-000000000000' ; -- gone");
    assert!(
        literal.iter().any(|l| l == "rows: public.doc where id = 5d6b1bb0-0000-0000-0000-000000000000"),
        "{literal:?}"
    );
}

#[test]
fn a_captured_write_shows_both_texts() {
    let lines = lines("insert into serial (name)\nvalues ('x');");
    assert_eq!(
        lines[3..],
        [
            "because: the lead alone can know the default of column \"id\"",
            "tables: public.serial",
            "rows: any row of public.serial",
            "sequences: \"public\".\"serial_id_seq\": advanced on the lead, whose state is carried to the followers",
            "lead: insert into serial (name)",
            "  values ('x') RETURNING (\"serial\".\"id\")::pg_catalog.text AS \"raidb.captured\", (\"serial\".\"name\")::pg_catalog.text AS \"raidb.captured\"",
            "followers: for each row that the lead returned ('…' with its values): INSERT INTO \"public\".\"serial\" (\"id\", \"name\") OVERRIDING SYSTEM VALUE VALUES ('…', '…')",
        ]
    );
}

#[test]
fn classes_and_places() {
    let (catalog, settings) = (sample(), settings());
    for (sql, class, form, goes) in [
        ("select 1", "read", "proven", Goes::AnyMember),
        ("select audit(1)", "read", "probed", Goes::AnyMember),
        ("select nextval('serial_id_seq')", "read", "sequences", Goes::Lead),
        ("select relname from pg_class", "read", "proven", Goes::Lead),
        ("select * from parent where id = 1 for update", "row lock", "keyed", Goes::LeadThenFollowers),
        ("select * from parent for update skip locked", "row lock", "captured", Goes::LeadThenFollowers),
        ("delete from keyless where a = 1", "write", "locked", Goes::LeadThenFollowers),
        ("copy parent from stdin", "copy in", "locked", Goes::LeadThenFollowers),
        ("copy serial (name) from stdin", "copy in", "imaged", Goes::LeadThenFollowers),
        ("copy parent to stdout", "copy out", "proven", Goes::AnyMember),
        ("create table x (a int)", "utility", "same statement", Goes::LeadThenFollowers),
        ("vacuum", "utility", "one by one", Goes::OneByOne),
        ("set search_path = a", "session", "same statement", Goes::EveryConnection),
        ("insert into triggered values (1, 2)", "write", "imaged", Goes::LeadThenFollowers),
        ("call audit(1)", "write", "imaged", Goes::LeadThenFollowers),
        ("prepare p as delete from parent where id = $1", "by name", "", Goes::Lead),
        ("execute p (1)", "by name", "that of the prepared statement", Goes::AnyMember),
        ("deallocate p", "by name", "", Goes::EveryConnection),
        ("select pg_advisory_xact_lock(1)", "advisory lock", "of the transaction", Goes::LeadThenFollowers),
        ("select pg_try_advisory_lock($1)", "advisory lock", "of the session", Goes::EveryConnection),
        ("select pg_advisory_unlock_all()", "advisory lock", "given back", Goes::EveryConnection),
        ("listen a", "notification", "", Goes::Nowhere),
        ("select pg_notify('a', $1)", "notification", "", Goes::Nowhere),
        ("prepare transaction 'x'", "two-phase", "", Goes::Lead),
        ("begin", "transaction", "", Goes::Lead),
        ("commit", "transaction", "", Goes::LeadThenFollowers),
        ("show raidb.token", "answered by the proxy", "", Goes::Nowhere),
        ("explain route select 1", "answered by the proxy", "", Goes::Nowhere),
        ("select * from nowhere", "unknown", "", Goes::Lead),
        ("alter system set work_mem = 1", "refused", "", Goes::Nowhere),
        ("explain route explain route select 1", "refused", "", Goes::Nowhere),
        ("explain route", "refused", "", Goes::Nowhere),
        ("", "empty", "", Goes::Nowhere),
    ] {
        let route = route(sql.as_bytes(), &analyse(sql.as_bytes(), &catalog, &settings), &catalog);
        assert_eq!((route.class, route.form.as_str(), route.goes), (class, form, goes), "{sql}");
    }
}

#[test]
fn what_is_not_proven_says_why() {
    let because = |sql: &str| lines(sql).into_iter().find(|line| line.starts_with("because: ")).unwrap_or_default();
    for (sql, expected) in [
        ("select audit(1)", "because: it is not known whether the function audit() writes"),
        ("select * from view", "because: it is not known whether view writes"),
        (
            "update parent set name = 'x' where name = 'y'",
            "because: its WHERE does not pin a whole key by constants: the lead alone knows which rows it meets",
        ),
        ("update parent set name = random()::text where id = 1", "because: the lead alone can know random()"),
        ("insert into parent select * from parent", "because: its rows come from a query: the lead alone knows them"),
        ("insert into triggered values (1, 2)", "because: table \"triggered\" has triggers of users"),
    ] {
        assert_eq!(because(sql), expected, "{sql}");
    }
    assert!(lines("insert into calls values (1, 2)").iter().any(|line| line.starts_with("severity: doubtful")));
    assert!(!lines("prepare p as insert into calls values (1, 2)").iter().any(|line| line.starts_with("severity")));
    assert!(!lines("alter system set work_mem = 1").iter().any(|line| line.starts_with("severity")));
}
