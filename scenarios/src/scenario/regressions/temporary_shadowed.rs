//! What is written to a temporary table never lands in the ordinary one of the same name, and no name of a temporary object comes into
//! the log: DDL of others drops the table, the search path or a name says `pg_temp_3`, a type or a value names it.

use tokio_postgres::Client;

use super::support::{disable_follower, enable, expect_on_all, outcome, session};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

const SCHEMA: &str = "create table sh(id int primary key, v text); create table sh_o(id int primary key, v text); \
     create table sh_rc(id int primary key, c regclass); create type sh_t as (id int, v text)";

/// Refused, while there are temporary tables `sh` and `sh_tmp`.
const REFUSED: &[&str] = &[
    "truncate NUMBERED.sh",
    "drop table NUMBERED.sh",
    "create table NUMBERED.sh_b(i int)",
    "create index on NUMBERED.sh(v)",
    "set search_path = public, NUMBERED",
    "set local search_path = NUMBERED",
    "select set_config('search_path', 'public, NUMBERED', false)",
    "prepare sh_p(sh_tmp) as insert into sh_o values (7, ($1).v)",
    "execute sh_q(8, (row(8, 'q')::sh_tmp).v)",
    "insert into sh_rc values (1, 'sh_tmp')",
    "insert into sh_rc select 2, 'sh_tmp'",
    "create temp table text(id int)",
    "set search_path = pg_temp, public; create type sh_e as enum ('a')",
    "set search_path = pg_temp, public; create function sh_f() returns int language sql as 'select 1'",
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    if cluster.proxy().is_err() {
        return fail("one server refuses none of this (--bare)");
    }
    endpoint.execute(SCHEMA).await?;
    let client = session(&endpoint, "sh").await?;
    all(&client, &["create temp table sh of sh_t", "create temp table sh_tmp(id int, v text)"]).await?;
    all(
        &client,
        &["insert into sh values (1, 'temporary')", "prepare sh_q(int, text) as insert into sh_o values ($1, $2)"],
    )
    .await?;
    let numbered: String = client.query_one("select pg_my_temp_schema()::regnamespace::text", &[]).await?.get(0);
    for refused in REFUSED {
        let refused = refused.replace("NUMBERED", &numbered);
        let found = outcome(&client.batch_execute(&refused).await);
        if found != "0A000" {
            return fail(format!("{refused}: {found} in place of 0A000"));
        }
        all(&client, &["rollback", "reset search_path"]).await?;
    }
    all(&client, &["drop table if exists pg_temp.sh_no"]).await?;
    // Others' DDL takes the table away: the name means the ordinary one. What a member misses meanwhile is in the log.
    let other = session(&endpoint, "sh_other").await?;
    all(&other, &["drop type sh_t cascade"]).await?;
    let away = disable_follower(cluster).await?;
    all(&client, &["insert into sh values (2, 'ordinary')", "update sh set v = 'again' where id = 2"]).await?;
    enable(cluster, away).await?;
    expect_on_all(&cluster.members, "select string_agg(id || v, ' ') from sh", "2again").await?;
    // The same inside a transaction.
    all(&other, &["create type sh_t as (id int, v text)"]).await?;
    all(&client, &["create temp table sh of sh_t", "begin", "select 1"]).await?;
    all(&other, &["drop type sh_t cascade"]).await?;
    all(&client, &["insert into sh values (3, 'ordinary')", "commit"]).await?;
    expect_on_all(&cluster.members, "select string_agg(id || v, ' ' order by id) from sh", "2again 3ordinary").await
}

async fn all(client: &Client, statements: &[&str]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(*statement))?;
    }
    Ok(())
}
