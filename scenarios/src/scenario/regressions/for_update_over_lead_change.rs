//! A row lock that a client was told of holds over the loss of the lead: no update is lost.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, Error};

use super::support::{code, expect_on_all, outcome};
use crate::cluster::{Cluster, LinkState};
use crate::{Result, fail};

/// How long the followers hear nothing; well below `member_timeout`.
const DELAY: Duration = Duration::from_millis(300);
const READ: &str = "select v from fu where id = 1 for update";
/// Repetitions of the second transaction after 40001.
const TRIES: usize = 5;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table fu(id int primary key, v int); insert into fu values (1, 0)").await?;
    let mut wanted = 0;
    // The second transaction starts when the lead is gone, then (with the next lead) when it still lives.
    for starts_late in [true, false] {
        let lead = cluster.lead().await?;
        let (first, second) = (endpoint.connect().await?, endpoint.connect().await?);
        for client in [&first, &second] {
            client.batch_execute("update fu set v = v where id = 1").await?;
        }
        let followers: Vec<usize> = (1..cluster.members.len()).filter(|index| *index != lead).collect();
        first.batch_execute("begin").await?;
        let set = |cluster: &Cluster, state| {
            followers.iter().filter_map(|index| cluster.relays[*index].as_ref()).for_each(|relay| relay.set(state))
        };
        set(cluster, LinkState::Frozen);
        let read = value(&first).await?;
        let late = if starts_late { Duration::from_millis(30) } else { Duration::ZERO };
        let later = async {
            sleep(late).await;
            add_with_tries(&second, 10).await
        };
        let kill = async {
            sleep(Duration::from_millis(15)).await;
            cluster.members[lead].kill_9()?;
            sleep(DELAY).await;
            set(cluster, LinkState::Open);
            sleep(DELAY).await;
            let answer = add(&first, read, 1).await;
            match outcome(&answer).as_str() {
                "ok" => Ok(1),
                "40001" => first.batch_execute("rollback").await.map(|()| 0).map_err(Into::into),
                _ => fail(format!("the first transaction: {answer:?}")),
            }
        };
        let (first, second) = tokio::join!(kill, later);
        wanted += first? + second?;
        expect_on_all(&cluster.members, "select v from fu", &wanted.to_string())
            .await
            .map_err(|e| e.during(format!("second transaction starts late: {starts_late}")))?;
    }
    Ok(())
}

async fn value(client: &Client) -> Result<i32, Error> {
    Ok(client.query_one(READ, &[]).await?.get(0))
}

async fn add(client: &Client, read: i32, more: i32) -> Result<(), Error> {
    client.execute("update fu set v = $1 where id = 1", &[&(read + more)]).await?;
    client.batch_execute("commit").await
}

/// Reads, adds, writes; again after 40001. Returns what it added.
async fn add_with_tries(client: &Client, more: i32) -> Result<i32> {
    for _ in 0..TRIES {
        client.batch_execute("begin").await?;
        let added = match value(client).await {
            Ok(read) => add(client, read, more).await,
            Err(error) => Err(error),
        };
        match added {
            Ok(()) => return Ok(more),
            Err(error) if code(&error) == "40001" => client.batch_execute("rollback").await?,
            Err(error) => return fail(format!("the second transaction: {error:?}")),
        }
    }
    fail(format!("the second transaction failed {TRIES} times with 40001"))
}
