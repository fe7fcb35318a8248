//! What a transaction has SET is undone before a member that comes back gets the transactions of other sessions.

use super::support::{disable_follower, enable, expect_on_all, one_by_one, session};
use crate::cluster::Cluster;
use crate::{Failure, Result};

/// A setting, and a row that means another one under it.
const CASES: [(&str, &str); 4] = [
    ("set search_path to sir_b", "insert into sir(i) values"),
    ("set role sir_role", "insert into sir_who(i) values"),
    ("set datestyle to 'ISO, DMY'", "insert into sir_day(d, i) values"),
    ("select set_config('standard_conforming_strings', 'off', false)", "insert into sir_text(t, i) values"),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create schema sir_b",
            "create table sir(i int primary key)",
            "create table sir_b.sir(i int primary key)",
            "create role sir_role",
            "create table sir_who(i int primary key, who text default current_user)",
            "grant all on sir_who to sir_role",
            "create table sir_day(d date, i int primary key)",
            "create table sir_text(t text, i int primary key)",
        ],
    )
    .await?;
    let away = disable_follower(cluster).await?;
    for (setting, insert) in CASES {
        // What came before in a table's columns stands before the key.
        let row = |key: i32| match insert {
            i if i.contains("sir_day") => format!("{insert} ('01/02/2024', {key})"),
            i if i.contains("sir_text") => format!("{insert} ('a\\\\b', {key})"),
            _ => format!("{insert} ({key})"),
        };
        let (first, second) = (session(&endpoint, "sir_1").await?, session(&endpoint, "sir_2").await?);
        for statement in ["begin", setting, &row(1), "commit"] {
            first.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
        }
        second.batch_execute(&row(2)).await.map_err(|e| Failure::from(e).during(setting))?;
    }
    enable(cluster, away).await?;
    expect_on_all(&cluster.members, "select string_agg(i::text, ' ') from sir", "2").await?;
    expect_on_all(&cluster.members, "select string_agg(i::text, ' ') from sir_b.sir", "1").await?;
    let who = "select string_agg(who, ' ' order by i) from sir_who";
    expect_on_all(&cluster.members, who, "sir_role postgres").await?;
    let day = "select string_agg(d::text, ' ' order by i) from sir_day";
    expect_on_all(&cluster.members, day, "2024-02-01 2024-01-02").await?;
    let text = "select string_agg(t, ' ' order by i) from sir_text";
    expect_on_all(&cluster.members, text, "a\\b a\\\\b").await?;
    for ddl in ["drop table sir_who", "drop role sir_role"] {
        endpoint.execute(ddl).await.map_err(|e| e.during(ddl))?;
    }
    Ok(())
}
