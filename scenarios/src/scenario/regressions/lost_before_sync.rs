//! What was answered at a Flush is lost with the lead's backend before Sync comes: Sync says so. It is the commit, and would
//! otherwise acknowledge what no member has. The same for the COMMIT of a block that comes in a pipeline.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{bind, error_code, execute, expect_on_all, kinds, parse, query, sync, terminate};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// So long it takes to notice the end of a backend, at most.
const NOTICED: Duration = Duration::from_millis(300);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table before_sync(i int primary key)").await?;
    let mut raw = Raw::connect(&endpoint, &[("application_name", "before_sync")]).await?;
    insert_and_flush(&mut raw, 1).await?;
    terminate(&cluster.members[lead], "before_sync").await?;
    sleep(NOTICED).await;
    let answers = sync(&mut raw).await?;
    if kinds(&answers) != "EZ" || error_code(&answers).as_deref() != Some("40001") {
        return fail(format!("Sync behind a lost transaction was answered by {}", kinds(&answers)));
    }
    // It is told once.
    let answers = query(&mut raw, "insert into before_sync values (2)").await?;
    if kinds(&answers) != "CZ" {
        return fail(format!("the next statement was answered by {}", kinds(&answers)));
    }

    insert_and_flush(&mut raw, 3).await?;
    terminate(&cluster.members[lead], "before_sync").await?;
    sleep(NOTICED).await;
    parse(&mut raw, "commit").await?;
    bind(&mut raw, &[]).await?;
    execute(&mut raw).await?;
    let answers = sync(&mut raw).await?;
    if !kinds(&answers).ends_with("EZ") {
        return fail(format!("COMMIT behind a lost pipeline was answered by {}", kinds(&answers)));
    }

    // A lost block goes on as a block if the client says so.
    query(&mut raw, "begin").await?;
    query(&mut raw, "insert into before_sync values (4)").await?;
    terminate(&cluster.members[lead], "before_sync").await?;
    sleep(NOTICED).await;
    let answers = query(&mut raw, "rollback and chain").await?;
    let status = answers.last().and_then(|message| message.body.first()).copied();
    if kinds(&answers) != "CZ" || status != Some(b'T') {
        return fail(format!("ROLLBACK AND CHAIN was answered by {} with status {status:?}", kinds(&answers)));
    }
    query(&mut raw, "insert into before_sync values (5)").await?;
    query(&mut raw, "rollback").await?;
    expect_on_all(&cluster.members, "select string_agg(i::text, ',') from before_sync", "2").await
}

async fn insert_and_flush(raw: &mut Raw, key: i32) -> Result<()> {
    parse(raw, &format!("insert into before_sync values ({key})")).await?;
    bind(raw, &[]).await?;
    execute(raw).await?;
    raw.send(b'H', b"").await?;
    raw.until(b'C').await?;
    Ok(())
}
