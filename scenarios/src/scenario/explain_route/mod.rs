//! EXPLAIN ROUTE and `raidb explain` say what the proxy does, and run nothing; `unsafe_statement = "warn"` runs what is refused
//! only because nobody can tell, on all members, and says so.

mod command_line;
mod plain_user;
mod protocols;
mod unproven;

use std::time::Duration;

use super::ending;
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Options, Result, Summary, fail};

/// Which members there are, and which leads, is part of what is compared: nobody is to leave because the machine is slow.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the statements are about.
const SCHEMA: &str = "create table er_keyed(id int primary key, v int, at timestamptz default now());\
    create table er_serial(id serial primary key, v text);\
    create table er_keyless(a int, b int);\
    create table er_audit(id int primary key, times int not null);\
    create table er_triggered(id int primary key, v int);\
    create function er_count() returns trigger language plpgsql as $$ begin \
      insert into er_audit values (new.id, 1) on conflict (id) do update set times = er_audit.times + 1; return new; end $$;\
    create trigger er_count after insert or update on er_triggered for each row execute function er_count();\
    create function er_write(i int) returns int language plpgsql as $$ begin \
      insert into er_audit values (i, 1) on conflict (id) do update set times = er_audit.times + 1; return i; end $$;\
    create procedure er_make(name text) language plpgsql as $$ begin \
      execute format('create table %I (id int primary key)', name); end $$;\
    create function er_make_and_write(name text, i int) returns int language plpgsql as $$ begin \
      execute format('create table %I (id int primary key)', name); return er_write(i); end $$;\
    create table er_always(id int primary key, v int);\
    create trigger er_count after insert or update on er_always for each row execute function er_count();\
    alter table er_always enable always trigger er_count;\
    create table er_outer(id int primary key, v int);\
    create function er_pass_on() returns trigger language plpgsql as $$ begin \
      insert into er_always values (new.id, new.v); return new; end $$;\
    create trigger er_pass_on after insert on er_outer for each row execute function er_pass_on();\
    create function er_positive(int) returns boolean language sql immutable as 'select $1 > 0';\
    create table er_checked(id int primary key, v int check (er_positive(v)));\
    create function er_set() returns int language plpgsql as $$ begin \
      perform set_config('datestyle', 'German', false); return er_write(9); end $$";

/// Where there is such a function, what calls functions of users is not tried as a read.
const LOCKING: &str = "create function er_lock() returns int language plpgsql as $$ begin \
      perform pg_advisory_xact_lock(5); return er_write(9); end $$";

/// Triggers that wait for COMMIT.
const WAITING: &str = "create table er_waiting(id int primary key, v int);\
    create constraint trigger er_count after insert on er_waiting deferrable initially deferred \
      for each row execute function er_count();\
    create table er_waiting_always(id int primary key, v int);\
    create constraint trigger er_count after insert on er_waiting_always deferrable initially deferred \
      for each row execute function er_count();\
    alter table er_waiting_always enable always trigger er_count";

pub(super) async fn run(options: Options) -> Result<Summary> {
    if options.bare {
        return fail("it is about the proxy: there is nothing to see on a bare server");
    }
    let setup = ClusterOptions { member_timeout: MEMBER_TIMEOUT, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options, setup.clone()).await?;
    cluster.endpoint().execute(SCHEMA).await?;
    let told = protocols::run(&cluster).await.map_err(|e| e.during("EXPLAIN ROUTE"))?;
    let by_command = command_line::run(&cluster).await.map_err(|e| e.during("raidb explain"))?;
    cluster.endpoint().execute(LOCKING).await?;
    unproven::rejected(&cluster).await.map_err(|e| e.during("unsafe_statement = \"reject\""))?;
    let rows = cluster.endpoint().value("select count(*) from er_audit").await?;
    if rows != "0" {
        return fail(format!("{rows} rows were written by what was to be explained or refused"));
    }
    ending(&cluster).await?;
    drop(cluster);

    let virtual_database = vec!["unsafe_statement = \"warn\"".to_owned()];
    let warning = ClusterOptions { virtual_database, ..setup };
    let cluster = Cluster::start(&options, warning.clone()).await?;
    cluster.endpoint().execute(SCHEMA).await?;
    cluster.endpoint().execute(LOCKING).await?;
    let warned = unproven::warned(&cluster).await.map_err(|e| e.during("unsafe_statement = \"warn\""))?;
    let rows = ending(&cluster).await?;
    drop(cluster);

    let cluster = Cluster::start(&options, ClusterOptions { users: plain_user::users(), ..warning }).await?;
    cluster.endpoint().execute(SCHEMA).await?;
    let without_images = plain_user::run(&cluster).await.map_err(|e| e.during("a user for whom images are refused"))?;
    ending(&cluster).await?;
    Ok(Summary::default()
        .with("routes", told)
        .with("by_command", by_command)
        .with("warned", warned)
        .with("without_images", without_images)
        .with("rows", rows))
}

/// Fails unless each of these stands in one of the lines.
fn expect_lines(sql: &str, lines: &[String], wanted: &[&str]) -> Result<()> {
    for part in wanted {
        if !lines.iter().any(|line| line.contains(part)) {
            return fail(format!("{sql}: \"{part}\" is not in\n{}", lines.join("\n")));
        }
    }
    Ok(())
}
