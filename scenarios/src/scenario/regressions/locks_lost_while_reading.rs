//! A session loses its connection to the lead, and with it an advisory lock, while it reads on another member: it ends, and whoever
//! takes the lock next waits for nobody.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::support::{session, terminate};
use crate::cluster::Cluster;
use crate::{Failure, Result};

const LIMIT: Duration = Duration::from_secs(4);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let lead = cluster.lead().await?;
    // Reads go around: one of these is on a follower.
    let mut readers = Vec::new();
    for number in 0..3 {
        let name = format!("reader{number}");
        let reader = session(&endpoint, &name).await?;
        reader.simple_query(&format!("select pg_advisory_lock({})", 77_010 + number)).await?;
        readers.push((name, reader));
    }
    let slow = "select count(*) from generate_series(1, 40000) a, generate_series(1, 40000) b";
    let tasks: Vec<_> = readers
        .iter()
        .map(|(_, reader)| tokio::time::timeout(Duration::from_secs(8), reader.simple_query(slow)))
        .collect();
    let others = async {
        sleep(Duration::from_millis(300)).await;
        for (name, _) in &readers {
            terminate(&cluster.members[lead], name).await?;
        }
        let next = endpoint.connect().await?;
        for number in 0..3 {
            let lock = format!("select pg_advisory_lock({})", 77_010 + number);
            timeout(LIMIT, next.simple_query(&lock)).await.map_err(|_| Failure::new(format!("{lock} waits")))??;
        }
        Ok::<_, Failure>(())
    };
    let (_, others) = tokio::join!(futures::future::join_all(tasks), others);
    others
}
