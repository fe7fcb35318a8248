//! Writes of which the text does not tell all.

use super::super::super::catalog::Catalog;
use super::super::super::testing::{sample, settings};
use super::super::analyse;
use super::check;
use super::describe::describe;

#[test]
fn targets_and_reasons() {
    check(&[
        (
            "insert into triggered values (1, 2) returning id",
            "imaged (triggered): table \"triggered\" has triggers of users",
        ),
        ("with a as (update triggered set v = 1) delete from keyless", "imaged (triggered,keyless): a WITH query…"),
        ("merge into keyless k using parent p on k.a = p.id when matched then delete", "imaged (keyless): MERGE…"),
        ("call p(lower('x'))", "imaged (): CALL…"),
        ("do language plpgsql $$ begin delete from parent; end $$", "imaged (): DO…"),
        ("prepare p as insert into triggered values ($1, $2)", "prepare p: imaged (triggered): table…"),
        // Rows are locked without firing anything; what a trigger writes is not told by one row's key.
        ("select * from triggered where id = 1 for update", "lock same group 22"),
        (
            "with q as (select id from triggered for update skip locked limit 1) delete from triggered where id in (select id from q)",
            "imaged (triggered): table…",
        ),
    ]);
}

#[test]
fn a_function_that_may_keep_the_members_error_to_itself() {
    let mut catalog = sample();
    let told = |catalog: &Catalog, sql: &str| describe(sql, &analyse(sql.as_bytes(), catalog, &settings()));
    assert_eq!(told(&catalog, "select audit()"), "read probe everything");
    catalog.probe_tells_little = true;
    assert!(told(&catalog, "select audit()").starts_with("imaged (): the function audit() may write"));
    assert_eq!(told(&catalog, "select lookup(1)"), "read probe everything");
    assert_eq!(told(&catalog, "select name from parent"), "read groups 10");
}

#[test]
fn what_no_image_helps_with_is_refused() {
    check(&[
        ("insert into triggered select lo_create(0)", "refused lo_create() has effects…"),
        ("call p(pg_advisory_lock(1))", "refused pg_advisory_lock() has effects…"),
        ("with a as (delete from unlogged returning id) select * from a", "refused table \"unlogged\" is unlogged…"),
        ("with a as (delete from calls returning id) select * from a", "refused table \"calls\" has a check…"),
        (
            "with a as (delete from parent returning id) select * into b from a",
            "refused the query that fills the table writes as well",
        ),
        ("merge into foreign_table using parent on true when matched then delete", "refused \"foreign_table\"…"),
        ("merge into pg_catalog.pg_class using parent on true when matched then delete", "refused \"pg_catalog\"…"),
        ("truncate triggered", "refused table \"triggered\" has triggers of users"),
        ("explain analyze insert into triggered values (1, 2)", "refused EXPLAIN ANALYZE…"),
    ]);
}
