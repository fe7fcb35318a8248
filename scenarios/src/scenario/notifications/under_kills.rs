//! Leads are killed while clients write and notify: every commit is heard of exactly once, in the order of its sender.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::{sleep, timeout};

use super::listener::Listener;
use crate::cluster::Cluster;
use crate::scenario::regressions::support::code;
use crate::sql::Endpoint;
use crate::{Failure, Options, Result, fail};

/// Leads that are killed, one after the other has come back.
const KILLS: usize = 3;
/// Pause around each.
const PAUSE: Duration = Duration::from_millis(700);
/// Longest time for a member to come back.
const BACK_LIMIT: Duration = Duration::from_secs(120);
/// Longest time for all that was sent to be heard.
const HEARD_LIMIT: Duration = Duration::from_secs(90);
/// Listeners.
const LISTENERS: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) kills: usize,
    pub(super) received: usize,
}

pub(super) async fn run(cluster: &mut Cluster, options: &Options) -> Result<Report> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table told(sender int, n int, primary key (sender, n))").await?;
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        let listener = Listener::connect(&endpoint).await?;
        listener.client.batch_execute("listen told").await?;
        listeners.push(listener);
    }
    let over = AtomicBool::new(false);
    let sending = try_join_all((0..options.clients).map(|sender| send(&endpoint, sender, &over)));
    let (sent, kills) = tokio::try_join!(sending, kill(cluster, &over))?;
    let mut received = 0;
    for listener in &mut listeners {
        let heard = timeout(HEARD_LIMIT, hear(listener, sent.iter().sum())).await;
        received += heard.map_err(|_| Failure::new("not all that was committed was heard of"))??;
        // And nothing comes twice.
        listener.expect(&[]).await?;
    }
    let stored: usize = endpoint.value("select count(*) from told").await?.parse()?;
    if stored != sent.iter().sum::<usize>() {
        return fail(format!("{stored} rows, {sent:?} commits"));
    }
    super::super::ending(cluster).await?;
    Ok(Report { kills, received })
}

async fn kill(cluster: &mut Cluster, over: &AtomicBool) -> Result<usize> {
    for _ in 0..KILLS {
        sleep(PAUSE).await;
        let lead = cluster.lead().await?;
        cluster.members[lead].kill_9()?;
        sleep(PAUSE).await;
        cluster.members[lead].restart().await?;
        let name = cluster.members[lead].name().to_owned();
        cluster.wait_for_state(&name, "enabled", BACK_LIMIT).await?;
    }
    sleep(PAUSE).await;
    over.store(true, Ordering::SeqCst);
    Ok(KILLS)
}

/// Writes and notifies, in transactions and by single statements. Returns the number of commits.
async fn send(endpoint: &Endpoint, sender: usize, over: &AtomicBool) -> Result<usize> {
    let client = endpoint.connect().await?;
    let mut n = 0;
    while !over.load(Ordering::SeqCst) {
        let insert = format!("insert into told values ({sender}, {n}); notify told, '{sender} {n}'");
        let sql = match n % 2 {
            0 => format!("begin; {insert}; commit"),
            // One implicit transaction.
            _ => insert,
        };
        match client.batch_execute(&sql).await {
            Ok(()) => n += 1,
            // Rolled back, with its notification: again.
            Err(error) if code(&error) == "40001" => client.batch_execute("rollback").await?,
            Err(error) => return Err(error.into()),
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(n)
}

async fn hear(listener: &mut Listener, count: usize) -> Result<usize> {
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..count {
        let notification = listener.next().await?;
        let payload = notification.payload();
        let Some((sender, n)) = payload.split_once(' ') else { return fail(format!("another payload: {payload}")) };
        let wanted = next.entry(sender.to_owned()).or_default();
        if n.parse::<usize>()? != *wanted {
            return fail(format!("sender {sender}: {n} in place of {wanted}"));
        }
        *wanted += 1;
    }
    Ok(count)
}
