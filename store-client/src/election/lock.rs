//! Master by a row lock that is held in an open transaction.

use std::time::Instant;

use crate::connection::{BEGIN, Backoff, Link};
use crate::error::Error;
use crate::message::check_name;
use crate::store::Store;
use tokio_postgres::error::SqlState;

const EXISTS: &str = "SELECT name FROM store_lock WHERE name = $1";
const MAKE: &str = "INSERT INTO store_lock (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
const WAIT: &str = "SELECT name FROM store_lock WHERE name = $1 FOR UPDATE";
const TRY: &str = "SELECT name FROM store_lock WHERE name = $1 FOR UPDATE NOWAIT";
/// An answer in the open transaction proves that it is still open, and the lock held. It writes nothing: a transaction that is open for
/// months must not grow.
const KEEP: &str = "SELECT name FROM store_lock WHERE name = $1";

/// How long to wait for a lock that is another one's.
#[derive(Debug, Clone, Copy)]
enum Patience {
    Endless,
    None,
}

/// A lock that is held, on a connection of its own. Dropping it, or the end of the process, gives it up.
pub struct Lock {
    link: Link,
    name: String,
}

impl Lock {
    /// Waits until the lock is free, for hours if need be, and takes it. `holder` is for people: the
    /// connection's `application_name` in pg_stat_activity.
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
            match Self::take(store, name, holder, Patience::Endless).await {
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
        match Self::take(store, name, holder, Patience::None).await {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn take(store: &Store, name: &str, holder: &str, patience: Patience) -> Result<Self, Error> {
        // Not one with idle_in_transaction_session_timeout: this transaction stands idle for days.
        let link = Link::connect_as(store.endpoints(), store.options(), holder).await?;
        if link.row(EXISTS, &[&name]).await?.is_none() {
            link.execute(MAKE, &[&name]).await?;
        }
        link.batch(BEGIN).await?;
        let held = match patience {
            Patience::Endless => link.row_without_limit(WAIT, &[&name]).await?,
            Patience::None => link.row(TRY, &[&name]).await?,
        };
        held.ok_or_else(|| Error::not_held(format!("lock {name} cannot be taken: its row was removed")))?;
        Ok(Self { link, name: name.to_owned() })
    }

    /// Makes sure that the lock is still held. To be called regularly; between two calls a master may be wrong.
    ///
    /// # Errors
    /// It is lost, for good: the connection is, or the endpoint gives no answer.
    ///
    /// # Cancel safety
    /// The lock is as it was; call it again.
    pub async fn keep(&mut self) -> Result<(), Error> {
        match self.link.row(KEEP, &[&self.name]).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Error::not_held(format!("lock {} is lost: its row is gone", self.name))),
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
