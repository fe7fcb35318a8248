//! Master by a row lock that is held in an open transaction.

use std::time::Instant;

use crate::connection::{Backoff, Link};
use crate::error::Error;
use crate::message::check_name;
use crate::store::Store;
use tokio_postgres::error::SqlState;

const EXISTS: &str = "SELECT name FROM store_lock WHERE name = $1";
const MAKE: &str = "INSERT INTO store_lock (name, holder, seen) VALUES ($1, '', 0) ON CONFLICT (name) DO NOTHING";
const WAIT: &str = "SELECT name FROM store_lock WHERE name = $1 FOR UPDATE";
const TRY: &str = "SELECT name FROM store_lock WHERE name = $1 FOR UPDATE NOWAIT";
/// In the open transaction: never committed, and seen by nobody else. It proves that the lock is still held.
const KEEP: &str = "UPDATE store_lock SET holder = $2, seen = $3 WHERE name = $1";

/// A lock that is held, on a connection of its own. Dropping it, or the end of the process, gives it up.
pub struct Lock {
    link: Link,
    name: String,
    holder: String,
    seen: i64,
}

impl Lock {
    /// Waits until the lock is free, for hours if need be, and takes it. `holder` is for people who look at the row.
    ///
    /// # Errors
    /// A name cannot be stored; there are no tables; the endpoint refuses, or cannot be reached for
    /// [`Options::retry_limit`](crate::Options::retry_limit).
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn wait(store: &Store, name: &str, holder: &str) -> Result<Self, Error> {
        check_name("lock", name)?;
        let mut backoff = Backoff::new(store.options());
        loop {
            let begun = Instant::now();
            match Self::take(store, name, holder, WAIT).await {
                Err(error) if error.leaves_doubt() || error.is_momentary() => {
                    // Whoever has waited for long was connected: the limit begins anew.
                    if begun.elapsed() > store.options().retry_limit {
                        backoff = Backoff::new(store.options());
                    }
                    if !backoff.wait().await {
                        return Err(error);
                    }
                }
                taken => return taken,
            }
        }
    }

    /// Takes the lock if it is free; one try.
    ///
    /// # Errors
    /// As [`Lock::wait`].
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn try_take(store: &Store, name: &str, holder: &str) -> Result<Option<Self>, Error> {
        check_name("lock", name)?;
        match Self::take(store, name, holder, TRY).await {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn take(store: &Store, name: &str, holder: &str, sql: &'static str) -> Result<Self, Error> {
        // Not one with idle_in_transaction_session_timeout: this transaction stands idle for days.
        let link = Link::connect_without_limit(store.endpoints(), store.options()).await?;
        if link.row(EXISTS, &[&name]).await?.is_none() {
            link.execute(MAKE, &[&name]).await?;
        }
        link.batch("BEGIN").await?;
        link.row_without_limit(sql, &[&name]).await?;
        let mut lock = Self { link, name: name.to_owned(), holder: holder.to_owned(), seen: 0 };
        lock.keep().await?;
        Ok(lock)
    }

    /// Makes sure that the lock is still held. To be called regularly; between two calls a master may be wrong.
    ///
    /// # Errors
    /// It is lost, for good: the connection is, or the endpoint gives no answer.
    ///
    /// # Cancel safety
    /// The lock is as it was; call it again.
    pub async fn keep(&mut self) -> Result<(), Error> {
        self.seen += 1;
        match self.link.execute(KEEP, &[&self.name, &self.holder, &self.seen]).await {
            Ok(1) => Ok(()),
            Ok(_) => Err(Error::not_held(format!("lock {} is lost: its row is gone", self.name))),
            Err(error) => Err(Error::not_held(format!("lock {} is lost: {error}", self.name))),
        }
    }

    /// Gives the lock up. (Dropping it does the same, a moment later.)
    pub async fn release(self) {
        // The end of the connection is the end of the lock, too.
        let _ = self.link.batch("ROLLBACK").await;
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
