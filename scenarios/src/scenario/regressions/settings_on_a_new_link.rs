//! A session's connection to a follower opens late, and what the session has prepared or set does not hold there any more: that is
//! between the session and its client, and no member is taken out.

use super::support::{
    code, disable_follower, enable, error_code, expect_on_all, one_by_one, outcome, query, session, sync,
};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table snl(i int primary key)",
            "grant all on snl to public",
            "create schema snl_s",
            "create table snl_s.snl_only(i int primary key)",
        ],
    )
    .await?;
    dropped_table(cluster).await?;
    let client = session(&endpoint, "snl_path").await?;
    for statement in [
        "set search_path = snl_s",
        "prepare q as select * from snl_only",
        "set search_path to public",
        "insert into snl values (2)",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    for session in 0..cluster.members.len() {
        parsed_on_a_reader(cluster, 10 + session)
            .await
            .map_err(|e| e.during("PREPARE of a name that Parse has made"))?;
    }
    dropped_role(cluster).await.map_err(|e| e.during("a role that is dropped"))?;
    expect_on_all(&cluster.members, "select string_agg(i::text, ' ' order by i) from snl", "1 2 3 4 10 11 12").await
}

/// PREPARE, and its table is dropped; a member that is away meanwhile comes back.
async fn dropped_table(cluster: &Cluster) -> Result<()> {
    let client = session(&cluster.endpoint(), "snl_table").await?;
    cluster.endpoint().execute("create table snl_x(i int primary key)").await?;
    client.batch_execute("prepare q as select * from snl_x").await?;
    cluster.endpoint().execute("drop table snl_x").await?;
    let away = disable_follower(cluster).await?;
    client.batch_execute("insert into snl values (1)").await?;
    let found = outcome(&client.batch_execute("execute q").await);
    if !["42P01", "26000"].contains(&found.as_str()) {
        return fail(format!("EXECUTE of a statement on a table that is gone: {found}"));
    }
    enable(cluster, away).await
}

async fn parsed_on_a_reader(cluster: &Cluster, key: usize) -> Result<()> {
    let mut raw = Raw::connect(&cluster.endpoint(), &[]).await?;
    raw.send(b'P', b"s1\0select 1\0\0\0").await?;
    sync(&mut raw).await?;
    let found = error_code(&query(&mut raw, "prepare s1 as select 2").await?);
    if found.as_deref() != Some("42P05") {
        return fail(format!("{found:?} in place of 42P05"));
    }
    for sql in ["deallocate s1", "prepare s1 as select 2", &format!("insert into snl values ({key})"), "execute s1"] {
        let answers = query(&mut raw, sql).await?;
        if let Some(code) = error_code(&answers) {
            return fail(format!("{sql}: {code}"));
        }
    }
    Ok(())
}

async fn dropped_role(cluster: &Cluster) -> Result<()> {
    cluster.endpoint().execute("create role snl_role").await?;
    let (client, other) =
        (session(&cluster.endpoint(), "snl_role").await?, session(&cluster.endpoint(), "snl_other").await?);
    client.batch_execute("set role snl_role").await?;
    other.batch_execute("drop role snl_role").await?;
    for statement in ["insert into snl values (3)", "begin; insert into snl values (3)"] {
        let answer = client.batch_execute(statement).await;
        match answer.as_ref().map_err(code) {
            Err(code) if code == "55000" => {}
            other => return fail(format!("{statement}: {other:?}")),
        }
    }
    // Each by itself: in one message RESET would be part of the INSERT's transaction, and the role still that of the session.
    for statement in ["rollback", "reset role", "insert into snl values (3)"] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    other.batch_execute("insert into snl values (4)").await?;
    Ok(())
}
