//! EXECUTE stands for what was prepared when it was executed: on a follower whose connection is opened anew, on a reader, and on a
//! member that comes back. In both protocols.

use tokio_postgres::Client;

use super::support::{disable_follower, enable, expect_on_all, one_by_one, outcome, session, terminate};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

/// One name, two statements.
const TWICE: [&str; 6] = [
    "prepare p(int) as insert into emm_a values ($1)",
    "execute p(K)",
    "deallocate p",
    "prepare p(int) as insert into emm_b values ($1)",
    "execute p(K)",
    "execute p(K + 1)",
];
/// The name is gone before COMMIT.
const GONE: [&str; 3] = ["prepare p(int) as insert into emm_a values ($1)", "execute p(K)", "deallocate p"];
/// A table that the same transaction makes.
const MADE: [&str; 3] =
    ["create table emm_K(i int primary key)", "prepare p as insert into emm_K values ($1)", "execute p(1)"];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table emm_a(i int primary key)",
            "create table emm_b(i int primary key)",
            "create table emm_day(i int primary key, d timestamp)",
        ],
    )
    .await?;
    for (key, statements) in [(10, &TWICE[..]), (20, &GONE), (30, &MADE)] {
        for (key, extended) in [(key, false), (100 + key, true)] {
            let done = block(cluster, key, statements, (true, extended)).await;
            done.map_err(|e| e.during("a connection that is opened anew"))?;
        }
    }
    settings_between(cluster).await?;
    readers(cluster).await?;
    let away = disable_follower(cluster).await?;
    for (key, statements) in [(40, &TWICE[..]), (50, &GONE), (60, &MADE)] {
        block(cluster, key, statements, (false, false)).await?;
        block(cluster, 100 + key, statements, (false, true)).await?;
    }
    enable(cluster, away).await?;
    expect_on_all(
        &cluster.members,
        "select string_agg(i::text, ' ' order by i) from emm_a",
        "1 10 20 40 50 110 120 140 150",
    )
    .await?;
    expect_on_all(
        &cluster.members,
        "select string_agg(i::text, ' ' order by i) from emm_b",
        "10 11 40 41 110 111 140 141",
    )
    .await?;
    expect_on_all(&cluster.members, "select count(*) from emm_30, emm_60, emm_130, emm_160", "1").await
}

async fn block(cluster: &Cluster, key: i32, statements: &[&str], (anew, extended): (bool, bool)) -> Result<()> {
    let client = session(&cluster.endpoint(), "emm").await?;
    client.batch_execute("update emm_a set i = 0 where i = -1; insert into emm_b values (0)").await?;
    client.batch_execute("delete from emm_b where i = 0; begin").await?;
    for statement in statements {
        let statement = statement.replace('K', &key.to_string());
        let done = match extended {
            true => client.execute(&statement, &[]).await.map(|_| ()),
            false => client.batch_execute(&statement).await,
        };
        done.map_err(|e| Failure::from(e).during(statement))?;
    }
    if anew {
        let lead = cluster.lead().await?;
        for (_, member) in cluster.members.iter().enumerate().filter(|(index, _)| *index != lead) {
            terminate(member, "emm").await?;
        }
    }
    client.batch_execute("commit").await?;
    Ok(())
}

/// What a constant of a prepared statement means was settled when it was prepared.
async fn settings_between(cluster: &Cluster) -> Result<()> {
    let client = session(&cluster.endpoint(), "emm_settings").await?;
    client.batch_execute("prepare d(int) as insert into emm_day values ($1, '01/02/2024')").await?;
    client.batch_execute("set search_path to public").await?;
    client.batch_execute("execute d(1)").await?;
    for setting in ["set datestyle to 'ISO, DMY'", "begin; set local datestyle to 'ISO, DMY'"] {
        client.batch_execute(setting).await?;
        let found = outcome(&client.batch_execute("execute d(2)").await);
        if found != "0A000" {
            return fail(format!("EXECUTE of a text with constants behind {setting}: {found}"));
        }
        client.batch_execute("rollback").await?;
        client.batch_execute("set datestyle to 'ISO, MDY'").await?;
    }
    client.batch_execute("execute d(3)").await?;
    expect_on_all(&cluster.members, "select string_agg(d::date::text, ' ') from emm_day", "2024-01-02 2024-01-02").await
}

/// A read runs on any member, whoever took the PREPARE; its name is free behind DEALLOCATE ALL.
async fn readers(cluster: &Cluster) -> Result<()> {
    for round in 0..6 {
        let client = session(&cluster.endpoint(), "emm_reader").await?;
        client.batch_execute("prepare r(int) as select $1 + 1").await?;
        client.batch_execute("execute r(1)").await?;
        let two: i32 = client.query_one("execute r(1)", &[]).await?.try_get(0)?;
        if two != 2 {
            return fail(format!("EXECUTE by the extended protocol: {two}"));
        }
        over_another_lead(cluster, &client).await?;
        client.batch_execute("deallocate all; prepare r(int) as insert into emm_a values ($1)").await?;
        client.batch_execute(&format!("begin; execute r({})", round + 1)).await?;
        let end = if round == 0 { "commit" } else { "rollback" };
        client.batch_execute(end).await?;
        // Made by the protocol, executed by SQL.
        client.prepare("select 1").await?;
        let found = outcome(&client.batch_execute("execute nobody").await);
        if found != "26000" {
            return fail(format!("EXECUTE of nothing: {found}"));
        }
    }
    Ok(())
}

/// The EXECUTE that a driver has prepared is prepared anew where it was not, with what it names; and an EXECUTE of one is refused,
/// since it would write where it stands and nowhere else.
async fn over_another_lead(cluster: &Cluster, client: &Client) -> Result<()> {
    client.batch_execute("prepare w(int) as insert into emm_b values ($1)").await?;
    let by_driver = client.prepare("execute w(77)").await?;
    let lead = cluster.lead().await?;
    terminate(&cluster.members[lead], "emm_reader").await?;
    client.execute(&by_driver, &[]).await?;
    client.batch_execute("delete from emm_b where i = 77").await?;
    // The name that tokio-postgres gives its statements.
    for name in 0..8 {
        let found = outcome(&client.batch_execute(&format!("execute s{name}")).await);
        if !["26000", "0A000"].contains(&found.as_str()) {
            return fail(format!("EXECUTE of an EXECUTE that the driver has prepared: {found}"));
        }
    }
    client.batch_execute("deallocate w").await?;
    Ok(())
}
