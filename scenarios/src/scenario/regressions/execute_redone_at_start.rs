//! The proxy dies behind the decision on a transaction that has executed what it has prepared: the start carries it out everywhere.

use std::time::Duration;

use super::support::{expect_on_all, session};
use crate::cluster::Cluster;
use crate::{Failure, Result};

/// The proxy dies within this time.
const END_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    cluster.endpoint().execute("create table ers(i int primary key)").await?;
    cluster.proxy_mut()?.stop().await?;
    let plan = ("RAIDB_FAULT".to_owned(), "commit.intent_durable:1:crash".to_owned());
    cluster.proxy_mut()?.set_environment(vec![plan]);
    cluster.proxy_mut()?.restart().await?;
    let client = session(&cluster.endpoint(), "ers").await?;
    for statement in [
        "begin",
        "create table ers_made(i int primary key)",
        "prepare p as insert into ers_made values ($1)",
        "execute p(1)",
        "execute p(2)",
        "deallocate p",
        "prepare p(int) as insert into ers values ($1)",
        "execute p(3)",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    // The connection ends with the proxy.
    let _lost = client.batch_execute("commit").await;
    cluster.proxy_mut()?.wait_end(END_LIMIT).await?;
    cluster.proxy_mut()?.set_environment(Vec::new());
    cluster.proxy_mut()?.restart().await?;
    expect_on_all(&cluster.members, "select string_agg(i::text, ' ' order by i) from ers_made", "1 2").await?;
    expect_on_all(&cluster.members, "select string_agg(i::text, ' ' order by i) from ers", "3").await
}
