//! An UPDATE that changes nothing, on a table with triggers, is a lock that the lead alone has: with the lead it is gone, and the
//! transaction with it. No update is lost.

use super::support::{expect_on_all, one_by_one, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table dummy(id int primary key, v int)",
            "create function dummy_noted() returns trigger language plpgsql as 'begin return new; end'",
            "create trigger dummy_noted before update on dummy for each row execute function dummy_noted()",
            "insert into dummy values (1, 10)",
            "update dummy set v = 11",
        ],
    )
    .await?;
    let lead = cluster.lead().await?;
    let (first, second) = (endpoint.connect().await?, endpoint.connect().await?);
    first.batch_execute("begin").await?;
    let read: i32 = first.query_one("update dummy set v = v where id = 1 returning v", &[]).await?.get(0);
    cluster.members[lead].kill_9()?;
    second.batch_execute("update dummy set v = v + 1 where id = 1").await?;
    let wrote = outcome(&first.execute("update dummy set v = $1 where id = 1", &[&(read + 100)]).await);
    if wrote != "40001" {
        return fail(format!("the lock was lost with the lead, and the transaction went on: {wrote}"));
    }
    first.batch_execute("rollback").await?;
    expect_on_all(&cluster.members, "select v from dummy", "12").await
}
