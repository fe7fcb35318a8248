//! What clients were told, by kind; and which errors a client of one single database would expect as well.

use std::collections::BTreeMap;
use std::fmt;

use tokio_postgres::error::SqlState;

use crate::{Failure, Result, fail};

/// Counts of one client or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Transactions that were acknowledged as committed.
    pub commits: u64,
    /// Transactions that the client itself rolled back, or that an expected error ended.
    pub rollbacks: u64,
    /// Statements that the proxy refused (0A000), by their text without its numbers.
    pub refused: BTreeMap<String, u64>,
    /// Expected errors by SQLSTATE.
    pub errors: BTreeMap<String, u64>,
    /// Errors that no single database would have given, by statement and message: each is a bug. They are gathered,
    /// since one run should show all of them.
    pub unexpected: BTreeMap<String, u64>,
}

impl Outcomes {
    /// Counts an error that the workload provokes on any database: class 23 (constraints), 40001 and 40P01, 25P02
    /// (a pipelined statement behind a failed one), and 0A000, which is counted apart.
    ///
    /// Any other SQLSTATE is gathered as unexpected; [`Outcomes::expect_nothing_unexpected`] fails on them.
    ///
    /// # Errors
    /// The connection is lost: the run has failed.
    pub fn expected(&mut self, statement: &str, error: tokio_postgres::Error) -> Result<()> {
        let Some(code) = error.code().cloned() else {
            return Err(Failure::from(error).during(statement));
        };
        if code == SqlState::FEATURE_NOT_SUPPORTED {
            *self.refused.entry(without_numbers(statement)).or_default() += 1;
            return Ok(());
        }
        if code.code().starts_with("23") || ["40001", "40P01", "25P02"].contains(&code.code()) {
            *self.errors.entry(code.code().to_owned()).or_default() += 1;
            return Ok(());
        }
        let told = format!("{} for {statement}: {}", code.code(), Failure::from(error));
        *self.unexpected.entry(told).or_default() += 1;
        Ok(())
    }

    /// Fails if a client was told something that it would not expect of a single database.
    ///
    /// # Errors
    /// All that was unexpected, most frequent first.
    pub fn expect_nothing_unexpected(&self) -> Result<()> {
        if self.unexpected.is_empty() {
            return Ok(());
        }
        let mut all: Vec<_> = self.unexpected.iter().map(|(told, count)| (*count, told)).collect();
        all.sort_by(|a, b| b.cmp(a));
        let lines: Vec<_> = all.iter().map(|(count, told)| format!("  {count} times {told}")).collect();
        fail(format!("unexpected errors:\n{}", lines.join("\n")))
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
            for (told, count) in one.unexpected {
                *sum.unexpected.entry(told).or_default() += count;
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

/// The text with every number as `#`: the same statement with other values counts as the same.
fn without_numbers(statement: &str) -> String {
    let mut text = String::with_capacity(statement.len());
    for letter in statement.chars() {
        if !letter.is_ascii_digit() {
            text.push(letter);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}
