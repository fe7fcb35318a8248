//! Notifications come to a client that only listens, however many there are, and however long another session's COMMIT waits.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::support::{one_by_one, session, wait_for_lock};
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

const LIMIT: Duration = Duration::from_secs(2);
/// More than is given to a client at once.
const MANY: usize = 40;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let (listener, mut received) = listen(&endpoint).await?;
    let sender = endpoint.connect().await?;
    let long = "x".repeat(7900);
    let all: Vec<String> = (0..MANY).map(|n| format!("notify flow, '{n} {long}'")).collect();
    sender.batch_execute(&format!("begin; {}; commit", all.join("; "))).await?;
    for n in 0..MANY {
        let payload = next(&mut received).await.map_err(|e| e.during(format!("{n} of {MANY}")))?;
        if !payload.starts_with(&format!("{n} ")) {
            return fail(format!("another one comes: {}", &payload[..8]));
        }
    }
    // A COMMIT that waits for a lock has no place yet.
    one_by_one(
        &endpoint,
        &[
            "create table flow_parent(id int primary key)",
            "create table flow_child(id int primary key, p int references flow_parent initially deferred)",
            "insert into flow_parent values (1)",
        ],
    )
    .await?;
    let (holder, waiter) = (endpoint.connect().await?, session(&endpoint, "flow_waiter").await?);
    holder.batch_execute("begin; delete from flow_parent where id = 1").await?;
    waiter.batch_execute("begin; insert into flow_child values (1, 1); notify flow, 'late'").await?;
    let lead = cluster.lead().await?;
    let late = tokio::spawn(async move { waiter.batch_execute("commit").await });
    wait_for_lock(&cluster.members[lead], "flow_waiter").await?;
    sender.batch_execute("notify flow, 'in time'").await?;
    let payload = next(&mut received).await.map_err(|e| e.during("behind a COMMIT that waits"))?;
    holder.batch_execute("rollback").await?;
    late.await.map_err(|e| Failure::new(e.to_string()))??;
    if (payload.as_str(), next(&mut received).await?.as_str()) != ("in time", "late") {
        return fail(format!("in time, then late; not {payload}"));
    }
    // What came in a transaction that stops listening is not wanted any more.
    listener.batch_execute("begin").await?;
    sender.batch_execute("notify flow, 'unwanted'").await?;
    listener.batch_execute("unlisten flow; commit; listen flow").await?;
    sender.batch_execute("notify flow, 'wanted'").await?;
    let payload = next(&mut received).await?;
    if payload == "wanted" { Ok(()) } else { fail(format!("behind UNLISTEN: {payload}")) }
}

async fn listen(endpoint: &Endpoint) -> Result<(Client, UnboundedReceiver<String>)> {
    let (client, mut connection) = endpoint.config().connect(NoTls).await?;
    let (to, received) = unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message {
                // Nobody wants it any more.
                let _ = to.send(notification.payload().to_owned());
            }
        }
    });
    client.batch_execute("listen flow").await?;
    Ok((client, received))
}

async fn next(received: &mut UnboundedReceiver<String>) -> Result<String> {
    let next = timeout(LIMIT, received.recv()).await.map_err(|_| Failure::new("no notification comes"))?;
    next.ok_or_else(|| Failure::new("the listener's connection is gone"))
}
