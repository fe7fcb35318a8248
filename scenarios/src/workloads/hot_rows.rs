//! Clients that update the same few rows in random order inside transactions: deadlocks on purpose, and nothing else.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_postgres::error::SqlState;

use crate::sql::Endpoint;
use crate::workloads::Outcomes;
use crate::{Failure, Result};

/// Rows that everybody wants.
pub const ROWS: i32 = 10;
/// The table, filled; to be made before the load.
pub const SCHEMA: &str = "create table hot(id int primary key, n bigint not null); \
    insert into hot select g, 0 from generate_series(1, 10) g";

/// What was told, and what the rows must therefore add up to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Commits and deadlocks.
    pub outcomes: Outcomes,
    /// Updates in acknowledged transactions: the sum of `n` over all rows.
    pub increments: u64,
}

/// Runs `clients` for `length`.
///
/// # Errors
/// A client was told anything but success or 40P01.
pub async fn run(endpoint: &Endpoint, clients: usize, length: Duration, seed: u64) -> Result<Report> {
    let end = Instant::now() + length;
    let all = (0..clients).map(|number| client(endpoint, end, seed.wrapping_mul(1000) + number as u64));
    let reports = try_join_all(all).await?;
    let increments = reports.iter().map(|report| report.increments).sum();
    Ok(Report { outcomes: Outcomes::sum(reports.into_iter().map(|report| report.outcomes)), increments })
}

async fn client(endpoint: &Endpoint, end: Instant, seed: u64) -> Result<Report> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut connection = endpoint.connect().await?;
    let update = connection.prepare("update hot set n = n + 1 where id = $1").await?;
    let mut report = Report::default();
    while Instant::now() < end {
        let rows: Vec<i32> = (0..chance.random_range(2..6)).map(|_| chance.random_range(1..=ROWS)).collect();
        let transaction = connection.transaction().await?;
        let mut broken = None;
        for row in &rows {
            match transaction.execute(&update, &[row]).await {
                Ok(1) => {}
                Ok(count) => {
                    return Err(Failure::new(format!("update of row {row} changed {count} rows")));
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        match broken {
            None => {
                transaction.commit().await?;
                report.outcomes.commits += 1;
                report.increments += rows.len() as u64;
            }
            Some(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
                report.outcomes.expected("update hot", error)?;
                report.outcomes.rollbacks += 1;
                transaction.rollback().await?;
            }
            Some(error) => return Err(Failure::from(error).during("update hot")),
        }
    }
    Ok(report)
}
