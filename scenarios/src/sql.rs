//! Connections and one-line queries for harness and checkers (not for loads: those are clients of their own).

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{Failure, Result};

/// Longest that the harness waits for a connection of its own.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Where a client connects: a member, the proxy, or a relay in front of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// User name.
    pub user: String,
    /// Password, where one is asked for.
    pub password: Option<String>,
}

impl Endpoint {
    /// `user` postgres, no password, on the loopback address.
    #[must_use]
    pub fn local(port: u16, database: &str) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            database: database.to_owned(),
            user: "postgres".to_owned(),
            password: None,
        }
    }

    /// The same place, another database.
    #[must_use]
    pub fn database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// As a URL, as the proxy's configuration, psql and pgbench take it.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.password.as_ref().map_or(String::new(), |secret| format!(":{secret}"));
        format!("postgresql://{}{password}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }

    /// The URL without the password, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        Self { password: None, ..self.clone() }.url()
    }

    /// As the stock Java driver takes it.
    #[must_use]
    pub fn jdbc_url(&self) -> String {
        let password = self.password.as_ref().map_or(String::new(), |secret| format!("&password={secret}"));
        format!("jdbc:postgresql://{}:{}/{}?user={}{password}", self.host, self.port, self.database, self.user)
    }

    /// As tokio-postgres takes it.
    #[must_use]
    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host(&self.host).port(self.port).dbname(&self.database).user(&self.user);
        config.connect_timeout(CONNECT_LIMIT).application_name("scenarios");
        if let Some(secret) = &self.password {
            config.password(secret);
        }
        config
    }

    /// Connects; the connection's driver runs as a task until the client is dropped.
    ///
    /// # Errors
    /// No server, refused, or not within the limit.
    pub async fn connect(&self) -> Result<Client> {
        let config = self.config();
        let connecting = timeout(CONNECT_LIMIT, config.connect(NoTls)).await;
        let (client, connection) = connecting
            .map_err(|_| Failure::new(format!("no answer from {} within {CONNECT_LIMIT:?}", self.shown())))??;
        tokio::spawn(async move {
            // The client's own call reports the error; here it would only be said twice.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Connects, runs `sql`, returns the rows as text.
    ///
    /// # Errors
    /// No connection, or the server's error.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        rows(&self.connect().await?, sql).await.map_err(|e| e.during(self.shown()))
    }

    /// Connects, runs `sql`, returns the first column of the first row.
    ///
    /// # Errors
    /// As [`Endpoint::rows`], or no row.
    pub async fn value(&self, sql: &str) -> Result<String> {
        let rows = self.rows(sql).await?;
        let first = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        first.ok_or_else(|| Failure::new(format!("{}: no value from: {sql}", self.shown())))
    }

    /// Connects and runs `sql` (several statements allowed).
    ///
    /// # Errors
    /// No connection, or the server's error.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.connect().await?.batch_execute(sql).await.map_err(|e| Failure::from(e).during(self.shown()))
    }
}

/// Runs `sql` by the simple protocol and returns the rows as text.
///
/// # Errors
/// The server's error.
pub async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let messages = client.simple_query(sql).await?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}
