//! A lock transaction that never ends survives the loss of the lead, keeps others out, and holds up nobody else.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::lock_forever::{LockHolder, SCHEMA};
use crate::{Failure, Options, Result, Summary, fail};

/// Time between two signs of life.
const EVERY: Duration = Duration::from_millis(50);
/// Longest time that a session which wants no lock may take for an insert.
const BYSTANDER_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let endpoint = cluster.endpoint();
    endpoint.execute(&format!("{SCHEMA}; create table other(i int primary key)")).await?;
    let mut holder = LockHolder::take(&endpoint).await?;
    let waiting = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { LockHolder::take(&endpoint).await }
    });
    let cancelled = endpoint.connect().await?;
    let token = cancelled.cancel_token();
    let blocked = tokio::spawn(async move { cancelled.simple_query("select * from broker_lock for update").await });

    holder.hold(Duration::from_millis(500), EVERY).await?;
    let mut killed = "-".to_owned();
    if cluster.proxy.is_some() {
        let lead = cluster.lead().await?;
        cluster.members[lead].kill_9()?;
        cluster.members[lead].name().clone_into(&mut killed);
    }
    holder.hold(Duration::from_secs(1), EVERY).await?;
    if waiting.is_finished() {
        return fail("the second broker got the lock while the first holds it");
    }
    let insert = timeout(BYSTANDER_LIMIT, endpoint.execute("insert into other values (1)")).await;
    insert.map_err(|_| Failure::new("a session that wants no lock was held up"))??;

    token.cancel_query(NoTls).await?;
    let told =
        timeout(BYSTANDER_LIMIT, blocked).await.map_err(|_| Failure::new("the cancel request did nothing"))??;
    match told {
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
        other => return fail(format!("a cancelled wait ended with {other:?}")),
    }
    let updates = holder.hold(Duration::from_millis(200), EVERY).await?;
    holder.release().await?;
    let second =
        timeout(BYSTANDER_LIMIT, waiting).await.map_err(|_| Failure::new("the lock was not passed on"))???;
    second.release().await?;
    sleep(Duration::from_millis(50)).await;
    let survivors: Vec<&Member> = cluster.enabled().await?;
    if cluster.proxy.is_some() && survivors.len() != 2 {
        return fail(format!("{killed} was killed: {:?}", cluster.member_states().await?));
    }
    members_equal(&survivors, EqualityOptions::default()).await?;
    let time = survivors[0].endpoint().value("select coalesce(time, -1) from broker_lock").await?;
    if time != "-1" {
        return fail(format!("a keep-alive of a transaction that was rolled back is in the table: {time}"));
    }
    Ok(Summary::default().with("keep_alives", updates).with("killed", killed))
}
