//! A session holds a table for itself while another one commits DDL. The catalog is read behind that; it must not wait for the lock,
//! whose holder waits for the catalog.

use std::time::Duration;

use tokio::time::timeout;

use super::support::expect_on_all;
use crate::cluster::Cluster;
use crate::{Failure, Result};

/// Far below what anybody may wait for a member (3 s).
const LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute(
            "create table beside(id int primary key default 7, g int generated always as (id + 1) stored, \
             v int not null default 1 check (abs(v) > 0))",
        )
        .await?;
    for (round, hold) in
        ["alter table beside add extra0 int", "lock table beside", "truncate beside"].iter().enumerate()
    {
        let (holder, maker, other) = (endpoint.connect().await?, endpoint.connect().await?, endpoint.connect().await?);
        holder.batch_execute("begin").await?;
        holder.batch_execute(hold).await?;
        let late = |what: &str| Failure::new(format!("{hold}: {what} waits"));
        let make = format!("create table beside_{round}(id int primary key)");
        timeout(LIMIT, maker.batch_execute(&make)).await.map_err(|_| late("DDL of another session"))??;
        let insert = format!("insert into beside_{round} values (1)");
        timeout(LIMIT, other.batch_execute(&insert)).await.map_err(|_| late("an INSERT"))??;
        timeout(LIMIT, holder.batch_execute("insert into beside default values"))
            .await
            .map_err(|_| late("the holder"))??;
        timeout(LIMIT, holder.batch_execute("rollback")).await.map_err(|_| late("its end"))??;
    }
    endpoint.execute("insert into beside default values").await?;
    expect_on_all(&cluster.members, "select id || ',' || g || ',' || v from beside", "7,8,1").await
}
