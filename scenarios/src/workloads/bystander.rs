//! A session that has nothing to do with what others do to the proxy, and must not notice it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Longest answer that still counts as undisturbed, on a machine with two busy cores.
const LIMIT: Duration = Duration::from_secs(2);

/// One connection that reads and writes every few milliseconds.
#[derive(Debug)]
pub struct Bystander {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<(u64, Duration)>>,
}

impl Bystander {
    /// Makes its table and starts.
    ///
    /// # Errors
    /// The database does not work to begin with.
    pub async fn start(endpoint: &Endpoint) -> Result<Self> {
        endpoint.execute("create table bystander(i bigint primary key); insert into bystander values (0)").await?;
        let client = endpoint.connect().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (mut rounds, mut longest) = (0_i64, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                rounds += 1;
                let start = Instant::now();
                let round = async {
                    client.execute("insert into bystander values ($1)", &[&rounds]).await?;
                    client.query_one("select count(*) from bystander", &[]).await
                };
                let row = timeout(LIMIT, round).await;
                let row = row.map_err(|_| Failure::new(format!("the bystander had to wait for {LIMIT:?}")))?;
                let count: i64 = row.map_err(|error| Failure::from(error).during("bystander"))?.get(0);
                if count != rounds + 1 {
                    return fail(format!("the bystander wrote {rounds} rows and sees {count}"));
                }
                longest = longest.max(start.elapsed());
                sleep(Duration::from_millis(5)).await;
            }
            Ok((rounds.unsigned_abs(), longest))
        });
        Ok(Self { stop, task })
    }

    /// Ends it; returns its rounds and the longest one.
    ///
    /// # Errors
    /// It was disturbed.
    pub async fn stop(self) -> Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
