//! The proxy's own tables on a member (schema `raidb`).
//!
//! * `raidb.applied_0`, `raidb.applied_1`: positions of intents that the member holds, one row each, written in the
//!   transaction of the intent. One of the two takes new rows; the other is truncated once everything in it lies at or
//!   below the floor (docs/adr/0003: appended and truncated, because a row updated in place leaves dead versions
//!   that no vacuum may remove while some transaction stays open).
//! * `raidb.capture()` and what belongs to it: functions that take images of rows (`capture.sql`).
//! * `raidb.member`: one row: whose member this is, the newest epoch that it has seen, and the floor: it holds every
//!   intent up to there.

use std::fmt::Write;
use std::time::Duration;

use raidb_core::log::{Applied, Position};

use crate::members::pg::maintenance::{Maintenance, QueryError, TextRows};

/// Number of tables that take turns.
pub const TABLES: u8 = 2;

/// Creates what is missing.
const CREATE: &str = "SET client_min_messages = error; CREATE SCHEMA IF NOT EXISTS raidb; \
     CREATE TABLE IF NOT EXISTS raidb.applied_0(position bigint NOT NULL); \
     CREATE TABLE IF NOT EXISTS raidb.applied_1(position bigint NOT NULL); \
     CREATE TABLE IF NOT EXISTS raidb.member(one boolean PRIMARY KEY DEFAULT true CHECK (one), \
       database text NOT NULL, name text NOT NULL, epoch bigint NOT NULL, floor bigint NOT NULL); \
     GRANT USAGE ON SCHEMA raidb TO PUBLIC; \
     GRANT INSERT ON raidb.applied_0, raidb.applied_1 TO PUBLIC";

/// The functions that take images of rows (docs/adr/0013): pieces, separated by [`PIECE_ENDS`].
const CAPTURE: &str = include_str!("capture.sql");
const PIECE_ENDS: &str = "\n--\n";
/// Stands on the member as the comment of `raidb.capture()`. Count it up with every change of `capture.sql`.
const CAPTURE_VERSION: &str = "raidb capture 1";

const EXISTS: &str = "SELECT pg_catalog.to_regclass('raidb.member') IS NOT NULL \
     AND pg_catalog.to_regclass('raidb.applied_0') IS NOT NULL AND pg_catalog.to_regclass('raidb.applied_1') IS NOT NULL";

const CAPTURES: &str = "SELECT pg_catalog.obj_description(pg_catalog.to_regprocedure('raidb.capture()'), 'pg_proc')";

const READ: &str = "SELECT database, name, epoch, floor FROM raidb.member; \
     SELECT position FROM raidb.applied_0 UNION SELECT position FROM raidb.applied_1 ORDER BY 1";

/// What a member says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Virtual database that it belongs to; empty: none yet.
    pub database: String,
    /// Its name there.
    pub name: String,
    /// The newest epoch that it has seen.
    pub epoch: u64,
    /// Intents that it holds.
    pub applied: Applied,
}

impl Told {
    /// Whether no proxy has ever written here.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.epoch == 0 && self.applied.last() == Position::START
    }
}

/// Creates tables and functions, if need be, and reads the tables.
///
/// # Errors
/// [`QueryError`].
pub async fn read(
    connection: &mut Maintenance,
    database: &str,
    name: &str,
    within: Duration,
) -> Result<Told, QueryError> {
    let exists = connection.query(&[EXISTS, CAPTURES], within).await?;
    if value(&exists, 0, 0) != Some("t") {
        connection.query(&[CREATE], within).await?;
    }
    if value(&exists, 1, 0) != Some(CAPTURE_VERSION) {
        let comment = format!("COMMENT ON FUNCTION raidb.capture() IS {}", literal(CAPTURE_VERSION));
        let pieces: Vec<&str> = CAPTURE.split(PIECE_ENDS).chain([&comment[..]]).collect();
        connection.query(&["BEGIN"], within).await?;
        connection.query(&pieces, within).await?;
        connection.query(&["COMMIT"], within).await?;
    }
    let results = connection.query(&[READ], within).await?;
    let number = |text: Option<&str>| text.and_then(|t| t.parse().ok()).unwrap_or(0);
    let floor = Position(number(value(&results, 0, 3)));
    let named = results.get(1).into_iter().flatten().filter_map(|row| row.first()?.as_deref()?.parse().ok());
    let told = Told {
        database: value(&results, 0, 0).unwrap_or_default().to_owned(),
        name: value(&results, 0, 1).unwrap_or_default().to_owned(),
        epoch: number(value(&results, 0, 2)),
        applied: Applied::new(floor, named.map(Position)),
    };
    if told.database.is_empty() {
        let sql = format!(
            "INSERT INTO raidb.member (database, name, epoch, floor) VALUES ({}, {}, 0, 0)",
            literal(database),
            literal(name)
        );
        connection.query(&[&sql], within).await?;
    }
    Ok(told)
}

/// Notes the epoch of the membership.
///
/// # Errors
/// [`QueryError`].
pub async fn set_epoch(connection: &mut Maintenance, epoch: u64, within: Duration) -> Result<(), QueryError> {
    let sql = format!("UPDATE raidb.member SET epoch = {epoch} WHERE epoch < {epoch}");
    connection.query(&[&sql], within).await.map(drop)
}

/// Makes durable whatever was committed on the member before, also without waiting for its disk: this commit waits for it.
/// Call it behind [`read`] too, before anything is built on what that has told: it may be what an earlier attempt has left.
///
/// # Errors
/// [`QueryError`]; also if the server was restarted since the connection was opened.
pub async fn flush(connection: &mut Maintenance, within: Duration) -> Result<(), QueryError> {
    let sql = "BEGIN; SET LOCAL synchronous_commit = on; UPDATE raidb.member SET epoch = epoch; COMMIT";
    connection.query(&[sql], within).await.map(drop)
}

/// The member holds everything up to `floor`; the tables named are emptied.
///
/// # Errors
/// [`QueryError`].
pub async fn raise_floor(
    connection: &mut Maintenance,
    floor: Position,
    emptied: &[u8],
    within: Duration,
) -> Result<(), QueryError> {
    // Somebody may be reading the table. Who gives up leaves nothing in the queue for its lock: markers would wait behind it.
    let lock_timeout = (within / 2).as_millis().max(1);
    let mut sql = format!(
        "BEGIN; SET LOCAL lock_timeout = {lock_timeout}; UPDATE raidb.member SET floor = {0} WHERE floor < {0}",
        floor.0
    );
    for table in emptied {
        // Writing to a String cannot fail.
        let _ = write!(sql, "; TRUNCATE raidb.applied_{table}");
    }
    sql.push_str("; COMMIT");
    match connection.query(&[&sql], within).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let _undone = connection.query(&["ROLLBACK"], within).await;
            Err(error)
        }
    }
}

fn value(results: &[TextRows], result: usize, column: usize) -> Option<&str> {
    results.get(result)?.first()?.get(column)?.as_deref()
}

/// A text as an SQL literal.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
