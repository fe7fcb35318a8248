//! One client's connection, over all losses of it, and where a transaction breaks off.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::Course;
use crate::workloads::Ended;
use crate::{Failure, Result};

/// Wait before the next attempt to connect.
const RETRY: Duration = Duration::from_millis(20);
/// Longest time without a server, all members killed and the proxy started again included.
const AWAY_LIMIT: Duration = Duration::from_secs(60);

/// Where a transaction broke off.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Before COMMIT was sent: it cannot have been committed.
    Before(Error),
    /// In the statement that commits.
    Commit(Error),
    /// No error, but a wrong answer.
    Wrong(String),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

impl Broken {
    fn ended(self) -> Ended {
        match self {
            Self::Before(error) => Ended::before_commit(error),
            Self::Commit(error) => Ended::at_commit(error),
            Self::Wrong(text) => Ended::Unexpected(text),
        }
    }
}

/// A connection, and the protocol that is used on it.
pub(crate) struct Session<'a> {
    course: &'a Course,
    client: Option<Client>,
    is_simple: bool,
}

impl<'a> Session<'a> {
    /// Not connected yet. Every other client uses the simple protocol.
    pub(crate) fn new(course: &'a Course, number: usize) -> Self {
        Self { course, client: None, is_simple: number.is_multiple_of(2) }
    }

    /// Connects, if there is no connection.
    ///
    /// # Errors
    /// No server for longer than the limit.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.client.as_ref().is_none_or(Client::is_closed) {
            match self.course.endpoint.connect().await {
                Ok(client) => self.client = Some(client),
                Err(error) if start.elapsed() > AWAY_LIMIT => {
                    return Err(error.during(format!("no connection for {AWAY_LIMIT:?}")));
                }
                Err(_) => sleep(RETRY).await,
            }
        }
        Ok(())
    }

    /// Books how a transaction ended, and leaves the connection ready for the next one, or gone.
    pub(crate) async fn end(&mut self, began: Instant, result: Result<Ended, Broken>) -> Ended {
        let ended = result.unwrap_or_else(Broken::ended);
        let goes_on = match &ended {
            Ended::Done | Ended::RolledBack => true,
            Ended::NotDone(code) => code.starts_with("40") && self.execute("rollback").await.is_ok(),
            Ended::Unknown(_) | Ended::Unexpected(_) => false,
        };
        if !goes_on {
            self.client = None;
            sleep(RETRY).await;
        }
        self.course.book(began, &ended);
        ended
    }

    /// Runs a statement without rows.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Error> {
        match &self.client {
            Some(client) => client.batch_execute(sql).await,
            None => Ok(()),
        }
    }

    /// Commits a transaction block.
    pub(crate) async fn commit(&self) -> Result<Ended, Broken> {
        self.execute("commit").await.map_err(Broken::Commit)?;
        Ok(Ended::Done)
    }

    /// Rolls a transaction block back by the client's own wish: whether the answer arrives or not, nothing is committed.
    pub(crate) async fn roll_back(&self) -> Result<Ended, Broken> {
        self.execute("rollback").await?;
        Ok(Ended::RolledBack)
    }

    /// Runs a statement; returns the number of rows of its command tag.
    pub(crate) async fn count(&self, sql: &str) -> Result<u64, Error> {
        let Some(client) = &self.client else {
            return Ok(0);
        };
        if !self.is_simple {
            return client.execute(sql, &[]).await;
        }
        let messages = client.simple_query(sql).await?;
        let count = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(count),
            _ => None,
        });
        Ok(count.unwrap_or_default())
    }

    /// Runs a statement that must change exactly one row.
    pub(crate) async fn change_one(&self, sql: &str) -> Result<(), Broken> {
        match self.count(sql).await? {
            1 => Ok(()),
            count => Err(Broken::Wrong(format!("changed {count} rows, not 1: {sql}"))),
        }
    }

    /// Runs a query for one column of `bigint`.
    pub(crate) async fn values(&self, sql: &str) -> Result<Vec<i64>, Error> {
        let Some(client) = &self.client else {
            return Ok(Vec::new());
        };
        if !self.is_simple {
            return client.query(sql, &[]).await?.iter().map(|row| row.try_get(0)).collect();
        }
        let messages = client.simple_query(sql).await?;
        let values = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        Ok(values.collect())
    }
}

/// The keys in one column, as the database that `endpoint` leads to has them.
pub(crate) async fn keys(endpoint: &crate::sql::Endpoint, sql: &str) -> Result<std::collections::BTreeSet<i64>> {
    let rows = endpoint.rows(sql).await?;
    let keys = rows.into_iter().flatten().flatten().map(|key| key.parse::<i64>().map_err(Failure::from));
    keys.collect()
}
