//! A follower has committed, and the session's connection to it ends while another member still owes its answer: the transaction
//! is not run there again.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::support::{expect_on_all, session, terminate};
use crate::cluster::{Cluster, LinkState};
use crate::{Failure, Result, fail};

/// Long enough for the session to open the connection again and to go on there; well below `member_timeout`.
const LATER: Duration = Duration::from_millis(400);
/// How long the first follower's commit may take to be seen.
const SEEN_LIMIT: Duration = Duration::from_secs(2);
const NAME: &str = "committed_then_cut";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table ctc(id int primary key, n int); insert into ctc values (1, 0), (2, 0)").await?;
    let client = session(&endpoint, NAME).await?;
    let (cut, slow) = (&cluster.members[1], cluster.link(2)?);
    // With a row lock each follower has the transaction on the session's own connection.
    client.batch_execute(&adds(1)).await?;
    sleep(Duration::from_millis(100)).await;
    slow.set(LinkState::Frozen);
    let committing = tokio::spawn(async move { client.batch_execute("commit").await.map(|()| client) });
    let begun = Instant::now();
    while cut.endpoint().value("select n from ctc where id = 1").await? != "1" {
        if begun.elapsed() > SEEN_LIMIT {
            slow.set(LinkState::Open);
            return fail("the first follower does not commit beside the second");
        }
        sleep(Duration::from_millis(5)).await;
    }
    terminate(cut, NAME).await?;
    sleep(LATER).await;
    slow.set(LinkState::Open);
    let client = committing.await.map_err(|error| Failure::new(error.to_string()))??;
    // What was open there would be committed with the next transaction.
    client.batch_execute(&format!("{}; commit", adds(2))).await?;
    expect_on_all(&cluster.members, "select sum(n) from ctc", "2").await
}

fn adds(id: i32) -> String {
    format!("begin; select n from ctc where id = {id} for update; update ctc set n = n + 1 where id = {id}")
}
