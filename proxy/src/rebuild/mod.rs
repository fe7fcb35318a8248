//! A whole database from a donor member to a target member, with PostgreSQL's own `pg_dump` and `psql`.
//!
//! ```text
//! check ─► roles ─► drop target, create under another name ─► pg_dump │ psql ─► settings ─► ANALYZE ─► rename
//! ```
//!
//! Invariants: a database of the target's name exists on the target only before the copy has begun or after it is
//! whole, because it is loaded under another name ([`staging_name`]) and renamed as the last step; and the donor is
//! only read. What is copied is one snapshot, the `raidb` schema with its applied marker included, so the copy says
//! itself at which position it is.
//!
//! It knows nothing of sessions, states or the log: that the target is out and stays out is the caller's business.

mod database;
mod endpoint;
mod error;
mod programs;
mod progress;
mod roles;
mod settings;
mod snapshot;
mod transfer;

use std::time::{Duration, Instant};

use crate::members::pg::maintenance::Maintenance;

pub use database::staging_name;
pub use endpoint::Endpoint;
pub use error::RebuildError;
pub use progress::{Phase, Progress};

/// Time for one of the copy's own queries (never for the transfer). At the limit: the copy fails.
const QUERY_TIME_MAX: Duration = Duration::from_secs(600);

/// Time for `ANALYZE`. At the limit: a warning; the server's own autovacuum will come to it.
const ANALYZE_TIME_MAX: Duration = Duration::from_secs(3600);

/// What a copy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that went from `pg_dump` to `psql`.
    pub bytes: u64,
    /// Roles that the target lacked.
    pub roles_created: Vec<String>,
    /// Of these, log-in roles that have no password there, because the donor does not show passwords to our login.
    pub roles_without_password: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Replaces the target's database by a copy of the donor's. May be started again from the beginning at any time.
///
/// Both logins need the rights to do it: on the donor to read everything, on the target to create databases, roles
/// and whatever the donor has; a superuser on both is the plain case. Roles that the target has stay as they are,
/// passwords included. Tablespaces are not copied: everything goes to the target's default.
///
/// # Errors
/// [`RebuildError`]. After [`RebuildError::SameDatabase`], [`RebuildError::Versions`], [`RebuildError::Programs`] and a
/// failure to connect nothing was changed. After any other error the target has no database of its name, or, if
/// nothing could be dropped, the one that it had: the caller keeps the member out either way.
///
/// # Cancel safety
/// Dropping the future kills `pg_dump` and `psql` and closes all connections. What the servers had begun ends by
/// itself; the target has no database of its name then, as after an error.
pub async fn copy_database(donor: &Endpoint, target: &Endpoint, progress: &Progress) -> Result<Copied, RebuildError> {
    let start = Instant::now();
    progress.enter(Phase::Check);
    let mut from = donor.connect().await?;
    let mut to = target.connect_beside().await?;
    database::refuse_same(donor, &mut from, target, &mut to).await?;
    let version = database::equal_versions(donor, &mut from, target, &mut to).await?;
    let programs = programs::find(version).await?;
    let database = database::describe(donor, &mut from).await?;
    progress.expect(database.bytes);

    progress.enter(Phase::Roles);
    let roles = roles::copy(donor, &mut from, target, &mut to).await?;

    progress.enter(Phase::Database);
    let staging = staging_name(target.database());
    database::replace(target, &mut to, &staging, &database).await?;

    progress.enter(Phase::Transfer);
    let loading = target.with_database(&staging);
    let snapshot = snapshot::take(donor).await?;
    let bytes = transfer::transfer(&programs, donor, &snapshot.id, &loading, progress).await?;
    drop(snapshot);

    progress.enter(Phase::Settings);
    settings::copy(donor, &mut from, target, &mut to, &staging).await?;

    progress.enter(Phase::Analyze);
    analyze(&loading).await?;
    database::rename(target, &mut to, &staging).await?;
    progress.enter(Phase::Done);
    Ok(Copied {
        bytes,
        roles_created: roles.created,
        roles_without_password: roles.without_password,
        took: start.elapsed(),
    })
}

/// Statistics: a matter of speed, never of contents.
async fn analyze(loading: &Endpoint) -> Result<(), RebuildError> {
    let mut connection: Maintenance = loading.connect().await?;
    if let Err(error) = connection.query(&["ANALYZE"], ANALYZE_TIME_MAX).await {
        tracing::warn!(member = loading.name(), %error, "ANALYZE of the copy did not succeed");
    }
    Ok(())
}
