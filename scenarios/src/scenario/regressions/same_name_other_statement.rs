//! The unnamed statement means something else to each session. INSERTs of several sessions run as one transaction of one of them, on whose
//! own connections to followers they go if the connection that all share cannot be had: each must be parsed there as what it is.

use futures::future::try_join_all;

use super::support::{bind, execute, expect_on_all, kinds, parse, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// As many as connections to a member may be.
pub(super) const CLIENTS: usize = 4;
const TURNS: usize = 30;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let tables: Vec<String> = (0..CLIENTS).map(|n| format!("create table own_{n}(id int primary key)")).collect();
    endpoint.execute(&tables.join("; ")).await?;
    let before = cluster.proxy()?.metric("raidb_combined_inserts_total").await?;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(ready(&endpoint, number).await?);
    }
    try_join_all(clients.into_iter().enumerate().map(|(number, raw)| inserts(raw, number))).await?;
    let combined = cluster.proxy()?.metric("raidb_combined_inserts_total").await? - before;
    if combined < 10.0 {
        return fail(format!("only {combined} INSERTs were combined"));
    }
    for number in 0..CLIENTS {
        let sql = format!("select count(*) from own_{number}");
        expect_on_all(&cluster.members, &sql, &TURNS.to_string()).await?;
    }
    Ok(())
}

/// A session with connections to all members: there is none to spare behind the last.
async fn ready(endpoint: &Endpoint, number: usize) -> Result<Raw> {
    loop {
        let mut raw = Raw::connect(endpoint, &[]).await?;
        let mut answers = query(&mut raw, "begin").await?;
        answers.extend(query(&mut raw, &format!("lock table own_{number} in row exclusive mode")).await?);
        answers.extend(query(&mut raw, "commit").await?);
        // That of the schema may not be closed yet.
        if !answers.iter().any(|message| message.kind == b'E') {
            return Ok(raw);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn inserts(mut raw: Raw, number: usize) -> Result<()> {
    for turn in 0..TURNS {
        parse(&mut raw, &format!("insert into own_{number} values ($1)")).await?;
        bind(&mut raw, &[&turn.to_string()]).await?;
        execute(&mut raw).await?;
        let answers = sync(&mut raw).await?;
        if kinds(&answers) != "12CZ" {
            let error = answers.iter().find_map(|message| message.field(b'M'));
            return Err(Failure::new(format!("an INSERT was answered by {}: {error:?}", kinds(&answers))));
        }
    }
    Ok(())
}
