//! Creation and migration of the tables, safe when several clients start at once.

mod migrations;

use crate::connection::{BEGIN, Link};
use crate::error::Error;
use migrations::MIGRATIONS;
use tokio_postgres::error::SqlState;

/// The version that this program creates and works with.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub(crate) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Key of the advisory lock under which one client at a time migrates: "store" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(495791960677)";
const CREATE_VERSION: &str =
    "CREATE TABLE IF NOT EXISTS store_schema (id integer PRIMARY KEY, version integer NOT NULL)";
const READ_VERSION: &str = "SELECT version FROM store_schema WHERE id = 1";
const FIRST_VERSION: &str = "INSERT INTO store_schema (id, version) VALUES (1, $1)";
const SET_VERSION: &str = "UPDATE store_schema SET version = $1 WHERE id = 1";

/// Brings the tables to [`VERSION`], in one transaction. Running it again changes nothing.
pub(crate) async fn migrate(link: &Link) -> Result<(), Error> {
    if version(link).await? == Some(VERSION) {
        return Ok(());
    }
    link.batch(BEGIN).await?;
    let done = migrate_in_transaction(link).await;
    match done {
        Ok(()) => link.batch("COMMIT").await,
        Err(error) => {
            // What matters is the first error; a connection that is lost has rolled back by itself.
            let _ = link.batch("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn migrate_in_transaction(link: &Link) -> Result<(), Error> {
    link.batch(LOCK).await?;
    link.batch(CREATE_VERSION).await?;
    let found: Option<i32> = link.row(READ_VERSION, &[]).await?.map(|row| row.get(0));
    let from = check(found.unwrap_or(0))?;
    for statement in MIGRATIONS[from..].iter().flat_map(|migration| migration.iter()) {
        link.batch(statement).await?;
    }
    let write = if found.is_none() { FIRST_VERSION } else { SET_VERSION };
    link.execute(write, &[&VERSION]).await.map(drop)
}

/// Fails if the tables are not those that this program knows.
pub(crate) async fn expect(link: &Link) -> Result<(), Error> {
    match version(link).await? {
        Some(VERSION) => Ok(()),
        Some(found) => check(found).and(Err(Error::schema(format!(
            "the store's tables are of version {found}, this program needs {VERSION}: call migrate (message-store migrate)"
        )))),
        None => Err(Error::schema("the store has no tables: call migrate first (message-store migrate)")),
    }
}

async fn version(link: &Link) -> Result<Option<i32>, Error> {
    match link.row(READ_VERSION, &[]).await {
        Ok(row) => Ok(row.map(|row| row.get(0))),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many migrations are in place.
fn check(found: i32) -> Result<usize, Error> {
    let newer = || {
        Error::schema(format!(
            "the store's tables are of version {found}, this program knows up to {VERSION}: use a newer one"
        ))
    };
    if found > VERSION { Err(newer()) } else { usize::try_from(found).map_err(|_| newer()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused() {
        assert_eq!(check(VERSION).expect("ours"), MIGRATIONS.len());
        let error = check(VERSION + 1).expect_err("newer");
        assert!(error.to_string().contains("use a newer one") && !error.is_retryable());
    }
}
