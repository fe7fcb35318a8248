//! Exactly once: how a session finds out what became of a write whose answer was lost.
//!
//! Every transaction of the store writes a **receipt**: a row of destination '' under an id that is used for nothing else. Who
//! lost the answer asks on a new connection by inserting a row under the same key, marked as a **bar**:
//! * The key is taken by a receipt: the transaction has committed.
//! * The key was free and is now barred: the transaction has not committed, and never will. Its bytes may still arrive (a
//!   connection that was given up), but its receipt collides with the bar, and all of it is rolled back. So it is safe to send again.
//! * The transaction is still open: the insert waits for its end, and then it is one of the two.
//!
//! So question and transaction exclude each other by a unique key, in the same way on one PostgreSQL and through raidb; the
//! answer is exactly as durable as the data. Decision and alternatives: docs/adr/0017-receipts.md.

use std::time::{Duration, SystemTime};

use tokio_postgres::types::ToSql;

use crate::connection::{BEGIN, Link};
use crate::error::Error;
use crate::session::Session;

/// As part of a transaction.
const RECEIPT: &str = "INSERT INTO store_message (destination, id, priority, waiting, sent, size, chunks) \
     VALUES ('', $1, 0, 0, $2, 0, 0)";
/// The question. Priority tells a bar (-1) from a receipt (0).
const BAR: &str = "INSERT INTO store_message (destination, id, priority, waiting, sent, size, chunks) \
     VALUES ('', $1, -1, 0, $2, 0, 0) ON CONFLICT (destination, id) DO NOTHING";
const WHICH: &str = "SELECT priority FROM store_message WHERE destination = '' AND id = $1";
const REMOVE: &str = "DELETE FROM store_message WHERE destination = '' AND id = $1";
const SWEEP: &str =
    "SELECT id FROM store_message WHERE destination = '' AND id > $1 AND sent < $2 ORDER BY id LIMIT 1000";

/// Receipts are removed by so many at a time.
const REMOVED_AT: usize = 64;
/// Where they cannot be removed, no more than so many are remembered; the others are left to [`Session::sweep`].
const REMEMBERED_MAX: usize = 1024;
/// Receipts that are younger are never swept.
const SWEPT_AFTER: Duration = Duration::from_secs(3600);

/// Receipts of transactions whose outcome is known: to be removed.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    settled: Vec<i64>,
}

/// A transaction that writes a receipt and can be run again from its beginning.
pub(crate) trait Write: Send {
    /// What it returns.
    type Done: Send;

    /// One try, up to and with its COMMIT. On an error that is not [`Error::is_lost`], no transaction is open.
    fn attempt(&mut self, link: &Link, receipt: i64) -> impl Future<Output = Result<Self::Done, Error>> + Send;

    /// What it returns when it has committed and its answer is lost.
    fn committed(&mut self) -> Self::Done;

    /// False: there was nothing to do, and it committed nothing.
    fn left_receipt(&self) -> bool {
        true
    }

    /// False: it has used up what it was to write, and cannot be run again.
    fn can_repeat(&self) -> bool {
        true
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Committed,
    /// Not committed, and never will be.
    Barred,
}

impl Session {
    /// Runs a transaction exactly once.
    pub(crate) async fn write_once<W: Write>(&mut self, work: &mut W) -> Result<W::Done, Error> {
        let mut backoff = self.backoff();
        loop {
            let receipt = self.reserve(1).await?;
            let link = self.take_link_within(&mut backoff).await?;
            let error = match work.attempt(&link, receipt).await {
                Ok(done) => {
                    self.put_link(link);
                    if work.left_receipt() {
                        self.settle(receipt).await;
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            if error.is_lost() {
                // Now, and not when its outcome is known: it may wait for a lock.
                drop(link);
            } else {
                self.put_link(link);
            }
            if error.leaves_doubt() {
                match self.ask(receipt, error.is_lost()).await {
                    Ok(Outcome::Committed) => {
                        self.settle(receipt).await;
                        return Ok(work.committed());
                    }
                    // The bar stays: the old connection's bytes may come at any time. `sweep` removes it.
                    Ok(Outcome::Barred) => {}
                    Err(()) => return Err(error.unknown()),
                }
            } else if !error.is_momentary() {
                return Err(error);
            }
            if !work.can_repeat() || !backoff.wait().await {
                return Err(error);
            }
        }
    }

    /// Asks until it is answered or the limit is reached.
    async fn ask(&mut self, receipt: i64, lost: bool) -> Result<Outcome, ()> {
        if lost {
            self.drop_link();
        }
        let mut backoff = self.backoff();
        loop {
            let asked = async {
                let link = self.take_link().await?;
                let outcome = ask_once(&link, receipt).await?;
                self.put_link(link);
                Ok::<_, Error>(outcome)
            };
            match asked.await {
                Ok(Some(outcome)) => return Ok(outcome),
                // Neither receipt nor bar: somebody has swept them away.
                Ok(None) => return Err(()),
                Err(error) if error.leaves_doubt() || error.is_momentary() => {
                    if !backoff.wait().await {
                        return Err(());
                    }
                }
                Err(_) => return Err(()),
            }
        }
    }

    /// Its outcome is known. Now and then, known receipts are removed; what fails there is tried with the next ones.
    async fn settle(&mut self, receipt: i64) {
        self.receipts.settled.push(receipt);
        let count = self.receipts.settled.len();
        if count.is_multiple_of(REMOVED_AT) {
            self.remove_receipts().await;
        }
        if count >= REMEMBERED_MAX {
            self.receipts.settled.clear();
        }
    }

    async fn remove_receipts(&mut self) {
        let Ok(link) = self.take_link().await else { return };
        // One transaction, since each commit has its price; keyed, as all that the store writes.
        let removed = remove(&link, &self.receipts.settled).await;
        if removed.is_ok() {
            self.receipts.settled.clear();
            self.put_link(link);
        }
    }

    /// Ends the session: removes the receipts that it left, and closes the connection. A session that is dropped instead leaves up to 64
    /// small rows, which [`Session::sweep`] removes.
    pub async fn close(mut self) {
        if !self.receipts.settled.is_empty() {
            self.remove_receipts().await;
        }
    }

    /// Removes receipts and bars that clients left which ended without [`Session::close`], if they are from before `before` (by the
    /// clock of the client that left them). Returns how many. Completes the removal of subscriptions at which a client ended half-way.
    ///
    /// Never later than any client may still ask about its write, or its bytes may still be on their way. `before` lies at least an hour
    /// back, and ten times the sum of this session's [`Options::answer_limit`](crate::Options::answer_limit) and
    /// [`Options::retry_limit`](crate::Options::retry_limit); a day ago is ample where no client's clock is wrong by hours.
    ///
    /// # Errors
    /// `before` is too late; otherwise as [`Session::count`]. Running it again does no harm.
    ///
    /// # Cancel safety
    /// What was removed is removed; run it again.
    pub async fn sweep(&mut self, before: SystemTime) -> Result<u64, Error> {
        let options = self.store.options();
        let least = SWEPT_AFTER.max(options.answer_limit.saturating_add(options.retry_limit).saturating_mul(10));
        if SystemTime::now().duration_since(before).is_ok_and(|age| age < least) || before > SystemTime::now() {
            return Err(Error::input(format!(
                "receipts that are younger than {least:?} may still be asked for; allowed: older ones"
            )));
        }
        let (mut after, mut removed) = (0, 0);
        loop {
            let rows = self.read(SWEEP, &[&after, &before]).await?;
            let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            let Some(last) = ids.last() else { break };
            after = *last;
            let mut backoff = self.backoff();
            let link = self.take_link_within(&mut backoff).await?;
            removed += remove(&link, &ids).await?;
            self.put_link(link);
        }
        self.sweep_subscriptions().await?;
        Ok(removed)
    }
}

async fn remove(link: &Link, receipts: &[i64]) -> Result<u64, Error> {
    link.batch(BEGIN).await?;
    let sets: Vec<_> = receipts.iter().map(|id| vec![id as _]).collect();
    let removed: u64 = link.execute_each(REMOVE, &sets).await?.iter().sum();
    link.batch("COMMIT").await?;
    Ok(removed)
}

async fn ask_once(link: &Link, receipt: i64) -> Result<Option<Outcome>, Error> {
    if link.execute(BAR, &[&receipt, &SystemTime::now()]).await? == 1 {
        return Ok(Some(Outcome::Barred));
    }
    let found: Option<i16> = link.row(WHICH, &[&receipt]).await?.map(|row| row.get(0));
    // A bar that stands already is our own, of a question whose answer was lost.
    Ok(found.map(|priority| if priority < 0 { Outcome::Barred } else { Outcome::Committed }))
}

/// Runs `work` in a transaction that ends with the receipt, and commits it.
pub(crate) async fn in_transaction<T, F>(link: &Link, receipt: i64, work: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    link.batch(BEGIN).await?;
    let done = async {
        let done = work.await?;
        commit(link, receipt).await?;
        Ok::<T, Error>(done)
    };
    end(link, done.await).await
}

/// Receipt and COMMIT in one pipeline. Where the receipt collides with a bar, COMMIT finds a failed transaction and rolls back.
pub(crate) async fn commit(link: &Link, receipt: i64) -> Result<(), Error> {
    let now = SystemTime::now();
    let values: [&(dyn ToSql + Sync); 2] = [&receipt, &now];
    link.execute_then(RECEIPT, &values, "COMMIT").await.map(drop)
}

/// Leaves no transaction open on a connection that lives.
pub(crate) async fn end<T>(link: &Link, done: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &done
        && !error.is_lost()
    {
        // If this is not answered the connection is closed, and rolled back by the server; what matters is the first error.
        let _ = link.batch("ROLLBACK").await;
    }
    done
}
