//! The lead freezes between the COMMIT of DDL and the reading of the catalog behind it: what comes next is judged by the new
//! catalog, which is read on the next lead.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::support::{armed, expect_on_all, reached};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

/// Long enough to see the COMMIT and to freeze the lead. The second commit is that of ALTER.
const FAULT: &str = "commit.all_answered:2:pause=700";
/// How long the commit may take to be seen, and the frozen member to come back.
const LIMIT: Duration = Duration::from_secs(6);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    armed(cluster, FAULT).await?;
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table dlf(id int primary key, x text)").await?;
    let client = endpoint.connect().await?;
    let altering = tokio::spawn(async move {
        let answer = client.batch_execute("alter table dlf alter x set default gen_random_uuid()::text").await;
        answer.map(|()| client)
    });
    let begun = Instant::now();
    let committed = "select count(*) from pg_attrdef where adrelid = 'dlf'::regclass";
    while cluster.members[lead].endpoint().value(committed).await? != "1" {
        if begun.elapsed() > LIMIT {
            return fail("ALTER TABLE does not commit");
        }
        sleep(Duration::from_millis(5)).await;
    }
    cluster.members[lead].sigstop_all()?;
    let inserted = insert(altering).await;
    cluster.members[lead].sigcont_all()?;
    inserted?;
    reached(cluster, FAULT)?;
    if cluster.lead().await? == lead {
        return fail("the frozen lead was not taken out");
    }
    let name = cluster.members[lead].name().to_owned();
    cluster.wait_for_state(&name, "enabled", LIMIT).await?;
    expect_on_all(&cluster.members, "select sum(length(x)) from dlf", "36").await
}

async fn insert(
    altering: tokio::task::JoinHandle<Result<tokio_postgres::Client, tokio_postgres::Error>>,
) -> Result<()> {
    let client = altering.await.map_err(|error| Failure::new(error.to_string()))??;
    client.batch_execute("insert into dlf(id) values (1)").await?;
    Ok(())
}
