//! Targets that are refused, texts that nobody can read.

use super::check;

#[test]
fn targets() {
    check(&[
        ("insert into triggered values (1, 2)", "imaged (triggered): table \"triggered\" has triggers of users"),
        ("update ruled set v = 1 where id = 1", "imaged (ruled): table \"ruled\" has rewrite rules"),
        ("delete from calls where id = 1", "refused table \"calls\" has a check, an index or a generated column…"),
        ("insert into view values (1)", "imaged (): \"view\" is a view"),
        ("delete from foreign_table", "refused \"foreign_table\" is a foreign table…"),
        ("insert into pg_catalog.pg_class values (1)", "refused \"pg_catalog\".\"pg_class\" is a system table"),
        ("insert into unlogged values (1)", "refused table \"unlogged\" is unlogged"),
        ("insert into materialized values (1)", "unknown table \"materialized\""),
        ("update serial_id_seq set last_value = 1", "unknown table \"serial_id_seq\""),
    ]);
}

#[test]
fn unreadable() {
    check(&[
        ("insert into parent valuez (1)", "imaged (parent): raidb cannot read this statement…"),
        ("update parent where id = 1", "imaged (parent): raidb cannot read this statement…"),
        ("delete parent", "imaged (): raidb cannot read this statement…"),
        ("selec 1", "unknown a statement that starts with \"SELEC\""),
        ("select 'x", "unknown a quoted text or a comment without an end"),
        ("'x'", "unknown a statement that starts with \"\""),
        ("select 1; delete from parent", "refused more than one statement…"),
        ("select insert update delete ((", "imaged (): raidb cannot read this statement…"),
        ("update parent set U&\"n\\0061me\" = 'x' where id = 1", "imaged (parent): raidb cannot read this statement…"),
    ]);
}
