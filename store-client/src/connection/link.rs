//! One connection: statements that are prepared once, and no wait without a limit.
//!
//! Dropping a link closes its connection, and the server rolls back what is open on it. So whoever works in a transaction
//! owns the link meanwhile: a future that is dropped on the way leaves nothing behind.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::endpoints::Endpoints;
use crate::error::{Cause, Error};
use crate::options::Options;

/// The parameters of a statement.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// An orphaned transaction of a client that has vanished ends within this time, and with it the wait of who asks about it.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '20s'";

pub(crate) struct Link {
    client: Client,
    /// By text. Held across the preparation, so that statements in one pipeline prepare a text once.
    prepared: Mutex<HashMap<&'static str, Statement>>,
    answer_limit: Duration,
    /// Reads and writes the socket; ends with the client.
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Link {
    /// Tries the hosts in their order.
    pub(crate) async fn connect(endpoints: &Endpoints, options: &Options) -> Result<Self, Error> {
        let link = Self::connect_without_limit(endpoints, options).await?;
        link.batch(SETTINGS).await?;
        Ok(link)
    }

    /// A connection that may stay in a transaction for as long as it likes.
    pub(crate) async fn connect_without_limit(endpoints: &Endpoints, options: &Options) -> Result<Self, Error> {
        let mut failed = None;
        for config in endpoints.in_order() {
            match Self::connect_to(config, options).await {
                Ok(link) => return Ok(link),
                // The first one that says something is worth more than one that cannot be reached.
                Err(error) if failed.as_ref().is_none_or(Error::is_lost) => failed = Some(error),
                Err(_) => {}
            }
        }
        Err(failed.unwrap_or_else(|| Error::input("the URL names no host; allowed: one or more")))
    }

    async fn connect_to(config: &Config, options: &Options) -> Result<Self, Error> {
        // The configuration's own limit is for TCP alone: one that hangs takes the connection and says nothing.
        let limit = config.get_connect_timeout().copied().unwrap_or(options.connect_timeout);
        let connected = timeout(limit, config.connect(NoTls)).await;
        let (client, connection) = connected.map_err(|_| Error::new(Cause::NoAnswer(limit)))??;
        // What it ends with is the error of the request that runs then.
        let driver = tokio::spawn(connection);
        Ok(Self { client, prepared: Mutex::default(), answer_limit: options.answer_limit, driver })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn answer<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let Ok(answer) = timeout(self.answer_limit, asked).await else {
            // It would wait for the answer before it says good-bye: the socket is closed now.
            self.driver.abort();
            return Err(Error::new(Cause::NoAnswer(self.answer_limit)));
        };
        Ok(answer?)
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
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        self.answer(async {
            let statement = self.statement(sql).await?;
            try_join_all(sets.iter().map(|set| self.client.execute(&statement, set))).await
        })
        .await
    }

    /// The same of a statement that returns at most one row each.
    pub(crate) async fn row_each(
        &self,
        sql: &'static str,
        sets: &[Vec<&(dyn ToSql + Sync)>],
    ) -> Result<Vec<Option<Row>>, Error> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        self.answer(async {
            let statement = self.statement(sql).await?;
            try_join_all(sets.iter().map(|set| self.client.query_opt(&statement, set))).await
        })
        .await
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
        Ok(self.client.query_opt(&self.statement(sql).await?, parameters).await?)
    }
}
