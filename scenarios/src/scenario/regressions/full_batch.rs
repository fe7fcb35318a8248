//! A member misses as many transactions as one batch of a replay holds, one less, one more, and two batches: it comes back
//! from the log. (A last record that filled a batch looked like a log that ends too early.)

use std::time::Duration;

use super::support::session;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Intents that a replay applies at once (`raidb::rejoin::applier`).
const BATCH: i64 = 256;
/// A member is back, or out, within this time.
const STATE_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = session(&cluster.endpoint(), "full_batch").await?;
    client.batch_execute("create table fb(id bigint primary key)").await?;
    let mut id = 0;
    for missed in [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH] {
        let lead = cluster.lead().await?;
        let member = cluster.members[(lead + 1) % cluster.members.len()].name().to_owned();
        operate(cluster, "disable", &member).await?;
        cluster.wait_for_state(&member, "disabled", STATE_LIMIT).await?;
        for _ in 0..missed {
            id += 1;
            client.batch_execute(&format!("insert into fb values ({id})")).await?;
        }
        operate(cluster, "enable", &member).await?;
        cluster
            .wait_for_state(&member, "enabled", STATE_LIMIT)
            .await
            .map_err(|e| e.during(format!("{missed} missed")))?;
    }
    Ok(())
}

async fn operate(cluster: &Cluster, verb: &str, member: &str) -> Result<()> {
    match cluster.proxy()?.member(&[verb, member]).await? {
        (Some(0), _) => Ok(()),
        (code, said) => fail(format!("member {verb} {member}: exit code {code:?}: {said}")),
    }
}
