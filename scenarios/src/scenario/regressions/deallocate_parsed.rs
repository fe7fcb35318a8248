//! DEALLOCATE of statements that were prepared by the protocol: members have them only where they were used.

use super::support::{expect_on_all, kinds, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table dp(i int primary key)").await?;
    for (turn, block) in [false, true, false, true].into_iter().enumerate() {
        with_both(&endpoint, turn, block).await.map_err(|e| e.during(format!("in a block: {block}")))?;
    }
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    for sql in ["prepare q as select 1", "reset all", "deallocate q", "prepare q as select 2", "deallocate all"] {
        tag(&mut raw, sql).await?;
    }
    expect_on_all(&cluster.members, "select count(*) from dp", "12").await
}

/// A read, which one member has, and a write, which all have.
async fn with_both(endpoint: &Endpoint, turn: usize, block: bool) -> Result<()> {
    let mut raw = Raw::connect(endpoint, &[]).await?;
    if block {
        tag(&mut raw, "begin").await?;
        tag(&mut raw, &format!("insert into dp values ({turn})")).await?;
    }
    for more in [10, 20] {
        run_named(&mut raw, "r", "select count(*) from dp").await?;
        run_named(&mut raw, "w", &format!("insert into dp values ({})", 100 * turn + more + 1000)).await?;
        tag(&mut raw, "deallocate r").await?;
        tag(&mut raw, "deallocate \"w\"").await?;
    }
    if block {
        tag(&mut raw, &format!("insert into dp values ({})", turn + 100)).await?;
        return tag(&mut raw, "commit").await;
    }
    let answers = query(&mut raw, "deallocate r").await?;
    let code = answers.iter().find(|message| message.kind == b'E').and_then(|message| message.field(b'C'));
    if code.as_deref() == Some("26000") { Ok(()) } else { fail(format!("a second DEALLOCATE: {answers:?}")) }
}

async fn tag(raw: &mut Raw, sql: &str) -> Result<()> {
    let answers = query(raw, sql).await?;
    if kinds(&answers) == "CZ" { Ok(()) } else { fail(format!("{sql}: {answers:?}")) }
}

async fn run_named(raw: &mut Raw, name: &str, sql: &str) -> Result<()> {
    raw.send(b'P', &[name.as_bytes(), &[0], sql.as_bytes(), &[0, 0, 0]].concat()).await?;
    raw.send(b'B', &[&[0], name.as_bytes(), &[0, 0, 0, 0, 0, 0, 0]].concat()).await?;
    raw.send(b'E', &[0, 0, 0, 0, 0]).await?;
    let answers = sync(raw).await?;
    match answers.iter().find(|message| message.kind == b'E') {
        None => Ok(()),
        Some(error) => fail(format!("{sql}: {error:?}")),
    }
}
