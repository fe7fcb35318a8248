//! Compares the contents of two members, table by table, and makes the one like the other, row by row.
//!
//! | file | job |
//! |---|---|
//! | `connection` | one snapshot on one member, and settings under which equal rows are equal text |
//! | `schema` | everything but rows, as lines; a difference there cannot be repaired here |
//! | `tables` | which tables there are, and by which key each is walked |
//! | `table_queries` | the questions of the plan (`raidb_core::scrub`) as SQL |
//! | `compare` | carries a plan out on two members |
//! | `repair` | deletes and inserts what a comparison found, in the target's one transaction |
//! | `report` | what was done, in words |
//! | `large_objects` | whether large objects are alike |
//!
//! **All or nothing.** Comparison, repair and the second comparison run in one transaction on the target, and in one
//! snapshot on the base. It commits only if the tables that were changed are equal to those of the base behind it. So a
//! crash, a lost connection or a value that does not survive the way through text leaves the target as it was.
//!
//! It knows nothing of states, the log, or who is right: the caller says which member is the *base*, and that nobody else
//! writes to the two meanwhile.

mod compare;
mod connection;
mod large_objects;
mod repair;
mod report;
mod schema;
mod table_queries;
mod tables;

use std::time::Duration;

use raidb_core::scrub::{Difference, NarrowingError};

use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::QueryError;
use crate::members::pg::target::{Login, Target};
use crate::wire::WireError;
use connection::Connection;
pub use report::{Repaired, RepairedTable};
use tables::{Kind, Table};

/// Rows of all tables together that are deleted or inserted on one member. Beyond that a copy costs less.
pub const DIFFERING_ROWS_MAX: usize = 10_000;

/// Time for one query; one checksum may read a whole table. At the limit: a copy is made instead.
const QUERY_TIME_MAX: Duration = Duration::from_secs(3600);

/// One of the two members.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Where it is.
    pub target: &'a Target,
    /// A login that may read everything and, on the member that is changed, set `session_replication_role`.
    pub login: &'a Login,
}

/// Why the target is not like the base now. It is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// A member cannot be asked; trying again may help.
    #[error("\"{member}\": {source}")]
    Member {
        /// Which.
        member: String,
        /// What it said.
        source: QueryError,
    },
    /// Rows are not enough, or too many of them: the target needs a whole copy.
    #[error("{0}")]
    NeedsCopy(String),
}

impl ScrubError {
    /// What a failed query means: a member that is away, or something that this repair cannot do.
    fn of(member: &str, what: &str, source: QueryError) -> Self {
        let away = match &source {
            QueryError::Connect(ConnectError::Unsupported(_)) | QueryError::TimedOut(_) => false,
            QueryError::Wire(WireError::Length { .. }) => false,
            QueryError::Connect(_) | QueryError::Wire(_) => true,
            // Something that will pass: a lost server, no resources, an operator, a conflict.
            QueryError::Server { sqlstate, .. } => {
                ["08", "40", "53", "57", "58"].iter().any(|class| sqlstate.starts_with(class.as_bytes()))
            }
        };
        if away {
            return ScrubError::Member { member: member.to_owned(), source };
        }
        ScrubError::NeedsCopy(format!("{what} on \"{member}\": {source}"))
    }
}

impl From<NarrowingError> for ScrubError {
    fn from(error: NarrowingError) -> Self {
        ScrubError::NeedsCopy(error.to_string())
    }
}

/// Makes the target like the base. `also` is carried out on the target in the same transaction, last.
///
/// # Errors
/// [`ScrubError`]; then nothing was changed. (Behind a connection that was lost at COMMIT everything may have been.)
///
/// # Cancel safety
/// Dropping the future closes both connections; what was not committed is rolled back by the member.
pub async fn repair(base: Place<'_>, target: Place<'_>, also: &str) -> Result<Repaired, ScrubError> {
    let mut from = Connection::open(base).await?;
    let mut to = Connection::open(target).await?;
    schema::compare(&mut from, &mut to).await?;
    large_objects::compare(&mut from, &mut to).await?;
    let tables = tables::read(&mut from).await?;
    let mut report = Repaired::default();
    let mut found: Vec<(&Table, Difference)> = Vec::new();
    let mut left = DIFFERING_ROWS_MAX;
    for table in &tables {
        let difference = compare::table(&mut from, &mut to, table, left).await?;
        left = left.saturating_sub(difference.rows());
        report.compared += 1;
        if !difference.is_empty() {
            found.push((table, difference));
        }
    }
    if !found.is_empty() {
        to.begin_repair().await?;
    }
    for (table, difference) in &found {
        refuse_what_rows_cannot_mend(&mut to, table).await?;
        repair::table(&mut from, &mut to, table, difference).await?;
        report.add(table, difference);
    }
    for (table, _) in &found {
        if !compare::alike(&mut from, &mut to, table).await? {
            return Err(ScrubError::NeedsCopy(format!("{} still differs behind the repair of its rows", table.name)));
        }
    }
    to.commit_with(also).await?;
    Ok(report)
}

/// A materialized view holds what some REFRESH found; triggers and rules that fire for a repair too would do more than it.
async fn refuse_what_rows_cannot_mend(to: &mut Connection, table: &Table) -> Result<(), ScrubError> {
    if table.kind == Kind::MaterializedView {
        return Err(ScrubError::NeedsCopy(format!("materialized view {} differs", table.name)));
    }
    if !table.columns.iter().any(|column| !column.generated) {
        return Err(ScrubError::NeedsCopy(format!("{} differs and has no column to write", table.name)));
    }
    if to.value("triggers", &tables::fires_in_a_repair(table)).await? == "t" {
        return Err(ScrubError::NeedsCopy(format!(
            "{} differs and has triggers or rules that fire in a repair too (ENABLE ALWAYS, ENABLE REPLICA)",
            table.name
        )));
    }
    Ok(())
}
