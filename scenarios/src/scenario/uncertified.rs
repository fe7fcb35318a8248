//! A lead is frozen with a serializable COMMIT on its way, and carries it out when it goes on: behind it the transaction was aborted.
//! Its client was told 40001, no other member has a row of it, and the member is made a copy of another one by itself.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::crash_points::Bench;
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary, fail};

/// Between the decision and COMMIT: the lead is frozen within this.
const PAUSE_MS: u64 = 500;
/// Something happens within this time.
const LIMIT: Duration = Duration::from_secs(20);
/// The fence may come before the lead's session has read its COMMIT.
const ATTEMPTS: u32 = 4;
/// The point at which the lead is frozen.
const POINT: &str = "commit.intent_durable";

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_timeout: Duration::from_secs(1), ..ClusterOptions::default() };
    let mut bench = Bench::start(&options, setup, &[POINT], &[]).await?;
    let seed = i64::try_from(options.seed)?;
    for attempt in 1..=ATTEMPTS {
        bench.restart(&format!("{POINT}:1:pause={PAUSE_MS}")).await?;
        let key = 1000 * (1 + seed % 1000) + i64::from(attempt);
        one(&bench, key).await?;
        bench.check(&format!("frozen while it certifies, attempt {attempt}")).await?;
        if bench.log()?.contains("which was aborted when it was lost before its COMMIT was answered") {
            let holders =
                bench.cluster.endpoint().value(&format!("select count(*) from whole_left where key = {key}")).await?;
            if holders != "0" {
                return fail(format!("key {key}: told aborted, and there"));
            }
            return Ok(Summary::default().with("attempts", attempt).with("lost", 0));
        }
    }
    fail(format!("in {ATTEMPTS} attempts no lead carried out what was aborted"))
}

/// One serializable transaction, whose lead is frozen before it gets COMMIT and goes on when the client knows.
async fn one(bench: &Bench, key: i64) -> Result<()> {
    let client = bench.cluster.endpoint().connect().await?;
    for sql in [
        "begin isolation level serializable".to_owned(),
        format!("insert into whole_left values ({key}, 0)"),
        "update whole_counter set n = n + 1 where slot = 1".to_owned(),
        format!("insert into whole_right(key) values ({key})"),
    ] {
        client.simple_query(&sql).await?;
    }
    let lead = &bench.cluster.members[bench.cluster.lead().await?];
    let frozen = async {
        let until = Instant::now() + LIMIT;
        while !bench.log()?.contains(&format!("fault point {POINT} reached")) {
            if Instant::now() > until {
                return fail(format!("{POINT} was not reached"));
            }
            sleep(Duration::from_millis(5)).await;
        }
        lead.sigstop_all()
    };
    let told = timeout(LIMIT, async { tokio::join!(client.simple_query("commit"), frozen) }).await;
    lead.sigcont_all()?;
    let (told, frozen) = told?;
    frozen?;
    match told {
        Err(error) if error.code().is_some_and(|code| code.code() == "40001") => Ok(()),
        other => fail(format!("the client was told {other:?} and not 40001")),
    }
}
