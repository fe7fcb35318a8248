//! The last member loses the COMMIT of DDL, whose client is told 08007: who goes on when the member is back is judged by the
//! new catalog.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::support::{armed, outcome, reached};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// The second commit is that of ALTER.
const FAULT: &str = "commit.sent_to_all:2:cut-lead";
/// How long a member may take to leave, and to come back.
const LIMIT: Duration = Duration::from_secs(6);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    armed(cluster, FAULT).await?;
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table dou(id int primary key, x text)").await?;
    let others: Vec<usize> = (0..cluster.members.len()).filter(|index| *index != lead).collect();
    for index in &others {
        cluster.members[*index].kill_9()?;
    }
    for index in &others {
        let name = cluster.members[*index].name().to_owned();
        cluster.wait_for_state(&name, "disabled", LIMIT).await?;
    }
    let client = endpoint.connect().await?;
    let answer = client.batch_execute("alter table dou alter x set default gen_random_uuid()::text").await;
    if outcome(&answer) != "08007" {
        return fail(format!("ALTER TABLE was answered with {}", outcome(&answer)));
    }
    reached(cluster, FAULT)?;
    let begun = Instant::now();
    while let Err(error) = endpoint.execute("insert into dou(id) values (1)").await {
        if begun.elapsed() > LIMIT {
            return Err(error.during("an insert when the last member is back"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    for index in &others {
        cluster.members[*index].restart().await?;
    }
    for index in &others {
        let name = cluster.members[*index].name().to_owned();
        cluster.wait_for_state(&name, "enabled", LIMIT).await?;
    }
    for member in &cluster.members {
        let length = member.endpoint().value("select length(x) from dou").await?;
        if length != "36" {
            return fail(format!("the default did not act on {}: {length}", member.name()));
        }
    }
    Ok(())
}
