//! Ends what earlier connections left running on a member, and waits until it is gone.
//!
//! A backend whose client is gone may still have a COMMIT before it in its socket: it executes that when it gets its turn
//! (a server that was stopped and goes on, a proxy that was killed behind its last write). What the member holds can be
//! read only when no such backend is left.

use std::time::Duration;

use tokio::time::Instant;

use super::RejoinError;
use super::tables::literal;
use crate::members::pg::maintenance::Maintenance;

/// Backends that were told to end do so within this time, or the member is not used.
const FENCE_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks.
const FENCE_PAUSE: Duration = Duration::from_millis(10);

/// Ends every other connection to the member's database that uses one of these roles.
///
/// # Errors
/// [`RejoinError::NotFenced`], or the member's.
pub async fn fence(connection: &mut Maintenance, roles: &[String], within: Duration) -> Result<(), RejoinError> {
    let roles: Vec<String> = roles.iter().map(|role| literal(role)).collect();
    let sql = format!(
        "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
         WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() \
         AND backend_type = 'client backend' AND usename IN ({})",
        roles.join(", ")
    );
    let limit = Instant::now() + FENCE_LIMIT;
    loop {
        let results = connection.query(&[&sql], within).await?;
        let left = results.first().and_then(|r| r.first()?.first()?.as_deref()?.parse().ok()).unwrap_or(0_usize);
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= limit {
            return Err(RejoinError::NotFenced(left));
        }
        tokio::time::sleep(FENCE_PAUSE).await;
    }
}
