//! Transaction control, session, utilities.

use super::super::super::analysis::Command;
use super::super::super::catalog::{RelationKind, Table};
use super::super::super::testing::{catalog, settings};
use super::super::analyse;
use super::check;

#[test]
fn transaction_control() {
    let none = "TransactionModes { isolation: None, read_only: None, deferrable: None }";
    check(&[
        ("", "Empty"),
        (" -- x\n ;", "Empty"),
        ("BEGIN", &format!("Begin({none})")),
        ("begin work;", &format!("Begin({none})")),
        ("START TRANSACTION", &format!("Begin({none})")),
        (
            "begin isolation level serializable, read only deferrable",
            "Begin(TransactionModes { isolation: Some(Serializable), read_only: Some(true), deferrable: Some(true) })",
        ),
        (
            "begin transaction isolation level read uncommitted read write not deferrable",
            "Begin(TransactionModes { isolation: Some(ReadUncommitted), read_only: Some(false), deferrable: Some(false) })",
        ),
        ("begin now", "unknown this form of transaction control"),
        ("commit", "Commit { chain: false }"),
        ("END TRANSACTION and chain", "Commit { chain: true }"),
        ("commit work and no chain", "Commit { chain: false }"),
        ("rollback", "Rollback { chain: false }"),
        ("abort work and chain", "Rollback { chain: true }"),
        ("savepoint A", "Savepoint(\"a\")"),
        ("savepoint \"A\"", "Savepoint(\"A\")"),
        ("release a", "Release(\"a\")"),
        ("release savepoint a", "Release(\"a\")"),
        ("release savepoint", "Release(\"savepoint\")"),
        ("rollback to a", "RollbackTo(\"a\")"),
        ("rollback work to savepoint a", "RollbackTo(\"a\")"),
        ("rollback transaction to savepoint \"x y\"", "RollbackTo(\"x y\")"),
        ("commit prepared 'x''y'", "two-phase Finish { commit: true, identifier: \"x'y\" }"),
        ("rollback prepared E'\\x41'", "two-phase Finish { commit: false, identifier: \"A\" }"),
        ("commit prepared u&'\\0041'", "refused two-phase commit…"),
        ("prepare transaction 'x'", "two-phase Prepare"),
        ("prepare transaction $$x$$;", "two-phase Prepare"),
        ("prepare transaction u&'!0041' uescape '!'", "refused two-phase commit…"),
        ("prepare transaction x", "unknown this form of transaction control"),
        ("commit prepared", "unknown this form of transaction control"),
        ("prepare transaction as select 1", "prepare transaction: read nothing"),
        ("prepare transaction(int) as select 1", "prepare transaction: read nothing"),
    ]);
}

#[test]
fn session() {
    check(&[
        ("set x.y = 'A b'", "Set { name: \"x.y\", values: Some([\"A b\"]) }"),
        ("SET search_path TO a, \"B\", 'c'", "Set { name: \"search_path\", values: Some([\"a\", \"B\", \"c\"]) }"),
        ("set session Work_Mem = 5", "Set { name: \"work_mem\", values: Some([\"5\"]) }"),
        ("set local statement_timeout = -1", "SetLocal { name: \"statement_timeout\", values: Some([\"-1\"]) }"),
        ("set work_mem to default", "Reset { name: \"work_mem\" }"),
        ("set time zone 'UTC'", "Set { name: \"timezone\", values: Some([\"UTC\"]) }"),
        ("set time zone interval '1' hour", "Set { name: \"timezone\", values: None }"),
        ("set names 'UTF8'", "Set { name: \"client_encoding\", values: Some([\"UTF8\"]) }"),
        ("set schema 'x'", "Set { name: \"search_path\", values: Some([\"x\"]) }"),
        ("set role bob", "Set { name: \"role\", values: Some([\"bob\"]) }"),
        ("set extra_float_digits = 3", "Set { name: \"extra_float_digits\", values: Some([\"3\"]) }"),
        ("set extra_float_digits = 0", "refused with extra_float_digits below 1…"),
        ("set client_encoding = 'SHIFT_JIS_2004'", "refused raidb cannot read statements…"),
        ("set session_replication_role = replica", "refused session_replication_role…"),
        ("set local raidb.capture = on", "refused raidb.capture is raidb's own…"),
        ("set session authorization bob", "refused SET SESSION AUTHORIZATION…"),
        (
            "set transaction read only",
            "TransactionModes(TransactionModes { isolation: None, read_only: Some(true), deferrable: None })",
        ),
        ("set transaction snapshot 'x'", "refused a snapshot…"),
        (
            "set session characteristics as transaction isolation level repeatable read",
            "SessionModes(TransactionModes { isolation: Some(RepeatableRead), read_only: None, deferrable: None })",
        ),
        ("set constraints all deferred", "Constraints { immediate: false }"),
        ("set constraints a, b immediate -- not deferred", "Constraints { immediate: true }"),
        ("reset all", "ResetAll"),
        ("reset Work_mem", "Reset { name: \"work_mem\" }"),
        ("reset time zone", "Reset { name: \"timezone\" }"),
        ("discard all", "Discard { all: true }"),
        ("discard plans", "Discard { all: false }"),
        ("deallocate x", "Deallocate(Some(\"x\"))"),
        ("deallocate prepare all", "Deallocate(None)"),
        ("prepare p as select * from parent", "prepare p: read groups 10"),
        ("prepare p (int, text) as update parent set name = $2 where id = $1", "prepare p: keyed 1 group 10"),
        ("prepare p as select pg_notify('a', 'b')", "refused PREPARE of advisory locks…"),
        ("prepare p as drop table parent", "unknown this form of PREPARE"),
        ("execute p(1, 'x')", "Execute { name: \"p\" }"),
        ("execute p(random())", "refused an argument of EXECUTE…"),
        ("select set_config('search_path', 'a', false)", "Set { name: \"search_path\", values: Some([\"a\"]) }"),
        (
            "select pg_catalog.set_config('search_path', '', true) as x",
            "SetLocal { name: \"search_path\", values: Some([\"\"]) }",
        ),
        ("select set_config('session_replication_role', 'replica', false)", "refused session_replication_role…"),
        (
            "select set_config(name, 'view, foreign-table', false) from pg_settings where name = 'restrict_kind'",
            "Set { name: \"restrict_kind\", values: Some([\"view, foreign-table\"]) }",
        ),
        (
            "select set_config(name, 'replica', false) from pg_settings where name = 'session_replication_role'",
            "refused session_replication_role…",
        ),
        ("select set_config(name, 'x', false) from pg_settings where name like 'a%'", "refused set_config()…"),
        ("select set_config(name, 'x', false) from other where name = 'a'", "refused set_config()…"),
        ("set synchronous_commit = off", "refused without synchronous_commit…"),
        ("set local synchronous_commit to 'OFF'", "refused without synchronous_commit…"),
        ("select set_config('synchronous_commit', '0', true)", "refused without synchronous_commit…"),
        (
            "set synchronous_commit = remote_apply",
            "Set { name: \"synchronous_commit\", values: Some([\"remote_apply\"]) }",
        ),
        ("set synchronous_commit to default", "Reset { name: \"synchronous_commit\" }"),
        ("set local transaction_isolation = 'repeatable read'", "refused transaction_isolation…"),
        ("set transaction_read_only to on", "refused transaction_read_only…"),
        ("reset transaction_isolation", "refused transaction_isolation…"),
    ]);
}

#[test]
fn utilities() {
    let ddl = "utility ddl everything";
    check(&[
        ("create table x (id serial primary key, at timestamptz default now())", ddl),
        ("create table if not exists x (a int) partition by range (a)", ddl),
        ("create table x partition of y for values from (1) to (2)", ddl),
        ("create temp table x (a int)", "utility ddl temporary nothing"),
        ("create unlogged table x (a int)", "refused an unlogged object…"),
        ("create unique index i on parent (name)", ddl),
        ("create or replace view v as select * from parent", ddl),
        ("create or replace function f() returns int language sql as $$ delete from parent; select 1 $$", ddl),
        ("create rule r as on insert to parent do also (delete from child; delete from doc)", ddl),
        ("create trigger t before insert on parent for each row execute function f()", ddl),
        ("create materialized view m as select 1", "refused a materialized view…"),
        ("refresh materialized view m", "refused a materialized view…"),
        ("drop materialized view m", ddl),
        ("create database x", "refused a database…"),
        ("drop database x", "refused a database…"),
        ("alter system set work_mem = 5", "refused ALTER SYSTEM…"),
        ("create subscription s connection 'x' publication p", "refused a subscription…"),
        ("create foreign table f (a int) server s", "refused each member…"),
        ("create event trigger e on ddl_command_end execute function f()", "refused an event trigger…"),
        ("alter table parent add column x int", ddl),
        ("alter table parent add x int default 5, alter column name type text using lower(name)", ddl),
        ("alter table parent add column x timestamptz default now()", "refused ADD COLUMN with now()…"),
        ("alter table parent add column x serial", "refused ADD COLUMN with a serial…"),
        (
            "alter table only public.parent add column if not exists x int generated by default as identity",
            "refused ADD COLUMN with a serial…",
        ),
        (
            "alter table parent add column x uuid default gen_random_uuid()",
            "refused ADD COLUMN with gen_random_uuid()…",
        ),
        ("alter table parent add constraint c check (id > 0)", ddl),
        ("alter table parent alter column name set default now()", ddl),
        ("alter table parent alter column id add generated always as identity", ddl),
        ("alter table parent alter column name type int using random()", "refused USING with random()…"),
        ("alter table parent disable trigger user, rename to x", ddl),
        ("alter sequence s restart", ddl),
        ("alter type t add value 'x'", ddl),
        ("alter default privileges grant select on tables to bob", ddl),
        ("create user bob password 'x'", ddl),
        ("drop table parent cascade", ddl),
        ("comment on table parent is 'x'", "utility everything"),
        ("grant select on parent to bob", "utility everything"),
        ("grant select on large object 5 to bob", "refused large objects…"),
        ("truncate table only parent, doc restart identity", "utility groups 10,28"),
        ("truncate nosuch", "utility everything"),
        ("truncate triggered", "refused table \"triggered\" has triggers of users"),
        ("analyze", "utility alone everything"),
        ("reindex table parent", "utility alone everything"),
        ("checkpoint", "utility alone everything"),
        ("do $$ begin end $$", "imaged (): DO runs code…"),
        ("call p()", "imaged (): CALL runs code…"),
        ("merge into parent using child on true when matched then delete", "imaged (parent): MERGE…"),
        ("security label on table parent is 'x'", "refused security labels…"),
    ]);
}

#[test]
fn concurrently_on_a_partitioned_table() {
    let catalog = catalog(vec![Table::new(1, "public", "parted", RelationKind::Partitioned)]);
    let wrong = |sql: &str| match analyse(sql.as_bytes(), &catalog, &settings()).command {
        Command::Concurrently(concurrently) => concurrently.wrong,
        other => panic!("{sql}: {other:?}"),
    };
    let error = "cannot create index on partitioned table \"parted\" concurrently";
    assert_eq!(wrong("create index concurrently on only public.parted (id)").as_deref(), Some(error));
    assert_eq!(wrong("create index concurrently i on other (id)"), None);
    assert_eq!(wrong("drop index concurrently parted"), None);
}

#[test]
fn concurrently() {
    let unknown = "unknown CONCURRENTLY where it does not belong";
    check(&[
        (
            "create unique index Concurrently i on parent (name)",
            "CreateIndex create unique index i on parent (name) => utility ddl everything",
        ),
        (
            "create index concurrently if not exists i on only a.b (c)",
            "CreateIndex create index if not exists i on only a.b (c) => utility ddl everything",
        ),
        ("create index i concurrently on parent (name)", unknown),
        ("create index concurrently concurrently on parent (name)", unknown),
        ("create index \"concurrently\" on parent (name)", "utility ddl everything"),
        ("drop index concurrently a.i", "DropIndex a.i drop index a.i => utility ddl everything"),
        (
            "drop index concurrently if exists i restrict",
            "DropIndex i drop index if exists i restrict => utility ddl everything",
        ),
        (
            "drop index concurrently i, j cascade",
            "DropIndex i drop index i, j cascade => utility ddl everything \
             error DROP INDEX CONCURRENTLY does not support dropping multiple objects",
        ),
        (
            "drop index concurrently i cascade",
            "DropIndex i drop index i cascade => utility ddl everything error DROP INDEX CONCURRENTLY does not support CASCADE",
        ),
        ("drop index if exists concurrently i", unknown),
        ("reindex table concurrently a.t", "ReindexTable a.t reindex table a.t => utility alone everything"),
        ("reindex (concurrently) index i", "ReindexIndex i reindex index i => utility alone everything"),
        (
            "reindex (verbose, concurrently on, tablespace x) index concurrently i",
            "ReindexIndex i reindex (verbose , tablespace x) index i => utility alone everything",
        ),
        (
            "reindex (concurrently, concurrently 'off', concurrently true, verbose) schema s",
            "ReindexSchema s reindex ( verbose) schema s => utility alone everything",
        ),
        (
            "reindex (verbose, concurrently) table t",
            "ReindexTable t reindex (verbose ) table t => utility alone everything",
        ),
        ("reindex (concurrently false) table t", "utility alone everything"),
        ("reindex (verbose) table t", "utility alone everything"),
        ("reindex (\"concurrently\") table t", "refused raidb cannot read these options…"),
        ("reindex (concurrently 2) table t", "refused raidb cannot read these options…"),
        ("reindex (concurrently ", unknown),
        ("reindex (concurrently) table", unknown),
        ("reindex concurrently table t", unknown),
        (
            "reindex system concurrently d",
            "ReindexDatabase d reindex system d => refused REINDEX of a whole database names it, and members may name it \
             differently error cannot reindex system catalogs concurrently",
        ),
        (
            "alter table if exists only a.parent detach partition p concurrently",
            "Detach a.parent alter table if exists only a.parent detach partition p => refused DETACH PARTITION CONCURRENTLY \
             leaves a CHECK constraint on what was the partition, and DETACH PARTITION, in one transaction on all members, \
             leaves none",
        ),
        ("alter table parent detach partition p finalize", "utility ddl everything"),
        ("alter table parent detach partition p concurrently, add x int", unknown),
    ]);
}

#[test]
fn advisory_locks() {
    let call = |call: &str, arguments: &str| format!("Advisory(Advisory {{ call: {call}, arguments: [{arguments}] }})");
    let lock = |transaction, shared| format!("Lock {{ transaction: {transaction}, shared: {shared} }}");
    let denied = |name: &str| format!("refused {name}() has effects…");
    check(&[
        ("select pg_advisory_lock(-5)", &call(&lock(false, false), "Literal(-5)")),
        (
            "SELECT pg_catalog.\"pg_try_advisory_lock\"('7', 8::int4) AS t1;",
            &call(&lock(false, false), "Literal(7), Literal(8)"),
        ),
        ("select pg_advisory_xact_lock($1::bigint)", &call(&lock(true, false), "Parameter(1)")),
        (
            "select pg_try_advisory_xact_lock_shared(cast($2 as int), null) l",
            &call(&lock(true, true), "Parameter(2), Null"),
        ),
        ("select pg_advisory_lock_shared(1)", &call(&lock(false, true), "Literal(1)")),
        ("select pg_advisory_unlock(1)", &call("Unlock { shared: false }", "Literal(1)")),
        ("select pg_advisory_unlock_shared(1)", &call("Unlock { shared: true }", "Literal(1)")),
        ("select pg_advisory_unlock_all()", &call("UnlockAll", "")),
        ("select pg_advisory_lock()", &denied("pg_advisory_lock")),
        ("select pg_advisory_lock(1,)", &denied("pg_advisory_lock")),
        ("select pg_advisory_lock('x')", &denied("pg_advisory_lock")),
        ("select pg_advisory_lock(1.5)", &denied("pg_advisory_lock")),
        ("select pg_advisory_lock(1) from parent", &denied("pg_advisory_lock")),
        ("select pg_advisory_lock(1), 2", &denied("pg_advisory_lock")),
        ("select pg_advisory_lock(hashtext('x'))", &denied("pg_advisory_lock")),
        ("select not pg_try_advisory_lock(1)", &denied("pg_try_advisory_lock")),
        ("select pg_advisory_lock(1 + 1)", &denied("pg_advisory_lock")),
        ("select 1 where pg_try_advisory_lock(1)", &denied("pg_try_advisory_lock")),
        ("explain analyze select pg_advisory_lock(1)", "refused…"),
        ("prepare p as select pg_advisory_lock($1)", "refused PREPARE of advisory locks…"),
    ]);
}

#[test]
fn notifications() {
    let function = |channel: &str, payload: &str, column: &str| {
        format!("Notification(Function {{ channel: {channel}, payload: {payload}, column: \"{column}\" }})")
    };
    check(&[
        ("listen X", "Notification(Listen(\"x\"))"),
        ("LISTEN \"X\";", "Notification(Listen(\"X\"))"),
        ("unlisten x", "Notification(Unlisten(Some(\"x\")))"),
        ("unlisten *", "Notification(Unlisten(None))"),
        ("notify x", "Notification(Notify { channel: \"x\", payload: \"\" })"),
        ("notify x, 'it''s'", "Notification(Notify { channel: \"x\", payload: \"it's\" })"),
        ("notify x, y", "unknown this form of NOTIFY"),
        ("listen x, y", "unknown this form of LISTEN"),
        ("select pg_notify('a', $1::text)", &function("Literal(\"a\")", "Parameter(1)", "pg_notify")),
        ("select pg_notify($1, null) as done", &function("Parameter(1)", "Null", "done")),
        ("select pg_notify('a', 5)", "refused pg_notify() has effects…"),
        ("select pg_notify('a', name) from parent", "refused pg_notify() has effects…"),
        ("select pg_notify('a', 'b' || 'c')", "refused pg_notify() has effects…"),
        ("select * from pg_listening_channels()", "refused pg_listening_channels() has effects…"),
    ]);
}

#[test]
fn tokens() {
    let outcome = |token: &str, show| format!("Token(Outcome {{ token: {token}, show: {show} }})");
    let x = "Literal(\"x\")";
    check(&[
        ("set raidb.token = 'x'", "Token(Set(Literal(\"x\")))"),
        ("SET LOCAL Raidb.Token TO E'x';", "Token(Set(Literal(\"x\")))"),
        ("set session \"raidb.token\" = $1", "Token(Set(Parameter))"),
        ("set raidb.token = ''", "Token(Set(Literal(\"\")))"),
        ("set raidb.token = 'a', 'b'", "refused raidb.token is one text…"),
        ("set raidb.token = Abc", "refused raidb.token is one text…"),
        ("set raidb.token = $2", "refused raidb.token is one text…"),
        ("set raidb.token to default", "Token(Reset)"),
        ("reset raidb.token", "Token(Reset)"),
        ("show raidb.token", "Token(Show)"),
        ("select set_config('raidb.token', 'x', true)", "refused raidb.token is no setting of a member…"),
        ("select raidb.outcome('x')", &outcome(x, false)),
        ("select raidb.outcome ( $1 ::text) ;", &outcome("Parameter", false)),
        ("SELECT \"raidb\".\"outcome\"('x'::varchar)", &outcome(x, false)),
        ("show raidb.outcome('x')", &outcome(x, true)),
        ("show raidb.outcome($1)", &outcome("Parameter", true)),
        ("select raidb.outcome('x') as o", "refused raidb.outcome() is answered…"),
        ("select raidb.outcome($2)", "refused raidb.outcome() is answered…"),
        ("select raidb.outcome('x' || 'y')", "refused raidb.outcome() is answered…"),
        ("select raidb.outcome(t) from t", "refused raidb.outcome() is answered…"),
        ("explain select raidb.outcome('x')", "refused raidb.outcome() is answered…"),
        ("prepare p as select raidb.outcome($1)", "refused raidb.outcome() is answered…"),
        ("update child set n = 1 where s = raidb.outcome('x')", "refused raidb.outcome() is answered…"),
    ]);
}
