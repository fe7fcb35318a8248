//! One connection: statements that are prepared once, and no wait without a limit.
//!
//! Dropping a link closes its connection, and the server rolls back what is open on it. So whoever works in a transaction
//! owns the link meanwhile: a future that is dropped on the way leaves nothing behind.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::endpoints::Endpoints;
use crate::error::{Cause, Error};
use crate::options::Options;

/// The parameters of a statement.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An orphaned transaction of a client that has vanished ends within this time, and with it the wait of who asks about it.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '20s'";

/// Begins a transaction. The level is named: under a default of REPEATABLE READ, who waited for a row lock would read as of before.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Statements of one pipeline; a longer one is cut, so that the limit of an answer is one of so many at most.
const PIPELINE: usize = 256;

pub(crate) struct Link {
    client: Client,
    /// By text. Held across the preparation, so that statements in one pipeline prepare a text once.
    prepared: Mutex<HashMap<&'static str, Statement>>,
    answer_limit: Duration,
    /// Requests that were sent and whose answer has not come, given up ones included.
    owed: AtomicUsize,
    /// Reads and writes the socket; ends with the client.
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
    /// For a cancel, which has a connection of its own.
    tls: MakeRustlsConnect,
}

impl Link {
    /// Tries the hosts in their order.
    pub(crate) async fn connect(endpoints: &Endpoints, options: &Options) -> Result<Self, Error> {
        let link = Self::connect_without_limit(endpoints, options).await?;
        link.batch(SETTINGS).await?;
        Ok(link)
    }

    /// A connection under that name that may stay in a transaction for as long as it likes.
    pub(crate) async fn connect_as(endpoints: &Endpoints, options: &Options, name: &str) -> Result<Self, Error> {
        Self::connect_without_limit(&endpoints.named(name), options).await
    }

    async fn connect_without_limit(endpoints: &Endpoints, options: &Options) -> Result<Self, Error> {
        let mut failed = None;
        for config in endpoints.in_order() {
            match Self::connect_to(config, endpoints.tls.clone(), options).await {
                Ok(link) => return Ok(link),
                // The first one that says something is worth more than one that cannot be reached.
                Err(error) if failed.as_ref().is_none_or(Error::is_lost) => failed = Some(error),
                Err(_) => {}
            }
        }
        Err(failed.unwrap_or_else(|| Error::input("the URL names no host; allowed: one or more")))
    }

    async fn connect_to(config: &Config, tls: MakeRustlsConnect, options: &Options) -> Result<Self, Error> {
        // The configuration's own limit is for TCP alone: one that hangs takes the connection and says nothing.
        let limit = config.get_connect_timeout().copied().unwrap_or(options.connect_timeout);
        let connected = timeout(limit, config.connect(tls.clone())).await;
        let (client, connection) = connected.map_err(|_| Error::new(Cause::NoAnswer(limit)))??;
        // What it ends with is the error of the request that runs then.
        let driver = tokio::spawn(connection);
        let owed = AtomicUsize::new(0);
        Ok(Self { client, prepared: Mutex::default(), answer_limit: options.answer_limit, owed, driver, tls })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let Ok(answer) = timeout(self.answer_limit, self.counted(asked)).await else {
            // It would wait for the answer before it says good-bye: the socket is closed now.
            self.driver.abort();
            return Err(Error::new(Cause::NoAnswer(self.answer_limit)));
        };
        Ok(answer?)
    }

    /// A request that is dropped on its way stays counted.
    async fn counted<T>(&self, asked: impl Future<Output = T>) -> T {
        self.owed.fetch_add(1, Ordering::Relaxed);
        let answer = asked.await;
        self.owed.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let mut prepared = self.prepared.lock().await;
        if let Some(statement) = prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(crate) async fn rows(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        self.answer(async { self.client.query(&self.statement(sql).await?, parameters).await }).await
    }

    pub(crate) async fn row(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Error> {
        self.answer(async { self.client.query_opt(&self.statement(sql).await?, parameters).await }).await
    }

    /// Rows touched.
    pub(crate) async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Error> {
        self.answer(async { self.client.execute(&self.statement(sql).await?, parameters).await }).await
    }

    /// One statement with many parameter sets, in one pipeline; rows touched by each. The first error ends it.
    pub(crate) async fn execute_each(
        &self,
        sql: &'static str,
        sets: &[Vec<&(dyn ToSql + Sync)>],
    ) -> Result<Vec<u64>, Error> {
        let mut rows = Vec::with_capacity(sets.len());
        for sets in sets.chunks(PIPELINE) {
            let part = self.answer(async {
                let statement = self.statement(sql).await?;
                try_join_all(sets.iter().map(|set| self.client.execute(&statement, set))).await
            });
            rows.append(&mut part.await?);
        }
        Ok(rows)
    }

    /// A statement and, in the same pipeline behind it, a batch. Nothing comes between the two: where the first one is a receipt and
    /// the second one COMMIT, the receipt is never late.
    pub(crate) async fn execute_then(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
        then: &str,
    ) -> Result<u64, Error> {
        self.answer(async {
            let statement = self.statement(sql).await?;
            // Both are sent when they are first polled, in this order: neither waits for anything of tokio's, which might
            // let the other one pass (a mutex does, when the task has used up its share of the scheduler's budget).
            let statement = self.client.execute(&statement, parameters);
            tokio::try_join!(biased; statement, self.client.batch_execute(then)).map(|(rows, ())| rows)
        })
        .await
    }

    /// The same of a statement that returns at most one row each.
    pub(crate) async fn row_each(
        &self,
        sql: &'static str,
        sets: &[Vec<&(dyn ToSql + Sync)>],
    ) -> Result<Vec<Option<Row>>, Error> {
        let mut rows = Vec::with_capacity(sets.len());
        for sets in sets.chunks(PIPELINE) {
            let part = self.answer(async {
                let statement = self.statement(sql).await?;
                try_join_all(sets.iter().map(|set| self.client.query_opt(&statement, set))).await
            });
            rows.append(&mut part.await?);
        }
        Ok(rows)
    }

    /// Prepares it. Only what is prepared is sent in the order in which futures that are joined stand.
    pub(crate) async fn prepare(&self, sql: &'static str) -> Result<(), Error> {
        self.answer(self.statement(sql)).await.map(drop)
    }

    /// Statements of the simple protocol.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.answer(self.client.batch_execute(sql)).await
    }

    /// Like [`Link::execute`], however long it takes: to wait for a lock.
    pub(crate) async fn row_without_limit(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Error> {
        let statement = self.answer(self.statement(sql)).await?;
        Ok(self.counted(self.client.query_opt(&statement, parameters)).await?)
    }
}

/// A connection that owes an answer is closed at once, and the server is asked to stop: otherwise a request that was given up while it
/// waited for a lock would keep its place in the queue, and then the lock, for as long as that takes.
impl Drop for Link {
    fn drop(&mut self) {
        if *self.owed.get_mut() == 0 {
            return;
        }
        self.driver.abort();
        let cancel = self.client.cancel_token();
        // Without a runtime the program ends, and with it the connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (limit, tls) = (self.answer_limit, self.tls.clone());
            // What a cancel says is of no interest: the connection is closed already.
            runtime.spawn(async move { drop(timeout(limit, cancel.cancel_query(tls)).await) });
        }
    }
}
