//! What clients were told, by kind; and which errors a client of one single database would expect as well.

use std::collections::BTreeMap;
use std::fmt;

use tokio_postgres::error::SqlState;

use crate::{Failure, Result};

/// Counts of one client or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Transactions that were acknowledged as committed.
    pub commits: u64,
    /// Transactions that the client itself rolled back, or that an expected error ended.
    pub rollbacks: u64,
    /// Statements that the proxy refused (0A000), by their text.
    pub refused: BTreeMap<String, u64>,
    /// Expected errors by SQLSTATE.
    pub errors: BTreeMap<String, u64>,
}

impl Outcomes {
    /// Counts an error that the workload provokes on any database: class 23 (constraints), 40001 and 40P01, 25P02
    /// (a pipelined statement behind a failed one), and 0A000, which is counted apart.
    ///
    /// # Errors
    /// Any other error, a lost connection included: the run has failed.
    pub fn expected(&mut self, statement: &str, error: tokio_postgres::Error) -> Result<()> {
        let Some(code) = error.code() else {
            return Err(Failure::from(error).during(statement));
        };
        if *code == SqlState::FEATURE_NOT_SUPPORTED {
            *self.refused.entry(statement.to_owned()).or_default() += 1;
            return Ok(());
        }
        if code.code().starts_with("23") || ["40001", "40P01", "25P02"].contains(&code.code()) {
            *self.errors.entry(code.code().to_owned()).or_default() += 1;
            return Ok(());
        }
        let told = format!("unexpected SQLSTATE {} for {statement}", code.code());
        Err(Failure::from(error).during(told))
    }

    /// How often `code` was seen.
    #[must_use]
    pub fn count(&self, code: &str) -> u64 {
        self.errors.get(code).copied().unwrap_or_default()
    }

    /// How many statements were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Sum of the counts of many clients.
    #[must_use]
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |mut sum, one| {
            sum.commits += one.commits;
            sum.rollbacks += one.rollbacks;
            for (code, count) in one.errors {
                *sum.errors.entry(code).or_default() += count;
            }
            for (statement, count) in one.refused {
                *sum.refused.entry(statement).or_default() += count;
            }
            sum
        })
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commits:{},rollbacks:{},refused:{}", self.commits, self.rollbacks, self.refused())?;
        self.errors.iter().try_for_each(|(code, count)| write!(f, ",{code}:{count}"))
    }
}
