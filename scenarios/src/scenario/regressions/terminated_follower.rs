//! A follower's backend ends in the middle of a transaction: the whole transaction is on all members.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{expect_on_all, session, terminate};
use crate::Result;
use crate::cluster::Cluster;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table tf(id int primary key, v int); insert into tf values (1, 0), (2, 0)").await?;
    let client = session(&endpoint, "tf").await?;
    client.batch_execute("update tf set v = 0 where id = 1").await?;
    for (round, delay) in [0, 1, 20, 100].into_iter().enumerate() {
        let follower = &cluster.members[(lead + 1 + round % 2) % cluster.members.len()];
        client.batch_execute("begin").await?;
        client.batch_execute("update tf set v = v + 1 where id = 1").await?;
        terminate(follower, "tf").await?;
        sleep(Duration::from_millis(delay)).await;
        client.batch_execute("update tf set v = v + 1 where id = 2").await?;
        client.batch_execute("commit").await?;
        let wanted = (round + 1).to_string();
        expect_on_all(&cluster.members, "select min(v) from tf", &wanted)
            .await
            .map_err(|e| e.during(format!("{delay} ms between the end of the backend and the second update")))?;
    }
    Ok(())
}
