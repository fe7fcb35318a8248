//! Transactions that write ordinary tables from temporary ones are redone: on a member that was killed, and by a proxy that died
//! behind the decision. One that has to do with temporary tables alone is in no log.

use std::time::Duration;

use super::support::{armed, expect_on_all, session};
use crate::cluster::Cluster;
use crate::{Failure, Result};

/// The proxy dies, a member comes back, within this time.
const LIMIT: Duration = Duration::from_secs(8);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    cluster.endpoint().execute("create table tre(id int primary key, a text)").await?;
    cluster.endpoint().execute("create table shadow(id int primary key, a text)").await?;
    // The second intent that is durable is the last thing that the proxy does.
    armed(cluster, "commit.intent_durable:2:crash").await?;
    let client = session(&cluster.endpoint(), "tre").await?;
    let away = (cluster.lead().await? + 1) % cluster.members.len();
    for statement in [
        "create temp table shadow(id serial primary key, a text)",
        "insert into shadow(a) values ('a'), ('b'), ('c')",
        "begin; insert into shadow(a) values ('d'); savepoint s; drop table shadow; rollback to s; commit",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    cluster.members[away].kill_9()?;
    for statement in [
        "begin",
        "update shadow set a = a || id",
        "insert into tre select id, a from shadow",
        "insert into shadow(a) values ('e')",
        "commit",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    let name = cluster.members[away].name().to_owned();
    cluster.members[away].restart().await?;
    cluster.wait_for_state(&name, "enabled", LIMIT).await?;
    let found = "select string_agg(id || a, ' ' order by id) from tre";
    expect_on_all(&cluster.members, found, "1a1 2b2 3c3 4d4").await?;
    for statement in [
        "begin",
        "delete from shadow where id = 1",
        "update tre set a = shadow.a || '!' from shadow where shadow.id = tre.id",
        "delete from tre where id not in (select id from shadow)",
        "truncate shadow",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    // The connection ends with the proxy.
    let _lost = client.batch_execute("commit").await;
    cluster.proxy_mut()?.wait_end(LIMIT).await?;
    cluster.proxy_mut()?.set_environment(Vec::new());
    cluster.proxy_mut()?.restart().await?;
    expect_on_all(&cluster.members, found, "2b2! 3c3! 4d4!").await?;
    expect_on_all(&cluster.members, "select count(*) from shadow", "0").await
}
