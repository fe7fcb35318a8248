//! A session waits on the lead for a row; its idle follower backend ends meanwhile; it gets the row and finishes.

use futures::FutureExt as _;

use super::support::{expect_on_all, session, terminate, wait_for_lock};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let follower = (lead + 1) % cluster.members.len();
    let endpoint = cluster.endpoint();
    endpoint.execute("create table fd(id int primary key, v int); insert into fd values (1, 0), (2, 0)").await?;
    let holder = session(&endpoint, "fd holder").await?;
    let waiter = session(&endpoint, "fd waiter").await?;
    waiter.batch_execute("update fd set v = 0 where id = 2").await?;
    for (round, (before, behind)) in [("", ""), ("begin", "commit")].into_iter().enumerate() {
        holder.batch_execute("begin").await?;
        holder.batch_execute("update fd set v = v + 1 where id = 1").await?;
        waiter.batch_execute(before).await?;
        let waiting = waiter.batch_execute("update fd set v = v + 10 where id = 1");
        tokio::pin!(waiting);
        tokio::select! {
            seen = wait_for_lock(&cluster.members[lead], "fd waiter") => seen?,
            answer = &mut waiting => return fail(format!("the second session did not wait: {answer:?}")),
        }
        terminate(&cluster.members[follower], "fd waiter").await?;
        if (&mut waiting).now_or_never().is_some() {
            return fail("the second session did not wait any more when its follower's backend ended");
        }
        holder.batch_execute("commit").await?;
        waiting.await?;
        waiter.batch_execute(behind).await?;
        let wanted = (11 * (round + 1)).to_string();
        expect_on_all(&cluster.members, "select v from fd where id = 1", &wanted).await?;
    }
    Ok(())
}
