//! One real PostgreSQL server is made like another, row by row.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use raidb::members::pg::target::{Address, Login, MemberTls, Target};
use raidb::scrub::{DIFFERING_ROWS_MAX, Place, Repaired, ScrubError, repair};
use raidb_core::ids::MemberId;
use scenarios::checkers::{EqualityOptions, members_equal};
use scenarios::cluster::{Member, MemberOptions};
use tempfile::TempDir;

/// Tables with everything that a text might lose, and names that a query might mistake.
const CONTENTS: &str = r#"
    create schema "Odd ""Schema";
    create type mood as enum ('sad', 'ok''s', 'glad');
    create domain positive as int not null check (value > 0);
    create type pair as (a int, b text);
    create table parent(id int primary key, note text);
    insert into parent select g, 'p' || g from generate_series(1, 50) g;
    create table values_of_all_kinds(id bigint generated always as identity primary key,
        r float8, d double precision[], f real, n numeric, t text, b bytea, j json, jb jsonb, ts timestamptz, dt date, i interval,
        u uuid, m mood, p positive, c pair, ca pair[], ch char(5), v varchar(9), bo boolean, bi bit varying, ip inet,
        rg int4range, x xml, tv tsvector, mo money, "raidb row" text, dropped int,
        g text generated always as (upper(t)) stored, parent int references parent on delete cascade);
    alter table values_of_all_kinds drop column dropped;
    alter table values_of_all_kinds add column late int default 7;
    insert into values_of_all_kinds(r, d, f, n, t, b, j, jb, ts, dt, i, u, m, p, c, ca, ch, v, bo, bi, ip, rg, x, tv, mo,
        "raidb row", parent)
      select 0.1::float8 + g / 3.0, '{0.1,nan,-infinity,-0}', 1e-40, 1.10, E'a\\b''"(),\n\t é€', '\x00ff5c27', '{"a":  [1, null]}',
        '{"b": "\"\\"}', 'infinity', '0044-03-15 BC', '1 mon -1 days +02:03:04.000001', gen_random_uuid(), 'ok''s', 5,
        row(1, 'x,"y')::pair, array[row(1, null)::pair, null], 'ab', '', true, b'101', '10.0.0.1/8', '[1,5)', '<a>&amp;</a>',
        to_tsvector('simple', 'it''s a'), 1.25, '', 1 + g % 50
      from generate_series(1, 3000) g;
    insert into values_of_all_kinds(p, t) values (1, null);
    create table "Odd ""Schema"."t;--"(t text, "Key ""2" text, n int, primary key (t, "Key ""2"));
    insert into "Odd ""Schema"."t;--" select E'é\\''"' || g, case g % 3 when 0 then '' else E'\n' || g end, g from generate_series(1, 2500) g;
    create table no_key(a int, b text);
    insert into no_key select g % 700, case when g % 5 = 0 then null else 'same' end from generate_series(1, 4000) g;
    create table parts(id int, day date, v text, primary key (id, day)) partition by range (day);
    create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-07-01');
    create table parts_2 partition of parts for values from ('2026-07-01') to ('2027-01-01');
    insert into parts select g, date '2026-01-01' + g % 365, 'v' from generate_series(1, 3000) g;
    create table base(id int primary key); create table heir(more text) inherits (base);
    insert into base values (1), (2); insert into heir values (2, 'x'), (3, 'y');
    create table "unique only"(a int not null unique, b text);
    insert into "unique only" select g, 'b' || g from generate_series(1, 10) g;
    create table swapped(id int primary key, place int not null unique);
    insert into swapped values (1, 1), (2, 2);
    create table log_of_changes(what text);
    create function note() returns trigger language plpgsql as $$ begin insert into log_of_changes values (tg_op); return null; end $$;
    create trigger note after insert or update or delete on parent for each row execute function note();
    create unlogged table not_looked_at(a int);
    create table empty();
    create schema raidb; create table raidb.applied_0(position bigint);
"#;

/// What transactions of which nobody was told may have done to one of them.
const DIFFERENCES: &str = r#"
    set session_replication_role = replica;
    delete from values_of_all_kinds where id in (1, 1500, 3000, 3001);
    update values_of_all_kinds set r = r + 1e-15, "raidb row" = null where id in (2, 1501);
    insert into values_of_all_kinds(id, p, t) overriding system value values (9000, 3, 'not there');
    delete from parent where id = 7;
    update "Odd ""Schema"."t;--" set n = -1 where n = 300;
    delete from "Odd ""Schema"."t;--" where n = 600;
    insert into "Odd ""Schema"."t;--" values (E'\\', '"''', 1);
    delete from no_key where ctid in (select ctid from no_key where a = 5 limit 2);
    insert into no_key values (5, 'same'), (6, null), (6, null);
    delete from parts where id = 100; update parts set v = E'\\N' where id = 200;
    insert into parts values (99999, '2026-12-31', 'new');
    delete from heir where id = 2; insert into base values (77);
    update "unique only" set b = null where a = 3;
    update swapped set place = 3 where id = 1; update swapped set place = 1 where id = 2; update swapped set place = 2 where id = 1;
    insert into not_looked_at values (1);
    insert into raidb.applied_0 values (5);
"#;

const NOW: EqualityOptions =
    EqualityOptions { settle: Duration::ZERO, sequences: false, passing_over: None, schema: None };

struct Two {
    base: Member,
    target: Member,
    _home: TempDir,
}

impl Two {
    /// Two members with equal contents.
    async fn start(contents: &str) -> Two {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::Builder::new().prefix("raidb-scrub-").tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let start = |name| Member::start(home.path(), MemberOptions::new(name, "bench"));
        let (base, target) = (start("pg1").await.unwrap(), start("pg2").await.unwrap());
        let contents = contents.replace("gen_random_uuid()", "md5(g::text)::uuid");
        for member in [&base, &target] {
            member.endpoint().execute(&contents).await.unwrap();
        }
        Two { base, target, _home: home }
    }

    async fn repair_as(&self, user: &str, also: &str) -> Result<Repaired, ScrubError> {
        let login = Login { user: user.into(), password: None };
        let (from, to) = (target(&self.base), target(&self.target));
        repair(Place { target: &from, login: &login }, Place { target: &to, login: &login }, also).await
    }

    async fn repair(&self, also: &str) -> Result<Repaired, ScrubError> {
        self.repair_as("postgres", also).await
    }

    async fn expect_copy(&self, why: &str) {
        match self.repair("").await {
            Err(ScrubError::NeedsCopy(told)) => assert!(told.contains(why), "{told}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

fn target(member: &Member) -> Target {
    Target {
        id: MemberId(0),
        name: member.name().into(),
        address: Address::Tcp { host: "127.0.0.1".into(), port: member.port() },
        database: "bench".into(),
        tls: MemberTls::Disabled,
    }
}

#[tokio::test]
async fn rows_that_differ_are_found_and_made_equal() {
    let two = Two::start(CONTENTS).await;
    let none = two.repair("").await.unwrap();
    assert!(none.is_empty() && none.compared >= 12, "{none:?}");

    two.target.endpoint().execute(DIFFERENCES).await.unwrap();
    // Settings of a database or a role do not matter.
    two.target
        .endpoint()
        .execute(
            "alter role postgres set extra_float_digits = -5; alter role postgres set datestyle = 'German'; \
             alter role postgres set bytea_output = 'escape'; alter role postgres set timezone = 'Asia/Tokyo'",
        )
        .await
        .unwrap();
    let done = two.repair("insert into raidb.applied_0 values (8)").await.unwrap();
    let told = done.to_string();
    for part in [
        "public.values_of_all_kinds: 1 rows deleted, 4 inserted, 2 changed (-9000 +",
        "public.parent: 0 rows deleted, 1 inserted, 0 changed (+7)",
        "\"Odd \"\"Schema\".\"t;--\": 1 rows deleted, 1 inserted, 1 changed",
        "public.no_key: 3 rows deleted, 2 inserted, 0 changed",
        "public.parts_2: 1 rows deleted, 0 inserted, ",
        "public.\"unique only\": 0 rows deleted, 0 inserted, 1 changed (~3)",
        "public.swapped: 0 rows deleted, 0 inserted, 2 changed (~1 ~2)",
        "public.heir: 0 rows deleted, 1 inserted",
        "public.base: 1 rows deleted",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    let unlogged = two.target.endpoint().value("select count(*) from not_looked_at").await.unwrap();
    assert_eq!(unlogged, "1", "unlogged tables are left as they are");
    let as_before = "alter role postgres reset all; delete from not_looked_at";
    two.target.endpoint().execute(as_before).await.unwrap();
    members_equal(&[&two.base, &two.target], NOW).await.unwrap();
    let logged = two.target.endpoint().value("select count(*) from log_of_changes").await.unwrap();
    assert_eq!(logged, "0", "a repair sets off no trigger");
    let markers =
        two.target.endpoint().value("select string_agg(position::text, ',') from raidb.applied_0").await.unwrap();
    assert_eq!(markers, "5,8", "the proxy's own tables are not compared");
    assert!(two.repair("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_repair_that_fails_changes_nothing() {
    let two = Two::start("create table t(i int primary key); insert into t select generate_series(1, 20)").await;
    two.target.endpoint().execute("delete from t where i < 5").await.unwrap();
    assert!(matches!(two.repair("select 1 / 0").await, Err(ScrubError::NeedsCopy(_))));
    assert_eq!(two.target.endpoint().value("select count(*) from t").await.unwrap(), "16");

    let role = "create role weak login; grant pg_read_all_data to weak; grant all on t to weak; \
                grant select on pg_largeobject to weak";
    for member in [&two.base, &two.target] {
        member.endpoint().execute(role).await.unwrap();
    }
    match two.repair_as("weak", "").await {
        Err(ScrubError::NeedsCopy(told)) => assert!(told.contains("needs a superuser"), "{told}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(two.target.endpoint().value("select count(*) from t").await.unwrap(), "16");
}

#[tokio::test]
async fn what_rows_cannot_mend_needs_a_copy() {
    let contents = "create table t(i int primary key, v text); create materialized view m as select count(*) from t";
    let mut two = Two::start(contents).await;
    let on_target = two.target.endpoint();
    for (change, why, undo) in [
        ("create index on t(v)", "index", "drop index t_v_idx"),
        ("alter table t add column w int", "column", "alter table t drop column w"),
        ("grant select on t to public", "relation public.t", "revoke all on t from public"),
        ("create function f() returns int language sql as 'select 1'", "function", "drop function f()"),
        ("create type e as enum ('a')", "type", "drop type e"),
        ("comment on table t is 'x'", "comment", "comment on table t is null"),
        ("create sequence s increment 3", "sequence", "drop sequence s"),
        ("select lo_from_bytea(990001, 'x')", "large objects", "select lo_unlink(990001)"),
    ] {
        on_target.execute(change).await.unwrap();
        two.expect_copy(why).await;
        on_target.execute(undo).await.unwrap();
    }
    // Rights that were given and taken leave the owner's own behind, in writing.
    two.base.endpoint().execute("grant select on t to public; revoke all on t from public").await.unwrap();
    assert!(two.repair("").await.unwrap().is_empty());

    on_target.execute("insert into t values (1); refresh materialized view m").await.unwrap();
    two.expect_copy("materialized view public.m").await;
    on_target.execute("delete from t; refresh materialized view m").await.unwrap();

    let always = "create function n() returns trigger language plpgsql as 'begin return new; end'; \
                  create trigger n before insert on t for each row execute function n(); alter table t enable always trigger n";
    for member in [&two.base, &two.target] {
        member.endpoint().execute(always).await.unwrap();
    }
    two.base.endpoint().execute("insert into t values (1)").await.unwrap();
    two.expect_copy("ENABLE ALWAYS").await;

    let many = format!(
        "drop trigger n on t; drop function n(); insert into t select generate_series(2, {})",
        DIFFERING_ROWS_MAX + 2
    );
    two.base.endpoint().execute(&many).await.unwrap();
    on_target.execute("drop trigger n on t; drop function n()").await.unwrap();
    two.expect_copy("rows differ").await;
    assert_eq!(on_target.value("select count(*) from t").await.unwrap(), "0");

    two.target.kill_9().unwrap();
    assert!(matches!(two.repair("").await, Err(ScrubError::Member { .. })));
}
