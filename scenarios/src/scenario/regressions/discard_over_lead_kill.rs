//! DISCARD PLANS in a block whose lead has just died follows the lead, and nobody waits for it.

use std::time::Duration;

use tokio::time::timeout;

use super::support::{expect_on_all, outcome};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

const LIMIT: Duration = Duration::from_secs(6);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table discards(id int primary key)").await?;
    let lead = cluster.lead().await?;
    let (client, other) = (endpoint.connect().await?, endpoint.connect().await?);
    client.batch_execute("begin").await?;
    client.batch_execute("insert into discards values (1)").await?;
    cluster.members[lead].kill_9()?;
    let late = |what: &str| Failure::new(format!("{what} waits behind the loss of the lead"));
    let discard = timeout(LIMIT, client.batch_execute("discard plans")).await.map_err(|_| late("DISCARD PLANS"))?;
    if outcome(&discard) != "ok" {
        return fail(format!("DISCARD PLANS: {discard:?}"));
    }
    timeout(LIMIT, other.batch_execute("insert into discards values (2)"))
        .await
        .map_err(|_| late("another session"))??;
    timeout(LIMIT, client.batch_execute("commit")).await.map_err(|_| late("COMMIT"))??;
    expect_on_all(&cluster.members, "select count(*) from discards", "2").await
}
