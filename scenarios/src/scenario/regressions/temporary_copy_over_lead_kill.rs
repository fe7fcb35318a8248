//! A temporary table with the name of an ordinary one gets rows by COPY; the connection to a follower is cut, and then the lead is lost:
//! the next lead may lack the table. The session is told so, and nothing lands in the ordinary table.

use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::Client;

use super::support::{code, session, terminate};
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table tc(id int primary key, v text)").await?;
    // In a transaction, and behind one that was rolled back.
    let inside = with_table(&endpoint, "tc_inside").await?;
    let behind = with_table(&endpoint, "tc_behind").await?;
    let lead = cluster.lead().await?;
    for (n, member) in cluster.members.iter().enumerate().filter(|(n, _)| *n != lead) {
        terminate(member, "tc_inside").await?;
        terminate(member, "tc_behind").await.map_err(|e| e.during(format!("member {n}")))?;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for client in [&inside, &behind] {
        client.batch_execute("insert into tc values (3, 'c')").await.map_err(Failure::from)?;
    }
    behind
        .batch_execute(
            "rollback; begin; create temp table tc(id int primary key, v text); insert into tc values (5, 'e')",
        )
        .await?;
    cluster.members[lead].kill_9()?;
    for client in [&inside, &behind] {
        let written = client.batch_execute("insert into tc values (4, 'd'); commit").await;
        match &written {
            Ok(()) => {}
            Err(error) if matches!(code(error).as_str(), "57P01" | "40001" | "connection") => {}
            Err(error) => return fail(format!("a session whose tables are on no lead was told {error}")),
        }
    }
    let left = cluster.endpoint().value("select count(*) from tc").await?;
    if left == "0" { Ok(()) } else { fail(format!("{left} rows of temporary tables are in the ordinary one")) }
}

async fn with_table(endpoint: &Endpoint, name: &str) -> Result<Client> {
    let client = session(endpoint, name).await?;
    client.batch_execute("begin; create temp table tc(id int primary key, v text)").await?;
    let mut sink = Box::pin(client.copy_in("copy tc from stdin").await?);
    sink.send(Bytes::from_static(b"1\ta\n2\tb\n")).await?;
    sink.as_mut().finish().await?;
    drop(sink);
    Ok(client)
}
