//! A transaction with a token has locked rows and written nothing; the row is deleted, and the proxy is killed: nothing of it is run again,
//! where the lock would be answered otherwise.

use std::time::Duration;

use super::support::session;
use crate::cluster::Cluster;
use crate::{Failure, Result};

/// Members are back within this time.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table tlr(id int primary key, v int); insert into tlr values (1, 1), (2, 2)").await?;
    let client = session(&endpoint, "tlr").await?;
    for statement in [
        "set raidb.token = '018f3b5e-0000-7000-8000-00000000000a'",
        "begin; select * from tlr where id = 1 for update; commit",
        "delete from tlr where id = 1",
        "set raidb.token = '018f3b5e-0000-7000-8000-00000000000b'",
        "begin read only; lock table tlr in access share mode; commit",
        "drop table tlr",
    ] {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(statement))?;
    }
    cluster.proxy_mut()?.kill_9()?;
    cluster.proxy_mut()?.restart().await?;
    for member in &cluster.members {
        cluster.wait_for_state(member.name(), "enabled", LIMIT).await?;
    }
    Ok(())
}
