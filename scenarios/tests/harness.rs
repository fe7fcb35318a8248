//! The harness itself, without a proxy: a checker that cannot fail, or a kill that kills nothing, proves nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::{Duration, Instant};

use scenarios::checkers::{EqualityOptions, members_equal};
use scenarios::cluster::{Delay, LinkState, Member, MemberOptions, Relay, Shape, Way, descendants, is_alive};
use scenarios::sql::Endpoint;
use tempfile::TempDir;

fn home() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::Builder::new().prefix("raidb-scenario-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    home
}

async fn members(home: &TempDir, count: usize) -> Vec<Member> {
    let mut members = Vec::new();
    for number in 1..=count {
        let options = MemberOptions::new(&format!("pg{number}"), "bench");
        members.push(Member::start(home.path(), options).await.unwrap());
    }
    members
}

fn strict() -> EqualityOptions {
    EqualityOptions { settle: Duration::ZERO, ..EqualityOptions::default() }
}

#[tokio::test]
async fn a_killed_member_leaves_no_process_and_comes_back_with_its_data() {
    let home = home();
    let mut member = members(&home, 1).await.remove(0);
    member.endpoint().execute("create table t(i int); insert into t values (7)").await.unwrap();
    for postmaster_only in [false, true] {
        let all = descendants(member.pid().unwrap());
        assert!(all.len() > 3, "postmaster and its workers: {all:?}");
        if postmaster_only {
            member.kill_9_postmaster_only().unwrap();
        } else {
            member.kill_9().unwrap();
        }
        assert!(!all.iter().any(|pid| is_alive(*pid)));
        assert!(member.endpoint().connect().await.is_err());
        member.restart().await.unwrap();
        assert_eq!(member.endpoint().value("select i from t").await.unwrap(), "7");
    }
    member.stop().await.unwrap();
    assert!(member.endpoint().connect().await.is_err());
}

#[tokio::test]
async fn a_stopped_member_answers_nothing_until_it_goes_on() {
    let home = home();
    let member = members(&home, 1).await.remove(0);
    let client = member.endpoint().connect().await.unwrap();
    member.sigstop_all().unwrap();
    let query = client.simple_query("select 1");
    tokio::pin!(query);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut query).await.is_err());
    member.sigcont_all().unwrap();
    assert!(query.await.is_ok());
}

#[tokio::test]
async fn a_member_with_a_password_asks_for_it() {
    let home = home();
    let mut options = MemberOptions::new("pg1", "bench");
    options.password = Some("s3cret".to_owned());
    let member = Member::start(home.path(), options).await.unwrap();
    assert_eq!(member.endpoint().value("select 1").await.unwrap(), "1");
    let wrong = Endpoint { password: Some("wrong".to_owned()), ..member.endpoint() };
    assert!(wrong.connect().await.err().unwrap().to_string().contains("password authentication failed"));
}

#[tokio::test]
async fn equality_names_every_kind_of_difference() {
    let home = home();
    let members = members(&home, 2).await;
    let both: Vec<&Member> = members.iter().collect();
    let schema = "create table t(i int primary key, v text); create sequence s; \
        insert into t select g, 'row ' || g from generate_series(1, 100) g";
    for member in &members {
        member.endpoint().execute(schema).await.unwrap();
    }
    assert_eq!(members_equal(&both, strict()).await.unwrap(), 100);

    let differences = [
        ("update t set v = 'other' where i = 7", "only on pg2: (7,other)"),
        ("delete from t where i = 9", "100 and 99 rows"),
        ("select nextval('s'), nextval('s')", "sequence public.s: next is 1 and 3"),
        ("create index extra on t(v)", "schema, only on pg2: index CREATE INDEX extra"),
        ("create function f() returns int language sql as 'select 1'", "only on pg2: function"),
        ("alter table t alter v set default 'x'", "column public.t.v text default 'x'"),
        ("alter table t add check (i < 1000)", "only on pg2: constraint t t_i_check"),
    ];
    for (change, told) in differences {
        members[1].endpoint().execute(change).await.unwrap();
        let text = members_equal(&both, strict()).await.unwrap_err().to_string();
        assert!(text.contains(told), "after {change}: {text}");
        members[0].endpoint().execute(change).await.unwrap();
        members_equal(&both, strict()).await.unwrap();
    }
}

#[tokio::test]
async fn equality_does_not_look_at_what_is_the_proxys_own() {
    let home = home();
    let members = members(&home, 2).await;
    for member in &members {
        member.endpoint().execute("create table t(i int primary key); insert into t values (1)").await.unwrap();
    }
    let own = "create schema raidb; create type raidb.state as enum ('a'); create sequence raidb.s; \
        create table raidb.applied_0(position bigint primary key check (position > 0), state raidb.state); \
        create index on raidb.applied_0(state); insert into raidb.applied_0 values (7, 'a'); \
        create function raidb.f() returns trigger language plpgsql as 'begin return new; end'; \
        create trigger g before insert on raidb.applied_0 for each row execute function raidb.f(); \
        create view raidb.v as select * from raidb.applied_0";
    members[1].endpoint().execute(own).await.unwrap();
    let both: Vec<&Member> = members.iter().collect();
    assert_eq!(members_equal(&both, strict()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_relay_delays_freezes_and_cuts() {
    let home = home();
    let member = members(&home, 1).await.remove(0);
    let delay = Delay { probability: 1.0, least: Duration::ZERO, longest: Duration::from_millis(20) };
    let relay = Relay::start(member.port(), delay, 1).await.unwrap();
    let endpoint = Endpoint::local(relay.port(), "bench");
    let client = endpoint.connect().await.unwrap();
    let start = Instant::now();
    for _ in 0..10 {
        client.simple_query("select 1").await.unwrap();
    }
    assert!(start.elapsed() > Duration::from_millis(50), "20 delays of 10 ms on average");
    assert!(relay.delayed() >= 20);

    for state in [LinkState::Frozen, LinkState::HalfOpen(Way::Requests), LinkState::HalfOpen(Way::Answers)] {
        relay.set(state);
        let query = client.simple_query("select 1");
        tokio::pin!(query);
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut query).await.is_err());
        relay.set(LinkState::Open);
        query.await.unwrap();
    }
    relay.set(LinkState::Reset);
    assert!(client.simple_query("select 1").await.is_err());
    assert!(endpoint.connect().await.is_err());
    assert_eq!(relay.reset(), 1);
}

#[tokio::test]
async fn a_link_that_lost_something_tells_the_client_when_it_is_back_and_the_server_never() {
    let home = home();
    let member = members(&home, 1).await.remove(0);
    let relay = Relay::start(member.port(), Delay::NONE, 1).await.unwrap();
    let endpoint = Endpoint::local(relay.port(), "bench");
    let (lost, idle) = (endpoint.connect().await.unwrap(), endpoint.connect().await.unwrap());
    relay.set(LinkState::Dropped);
    {
        let query = lost.simple_query("select 1");
        let connecting = endpoint.connect();
        tokio::pin!(query, connecting);
        let limit = Duration::from_millis(200);
        assert!(tokio::time::timeout(limit, &mut query).await.is_err(), "no answer, and no error");
        assert!(tokio::time::timeout(limit, &mut connecting).await.is_err(), "no connection, and no error");
        relay.set(LinkState::Open);
        assert!(query.await.is_err());
        assert!(connecting.await.is_err());
    }
    assert_eq!(relay.dropped(), 1);
    idle.simple_query("select 1").await.unwrap();
    let sessions = "select count(*)::text from pg_stat_activity where datname = 'bench' and pid <> pg_backend_pid()";
    let orphans = idle.query_one(sessions, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(orphans, "1", "the session of the connection that was lost");
    endpoint.connect().await.unwrap();
}

#[tokio::test]
async fn a_relay_limits_the_bandwidth_and_delays_do_not_add_up() {
    let home = home();
    let member = members(&home, 1).await.remove(0);
    let relay = Relay::start(member.port(), Delay::NONE, 1).await.unwrap();
    let client = Endpoint::local(relay.port(), "bench").connect().await.unwrap();
    let took = async |sql: &str| {
        let start = Instant::now();
        client.simple_query(sql).await.unwrap();
        start.elapsed()
    };
    let wide = "select repeat('x', 200000)";
    relay.reshape(Shape { bytes_per_second: Some(400_000), ..Shape::PLAIN });
    assert!(took(wide).await > Duration::from_millis(400));
    let length = Duration::from_millis(50);
    relay.reshape(Shape { delay: Delay { probability: 1.0, least: length, longest: length }, ..Shape::PLAIN });
    let took = took(wide).await;
    assert!(took > 2 * length && took < 10 * length, "pieces are on their way at the same time: {took:?}");
}
