//! A session in a transaction does not read its large result while the lead is killed: another session goes on.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::support::query;
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

/// How long another session may be held up by the loss of the lead.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a row may stay locked by a session whose client is gone.
const FREED_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    let other = endpoint.connect().await?;
    other.batch_execute("create table nr(id int primary key, v int); insert into nr values (1, 0), (2, 0)").await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    query(&mut raw, "begin").await?;
    query(&mut raw, "update nr set v = v + 1 where id = 1").await?;
    raw.query(b"select repeat('x', 1000000) from generate_series(1, 500)").await?;
    sleep(Duration::from_millis(300)).await;
    cluster.members[lead].kill_9()?;
    let begun = Instant::now();
    for _ in 0..3 {
        match timeout(LIMIT, other.batch_execute("update nr set v = v + 1 where id = 2")).await {
            Ok(answer) => answer?,
            Err(_) => return fail(format!("another session's update got no answer for {:?}", begun.elapsed())),
        }
    }
    if begun.elapsed() > LIMIT {
        return fail(format!("another session was held up for {:?}", begun.elapsed()));
    }
    drop(raw);
    let freed = timeout(FREED_LIMIT, other.batch_execute("update nr set v = v + 1 where id = 1")).await;
    freed.map_err(|_| Failure::new("the row of a client that is gone stays locked"))??;
    Ok(())
}
