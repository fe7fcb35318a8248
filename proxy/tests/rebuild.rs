//! A whole database from one real PostgreSQL server to another.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use raidb::members::pg::target::{Address, Login, MemberTls, Target};
use raidb::rebuild::{Copied, Endpoint, Phase, Progress, RebuildError, copy_database, staging_name};
use raidb_core::ids::MemberId;
use scenarios::checkers::{EqualityOptions, members_equal};
use scenarios::cluster::{Member, MemberOptions};
use scenarios::sql;
use tempfile::TempDir;

/// One of everything that has its own place in a dump.
const CONTENTS: &str = r#"
    create role app login password 'app-secret' valid until '2031-02-03 04:05:06+00' connection limit 7;
    create role "Odd ""Name" nologin;
    create role readers;
    grant readers to app with admin option;
    grant pg_read_all_settings to "Odd ""Name";
    alter role app set search_path = app, "Odd Schema", public;
    alter role app set datestyle = 'ISO, DMY';
    comment on role app is 'it''s the application';
    create schema app authorization app;
    create schema "Odd Schema";
    create type app.mood as enum ('sad', 'ok', 'glad');
    create domain app.positive as int check (value > 0);
    create table app.customer(id bigint generated always as identity primary key, name text not null unique,
        mood app.mood default 'ok', picture bytea, size int generated always as (length(name)) stored);
    insert into app.customer(name, picture) select 'name ' || g || E' \\ \t\n é €', decode(md5(g::text), 'hex')
        from generate_series(1, 2000) g;
    create table app.orders(id serial, day date not null, customer bigint references app.customer(id),
        amount app.positive, primary key (id, day)) partition by range (day);
    create table app.orders_1 partition of app.orders for values from ('2026-01-01') to ('2026-07-01');
    create table app.orders_2 partition of app.orders for values from ('2026-07-01') to ('2027-01-01');
    insert into app.orders(day, customer, amount)
        select '2026-01-01'::date + (g % 365), 1 + g % 2000, g from generate_series(1, 5000) g;
    create index on app.orders(day);
    create sequence app.odd increment 5 minvalue -100 start -100 cycle;
    select nextval('app.odd'), nextval('app.odd');
    create view app.totals as select customer, sum(amount) total from app.orders group by 1;
    create materialized view app.days as select day, count(*) from app.orders group by 1;
    create function app.twice(i int) returns int language sql immutable as 'select 2 * i';
    create function app.touch() returns trigger language plpgsql as $$ begin new.name := new.name || '!'; return new; end $$;
    create trigger touch before update on app.customer for each row execute function app.touch();
    create table "Odd Schema"."Table;--"("a b" float8, n numeric, t timestamptz, j jsonb, z text[]);
    insert into "Odd Schema"."Table;--" values
        (0.1, 1.10, 'infinity', '{"a": [1, null]}', '{a,"b,c",null}'), ('nan', 'nan', null, null, '{}');
    create table unlike(a int) with (fillfactor = 50);
    create unlogged table unlogged(a int);
    insert into unlogged values (1);
    grant select on app.customer, app.totals to readers;
    grant insert (name), update (name) on app.customer to "Odd ""Name" with grant option;
    alter default privileges in schema app grant select on tables to readers;
    alter table app.customer enable row level security;
    create policy own on app.customer to app using (name <> 'x');
    alter table app.customer owner to app;
    create schema raidb;
    create table raidb.applied(position bigint);
    insert into raidb.applied values (4711);
    select lo_from_bytea(990001, '\x00ff00ff27');
    grant select on large object 990001 to readers;
    alter database bench set datestyle = 'German, DMY';
    alter database bench set search_path = '';
    alter database bench set my.setting = 'it''s \ odd';
    alter role app in database bench set statement_timeout = '7s';
    revoke connect on database bench from public;
    grant connect, create on database bench to app with grant option;
    comment on database bench is 'the bench';
    alter database bench connection limit 77;
    alter database bench owner to "Odd ""Name";
"#;

/// What the checker of equality does not look at, as lines of text.
const REST: &str = r#"
    select 'role ' || (to_jsonb(a) - 'oid' - 'rolname')::text || a.rolname from pg_authid a
    union all select 'member ' || a.roleid::regrole || a.member::regrole || a.admin_option from pg_auth_members a
    union all select 'role comment ' || rolname || shobj_description(oid, 'pg_authid') from pg_roles
    union all select 'setting ' || setrole::regrole || (select datname from pg_database where oid = setdatabase) || setconfig::text
        from pg_db_role_setting where setdatabase <> 0
    union all select 'role setting ' || setrole::regrole || setconfig::text from pg_db_role_setting where setdatabase = 0
    union all select 'database ' || pg_get_userbyid(datdba) || encoding || datcollate || datctype || datconnlimit
        || shobj_description(oid, 'pg_database') from pg_database where datname = 'bench'
    union all select 'database acl ' || acl::text from pg_database, unnest(datacl) acl where datname = 'bench'
    union all select 'acl ' || c.oid::regclass::text || pg_get_userbyid(relowner) || coalesce((select string_agg(x::text, ',' order by x::text)
        from unnest(relacl) x), '') from pg_class c where relnamespace::regnamespace::text !~ '^pg_|^information'
    union all select 'column acl ' || attrelid::regclass::text || attname || attacl::text from pg_attribute where attacl is not null
        and attrelid >= 16384
    union all select 'default acl ' || defaclrole::regrole || defaclnamespace::regnamespace || defaclacl::text from pg_default_acl
    union all select 'policy ' || polname || pg_get_expr(polqual, polrelid) from pg_policy
    union all select 'lob ' || l.oid || lo_get(l.oid)::text || l.lomacl::text from pg_largeobject_metadata l
    union all select 'marker ' || position from raidb.applied
    union all select 'days ' || count(*) from app.days
    order by 1"#;

fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::Builder::new().prefix("raidb-rebuild-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    home
}

async fn start(home: &TempDir, name: &str, password: Option<&str>) -> Member {
    let options = MemberOptions { password: password.map(str::to_owned), ..MemberOptions::new(name, "bench") };
    Member::start(home.path(), options).await.unwrap()
}

/// By TCP, or by Unix socket, where no password is asked for.
fn endpoint(member: &Member, socket: bool) -> Endpoint {
    let address = if socket {
        Address::Unix(member.socket_dir().join(format!(".s.PGSQL.{}", member.port())))
    } else {
        Address::Tcp { host: "127.0.0.1".into(), port: member.port() }
    };
    let target = Target {
        id: MemberId(0),
        name: member.name().into(),
        address,
        database: "bench".into(),
        tls: MemberTls::Disabled,
    };
    Endpoint::new(target, Login { user: "postgres".into(), password: member.endpoint().password })
}

async fn copy(donor: &Member, target: &Member) -> Result<Copied, RebuildError> {
    copy_database(&endpoint(donor, false), &endpoint(target, true), &Progress::default()).await
}

/// No database of the member's name, so nobody can take half a copy for a whole one.
async fn is_gone(member: &Member) -> bool {
    let query = "select count(*) from pg_database where datname = 'bench'";
    member.endpoint().database("postgres").value(query).await.unwrap() == "0"
}

async fn rest(member: &Member) -> Vec<String> {
    let lines: Vec<String> = member.endpoint().rows(REST).await.unwrap().into_iter().flatten().flatten().collect();
    assert!(lines.len() > 20, "{lines:?}");
    // The hash of the login's own password has a salt of its own on each member.
    lines.into_iter().filter(|line| !(line.starts_with("role ") && line.ends_with("postgres"))).collect()
}

#[tokio::test]
async fn everything_is_copied_and_again_over_what_was_there() {
    let home = home();
    let donor = start(&home, "pg1", Some("donor \"secret\"")).await;
    let target = start(&home, "pg2", Some("target \\ secret")).await;
    donor.endpoint().execute(CONTENTS).await.unwrap();
    target.endpoint().execute("create table old(i int); create role kept password 'k'").await.unwrap();
    let idle = target.endpoint().connect().await.unwrap();

    let progress = Progress::default();
    let copied = copy_database(&endpoint(&donor, false), &endpoint(&target, false), &progress).await.unwrap();
    assert_eq!((progress.phase(), progress.bytes_done()), (Phase::Done, copied.bytes));
    assert!(copied.bytes > 100_000 && progress.bytes_expected() > 1_000_000, "{copied:?}");
    assert_eq!(copied.roles_created, ["Odd \"Name", "app", "readers"]);
    assert_eq!(copied.roles_without_password, Vec::<String>::new());
    assert!(idle.simple_query("select 1").await.is_err(), "who was connected is no longer");

    let members = [&donor, &target];
    let mut expect = rest(&donor).await;
    let kept = rest(&target).await;
    expect.extend(kept.iter().filter(|line| line.ends_with("kept")).cloned());
    expect.sort();
    let mut kept = kept;
    kept.sort();
    assert_eq!(kept, expect);
    // That a role that only the target has is kept is the only difference.
    target.endpoint().execute("drop role kept").await.unwrap();
    let rows = members_equal(&members, EqualityOptions { settle: Duration::ZERO, ..EqualityOptions::default() })
        .await
        .unwrap();
    assert!(rows > 7000);
    let left = format!("select count(*) from pg_database where datname = '{}'", staging_name("bench"));
    assert_eq!(target.endpoint().value(&left).await.unwrap(), "0");

    donor.endpoint().execute("insert into app.customer(name) values ('new')").await.unwrap();
    target.endpoint().execute("delete from app.orders").await.unwrap();
    let again = copy(&donor, &target).await.unwrap();
    assert_eq!(again.roles_created, Vec::<String>::new());
    members_equal(&members, EqualityOptions { settle: Duration::ZERO, ..EqualityOptions::default() }).await.unwrap();
}

#[tokio::test]
async fn the_donor_is_never_its_own_target() {
    let home = home();
    let donor = start(&home, "pg1", None).await;
    donor.endpoint().execute("create table t as select 1").await.unwrap();
    // Two addresses of one database.
    let error = copy(&donor, &donor).await.unwrap_err();
    assert!(matches!(error, RebuildError::SameDatabase { .. }), "{error}");
    assert_eq!(donor.endpoint().value("select count(*) from t").await.unwrap(), "1");
}

#[tokio::test]
async fn a_failure_leaves_no_database_of_the_name_and_says_whose_it_is() {
    let home = home();
    let donor = start(&home, "pg1", None).await;
    let target = start(&home, "pg2", None).await;
    // Loads at the donor, as it was made there step by step, but not from a dump.
    let impossible = "create table t(i int); insert into t values (1); create function f(i int) returns bool \
        language plpgsql as $$ begin return not exists (select from pg_database where datname like 'raidb%'); end $$; \
        alter table t add check (f(i))";
    donor.endpoint().execute(impossible).await.unwrap();
    let text = copy(&donor, &target).await.unwrap_err().to_string();
    assert!(text.contains("pg2: psql failed") && text.contains("violates check constraint"), "{text}");
    assert!(is_gone(&target).await);

    donor.endpoint().execute("drop table t; create table t(i int)").await.unwrap();
    copy(&donor, &target).await.unwrap();
    members_equal(&[&donor, &target], EqualityOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_donor_or_target_that_dies_and_a_copy_that_is_dropped_can_be_followed_by_another() {
    let home = home();
    let mut donor = start(&home, "pg1", None).await;
    let mut target = start(&home, "pg2", None).await;
    let many = "create table t(i int primary key, v text); insert into t select g, repeat('x', 200) \
        from generate_series(1, 300000) g; create sequence s";
    donor.endpoint().execute(many).await.unwrap();
    for fault in ["donor", "target", "drop"] {
        let progress = Arc::new(Progress::default());
        let (from, to, shared) = (endpoint(&donor, false), endpoint(&target, false), progress.clone());
        let running = tokio::spawn(async move { copy_database(&from, &to, &shared).await });
        while progress.bytes_done() < 1_000_000 {
            assert!(!running.is_finished(), "{fault}: {:?}", running.await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(progress.phase(), Phase::Transfer, "{fault}");
        match fault {
            "donor" => donor.kill_9().unwrap(),
            "target" => target.kill_9().unwrap(),
            _ => running.abort(),
        }
        let ended = running.await;
        match (fault, &ended) {
            ("donor", Ok(Err(RebuildError::Program { member, program, .. }))) => {
                assert_eq!((member.as_str(), program.as_str()), ("pg1", "pg_dump"));
                donor.restart().await.unwrap();
            }
            ("target", Ok(Err(RebuildError::Program { member, program, .. }))) => {
                assert_eq!((member.as_str(), program.as_str()), ("pg2", "psql"));
                target.restart().await.unwrap();
            }
            ("drop", Err(stopped)) if stopped.is_cancelled() => {
                let query = "select count(*) from pg_stat_activity where application_name = 'raidb rebuild'";
                for member in [&donor, &target] {
                    let outside = member.endpoint().database("postgres");
                    let mut looks = 0;
                    while outside.value(query).await.unwrap() != "0" {
                        looks += 1;
                        assert!(looks < 100, "a program lives on at {}", member.name());
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            other => panic!("{other:?}"),
        }
        assert!(is_gone(&target).await, "{fault}");
    }
    copy(&donor, &target).await.unwrap();
    members_equal(&[&donor, &target], EqualityOptions::default()).await.unwrap();
    let client = sql::Endpoint::local(target.port(), "bench").connect().await.unwrap();
    assert!(client.simple_query("select 1").await.is_ok());
}

/// ALTER TABLE that rewrites, and is not committed when the copy begins: a snapshot from before finds the new table empty.
#[tokio::test]
async fn a_table_that_is_rewritten_while_the_copy_begins_is_copied_whole() {
    let home = home();
    let (donor, target) = (start(&home, "pg1", None).await, start(&home, "pg2", None).await);
    let fill = "create table rewritten(a int); insert into rewritten select generate_series(1, 1000); create table other(a int)";
    donor.endpoint().execute(fill).await.unwrap();
    let rewrites = donor.endpoint().connect().await.unwrap();
    rewrites.batch_execute("begin; alter table rewritten alter a type bigint").await.unwrap();
    let (from, to) = (endpoint(&donor, false), endpoint(&target, true));
    let copying = tokio::spawn(async move { copy_database(&from, &to, &Progress::default()).await });
    let outside = donor.endpoint().database("postgres");
    let waits = "select count(*) from pg_locks where not granted and \
                 database = (select oid from pg_database where datname = 'bench')";
    while outside.value(waits).await.unwrap() == "0" {
        assert!(!copying.is_finished(), "the copy did not wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rewrites.batch_execute("commit").await.unwrap();
    copying.await.unwrap().unwrap();
    assert_eq!(target.endpoint().value("select count(*) from rewritten").await.unwrap(), "1000");
    members_equal(&[&donor, &target], EqualityOptions::default()).await.unwrap();
}
