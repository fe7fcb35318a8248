//! One snapshot on one member, under settings in which two rows are equal if and only if their text is.

use super::{Place, QUERY_TIME_MAX, ScrubError};
use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::{Maintenance, QueryError, TextRows};

/// Time for a connection. At the limit: the member counts as away.
const CONNECT_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// Text that names every value exactly, whatever the member, the database or the role have set. `row_security = off` makes
/// a login that does not see all rows an error.
const SETTINGS: &str = "SET client_min_messages = error; SET search_path = pg_catalog; \
     SET standard_conforming_strings = on; SET extra_float_digits = 3; SET DateStyle = 'ISO, YMD'; \
     SET IntervalStyle = postgres; SET TimeZone = 'UTC'; SET bytea_output = hex; SET lc_monetary = 'C'; \
     SET xmloption = content; SET xmlbinary = base64; SET array_nulls = on; SET row_security = off; \
     SET quote_all_identifiers = off; SET statement_timeout = 0; SET lock_timeout = 0; \
     SET idle_in_transaction_session_timeout = 0; SET default_transaction_read_only = off; SET synchronous_commit = on";

/// The whole comparison sees one state. A change by somebody else meanwhile is an error, and undoes the repair.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

/// A transaction on a member. Dropping it rolls back.
pub(super) struct Connection {
    member: String,
    inner: Maintenance,
}

impl Connection {
    /// Connects and takes the snapshot.
    pub(super) async fn open(place: Place<'_>) -> Result<Self, ScrubError> {
        let member = place.target.name.clone();
        let connected = Maintenance::connect(place.target, place.login, CONNECT_TIME_MAX).await;
        let connected = connected.map_err(|error: ConnectError| ScrubError::of(&member, "connect", error.into()));
        let mut connection = Connection { inner: connected?, member };
        connection.run("settings", SETTINGS).await?;
        connection.run("snapshot", BEGIN).await?;
        Ok(connection)
    }

    /// The member's name.
    pub(super) fn member(&self) -> &str {
        &self.member
    }

    /// The rows of one statement; `what` goes into the error.
    pub(super) async fn rows(&mut self, what: &str, sql: &str) -> Result<TextRows, ScrubError> {
        let results = self.inner.query(&[sql], QUERY_TIME_MAX).await;
        let results = results.map_err(|error| ScrubError::of(&self.member, what, error))?;
        Ok(results.into_iter().next().unwrap_or_default())
    }

    /// The first value of the first row; empty if there is none.
    pub(super) async fn value(&mut self, what: &str, sql: &str) -> Result<String, ScrubError> {
        let rows = self.rows(what, sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()?).unwrap_or_default())
    }

    /// Runs statements for their effect.
    pub(super) async fn run(&mut self, what: &str, sql: &str) -> Result<(), ScrubError> {
        self.rows(what, sql).await.map(drop)
    }

    /// Triggers and foreign keys do not fire from here on: what they did on the base is among the rows.
    pub(super) async fn begin_repair(&mut self) -> Result<(), ScrubError> {
        let result = self.inner.query(&["SET LOCAL session_replication_role = replica"], QUERY_TIME_MAX).await;
        result.map(drop).map_err(|error| match error {
            QueryError::Server { sqlstate, .. } if &sqlstate == b"42501" => ScrubError::NeedsCopy(format!(
                "the login on \"{}\" may not set session_replication_role; a repair of rows needs a superuser",
                self.member
            )),
            error => ScrubError::of(&self.member, "begin the repair", error),
        })
    }

    /// The last statements, and COMMIT.
    pub(super) async fn commit_with(mut self, also: &str) -> Result<(), ScrubError> {
        if !also.is_empty() {
            self.run("markers", also).await?;
        }
        self.run("commit", "COMMIT").await
    }
}
