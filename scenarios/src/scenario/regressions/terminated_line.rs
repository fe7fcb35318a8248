//! Connections on which sessions commit together end under load: no client notices, nothing is lost or done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::sleep;

use super::support::{expect_on_all, session};
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Result, fail};

/// Clients; each has a row of its own to count in.
const CLIENTS: i32 = 6;
/// Ends of connections, and the pause before each.
const ENDS: usize = 8;
const PAUSE: Duration = Duration::from_millis(300);
/// A member that lost a connection behind a commit is taken out, and comes back by itself.
const BACK_LIMIT: Duration = Duration::from_secs(8);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let schema = format!(
        "create table tl(id bigint primary key); create table tl_count(id int primary key, n bigint not null); \
         insert into tl_count select g, 0 from generate_series(0, {CLIENTS}) g"
    );
    endpoint.execute(&schema).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|number| tokio::spawn(client(endpoint.clone(), number, Arc::clone(&stop))));
    let clients: Vec<_> = clients.collect();
    let mut ended = 0;
    for round in 0..ENDS {
        sleep(PAUSE).await;
        let lead = cluster.lead().await?;
        let follower = &cluster.members[(lead + 1 + round % 2) % cluster.members.len()];
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where application_name = 'raidb together' and datname = current_database()";
        // A member that is being brought back ends this connection too.
        let answer = follower.endpoint().value(sql).await.unwrap_or_else(|_ended| "0".to_owned());
        ended += answer.parse::<u32>()?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for client in try_join_all(clients).await? {
        done += client?;
    }
    if ended == 0 {
        return fail("no line was there to be ended");
    }
    for member in &cluster.members {
        cluster.wait_for_state(member.name(), "enabled", BACK_LIMIT).await?;
    }
    expect_on_all(&cluster.members, "select count(*) from tl", &done.to_string()).await?;
    expect_on_all(&cluster.members, "select sum(n) from tl_count", &done.to_string()).await
}

/// Inserts a row and counts it, in one transaction, until told to stop. Every answer must be a success.
async fn client(endpoint: Endpoint, number: i32, stop: Arc<AtomicBool>) -> Result<i64> {
    let client = session(&endpoint, "tl").await?;
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = (i64::from(number) << 32) + done;
        if done % 2 == 0 {
            let both = format!("insert into tl values ({id}); update tl_count set n = n + 1 where id = {number}");
            client.batch_execute(&both).await?;
        } else {
            client.batch_execute("begin").await?;
            client.batch_execute(&format!("update tl_count set n = n + 1 where id = {number}")).await?;
            client.batch_execute(&format!("insert into tl values ({id})")).await?;
            client.batch_execute("commit").await?;
        }
        done += 1;
    }
    Ok(done)
}
