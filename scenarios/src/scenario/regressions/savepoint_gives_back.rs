//! ROLLBACK TO SAVEPOINT gives a row back; who had waited for it goes on, and commits behind the one that gave it back. The latter
//! still named the row when it committed, and the former was told that it had lost its lock (40001).

use super::support::{expect_on_all, outcome, session, wait_for_lock};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table sgb(id int primary key, v int); insert into sgb values (1, 10), (2, 20)").await?;
    let lead = cluster.lead().await?;
    let (gives, waits) = (session(&endpoint, "sgb gives").await?, session(&endpoint, "sgb waits").await?);
    gives.batch_execute("begin").await?;
    gives.batch_execute("savepoint s").await?;
    gives.batch_execute("update sgb set v = 11 where id = 1").await?;
    let waiting = tokio::spawn(async move {
        waits.batch_execute("begin").await?;
        waits.batch_execute("update sgb set v = v + 1 where id = 1").await?;
        Ok::<_, tokio_postgres::Error>(waits)
    });
    wait_for_lock(&cluster.members[lead], "sgb waits").await?;
    gives.batch_execute("rollback to savepoint s").await?;
    let waits = waiting.await??;
    gives.batch_execute("update sgb set v = 21 where id = 2").await?;
    gives.batch_execute("commit").await?;
    let told = outcome(&waits.batch_execute("commit").await);
    if told != "ok" {
        return fail(format!("who had waited was told {told}"));
    }
    expect_on_all(&cluster.members, "select string_agg(v::text, ',' order by id) from sgb", "11,21").await
}
