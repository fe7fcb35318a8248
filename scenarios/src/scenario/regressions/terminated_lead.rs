//! The lead's backend ends in the middle of a transaction: 40001, nothing is left of it, the session goes on.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::support::{expect_on_all, outcome, session, terminate};
use crate::cluster::Cluster;
use crate::sql::rows;
use crate::{Result, fail};

/// The member lives, so nothing has to time out before the client is told (`member_timeout` is 3 s).
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table tl(id int primary key, v int); insert into tl values (1, 0), (2, 0)").await?;
    let client = session(&endpoint, "tl").await?;
    client.batch_execute("update tl set v = 0 where id = 1").await?;
    for (round, delay) in [0, 1, 20, 100].into_iter().enumerate() {
        client.batch_execute("begin").await?;
        client.batch_execute("update tl set v = v + 100 where id = 1").await?;
        terminate(&cluster.members[lead], "tl").await?;
        sleep(Duration::from_millis(delay)).await;
        let asked = Instant::now();
        let second = outcome(&client.batch_execute("update tl set v = v + 100 where id = 2").await);
        if asked.elapsed() > ANSWER_LIMIT {
            return fail(format!("the answer took {:?}: nobody looked at the lost connection", asked.elapsed()));
        }
        if second != "40001" {
            return fail(format!("the update {delay} ms behind the end of the lead's backend: {second}"));
        }
        client.batch_execute("rollback").await?;
        questions(&client).await.map_err(|e| e.during(format!("after {delay} ms")))?;
        client.batch_execute("update tl set v = v + 1").await?;
        expect_on_all(&cluster.members, "select min(v) || ',' || max(v) from tl", &format!("{0},{0}", round + 1))
            .await
            .map_err(|e| e.during(format!("after {delay} ms")))?;
    }
    Ok(())
}

/// Answers belong to their questions, by both protocols.
async fn questions(client: &Client) -> Result<()> {
    for number in 0..5_i32 {
        let answer = rows(client, &format!("select {number} + 40")).await?;
        if answer != [[Some((number + 40).to_string())]] {
            return fail(format!("select {number} + 40 was answered by {answer:?}"));
        }
    }
    let statement = client.prepare("select $1::int * 2").await?;
    let answers =
        join_all(
            [1, 2, 3].map(|number| {
                let statement = &statement;
                async move {
                    Ok::<_, tokio_postgres::Error>(client.query_one(statement, &[&number]).await?.get::<_, i32>(0))
                }
            }),
        );
    let answers = answers.await.into_iter().collect::<Result<Vec<i32>, _>>()?;
    if answers != [2, 4, 6] {
        return fail(format!("pipelined questions were answered by {answers:?}"));
    }
    Ok(())
}
