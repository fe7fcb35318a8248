//! What a message broker does with its lock table: one transaction that stays open for the broker's life, holds a row
//! lock, and updates that row in itself as a sign of life.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use crate::sql::Endpoint;
use crate::{Result, fail};

/// The table with its one row; to be made before the load.
pub const SCHEMA: &str = "create table broker_lock(id int primary key, time bigint, broker text); \
    insert into broker_lock values (1, null, null)";

/// A broker that has the lock.
pub struct LockHolder {
    connection: Client,
    updates: i64,
}

impl LockHolder {
    /// Begins the endless transaction and takes the lock; waits for as long as another broker has it.
    ///
    /// # Errors
    /// The database's error.
    pub async fn take(endpoint: &Endpoint) -> Result<Self> {
        let connection = endpoint.connect().await?;
        connection.batch_execute("begin").await?;
        connection.query("select * from broker_lock where id = 1 for update", &[]).await?;
        Ok(Self { connection, updates: 0 })
    }

    /// One sign of life.
    ///
    /// # Errors
    /// The database's error, or anything but one changed row: a broker stops then.
    pub async fn keep_alive(&mut self) -> Result<()> {
        self.updates += 1;
        let changed =
            self.connection.execute("update broker_lock set time = $1 where id = 1", &[&self.updates]).await?;
        if changed != 1 {
            return fail(format!("the keep-alive changed {changed} rows"));
        }
        Ok(())
    }

    /// Signs of life at `every` for `length`.
    ///
    /// # Errors
    /// As [`LockHolder::keep_alive`].
    pub async fn hold(&mut self, length: Duration, every: Duration) -> Result<i64> {
        let end = tokio::time::Instant::now() + length;
        while tokio::time::Instant::now() < end {
            self.keep_alive().await?;
            sleep(every).await;
        }
        Ok(self.updates)
    }

    /// Ends the transaction without a trace.
    ///
    /// # Errors
    /// The database's error.
    pub async fn release(self) -> Result<()> {
        Ok(self.connection.batch_execute("rollback").await?)
    }
}
