//! The snapshot that is copied, and the locks that make it whole.
//!
//! ALTER TABLE that rewrites a table, and TRUNCATE, do not keep old rows for old snapshots (PostgreSQL's manual, §13.5
//! "Caveats"): a dump whose snapshot is older than such a commit finds the table empty. So all tables are locked against
//! them *before* the snapshot is taken, in the transaction that exports it, and that stays open up to the end of the dump.

use super::endpoint::Endpoint;
use super::{QUERY_TIME_MAX, RebuildError};
use crate::members::pg::maintenance::Maintenance;

/// Tables that are locked by one statement.
const TABLES_AT_ONCE: usize = 500;
/// Tables may be made while others are locked; after so many attempts the copy fails.
const ATTEMPTS_MAX: u32 = 10;

/// All tables that a dump reads.
const TABLES: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1";

/// A transaction on the donor that holds the locks. Dropped, it ends.
pub(super) struct Snapshot {
    _holds: Maintenance,
    /// Its name, for `pg_dump --snapshot`.
    pub(super) id: String,
}

/// Locks all tables, and takes a snapshot behind that.
///
/// # Errors
/// [`RebuildError`].
pub(super) async fn take(donor: &Endpoint) -> Result<Snapshot, RebuildError> {
    for _ in 0..ATTEMPTS_MAX {
        let mut beside = donor.connect().await?;
        let tables = tables(donor, &mut beside).await?;
        let mut holds = donor.connect().await?;
        // LOCK takes no snapshot: that comes with the first query.
        query(donor, &mut holds, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let mut locked = true;
        for some in tables.chunks(TABLES_AT_ONCE) {
            let lock = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", some.join(", ONLY "));
            // One that was dropped meanwhile: look again.
            locked &= query(donor, &mut holds, &lock).await.is_ok();
        }
        if !locked {
            continue;
        }
        let id = query(donor, &mut holds, "SELECT pg_catalog.pg_export_snapshot()").await?;
        let id = id.into_iter().next().ok_or_else(|| donor.unreadable("the name of its snapshot"))?;
        if self::tables(donor, &mut holds).await? == tables {
            return Ok(Snapshot { _holds: holds, id });
        }
    }
    Err(donor.unreadable("its list of tables, which does not stay the same"))
}

async fn tables(donor: &Endpoint, connection: &mut Maintenance) -> Result<Vec<String>, RebuildError> {
    query(donor, connection, TABLES).await
}

async fn query(donor: &Endpoint, connection: &mut Maintenance, sql: &str) -> Result<Vec<String>, RebuildError> {
    let results =
        connection.query(&[sql], QUERY_TIME_MAX).await.map_err(|error| donor.failed("the snapshot", error))?;
    Ok(results.into_iter().flatten().filter_map(|row| row.into_iter().next().flatten()).collect())
}
