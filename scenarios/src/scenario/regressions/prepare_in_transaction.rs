//! PREPARE of a statement on a table that the same transaction made.

use super::support::expect_on_all;
use crate::cluster::Cluster;
use crate::{Failure, Result};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.endpoint().connect().await?;
    let statements =
        ["begin", "create table pt(i int primary key)", "prepare pt as insert into pt values ($1)", "execute pt(1)"];
    for statement in statements.into_iter().chain(["commit", "execute pt(2)", "deallocate pt", "drop table pt"]) {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
        if statement == "execute pt(2)" {
            expect_on_all(&cluster.members, "select count(*) from pt", "2").await?;
        }
    }
    // The same as one message, then by the extended protocol.
    client.batch_execute(&format!("{}; commit", statements.join("; "))).await?;
    expect_on_all(&cluster.members, "select count(*) from pt", "1").await?;
    client.batch_execute("begin; create table pe(i int primary key)").await?;
    let statement = client.prepare("insert into pe values ($1)").await?;
    client.execute(&statement, &[&1_i32]).await?;
    client.batch_execute("commit").await?;
    client.execute(&statement, &[&2_i32]).await?;
    expect_on_all(&cluster.members, "select count(*) from pe", "2").await
}
