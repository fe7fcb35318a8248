//! Transactions that append to a few hot lists and read them, at one isolation level, and the history of what was told.
//!
//! Everything derives from one seed: which transactions each client runs, by which statements and which protocol.

mod client;
mod plan;
mod session;

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::try_join_all;

use crate::Result;
use crate::checkers::isolation::{Ending, Level, Operation, Transaction};
use crate::cluster::Member;
use crate::sql::Endpoint;
pub use client::Clock;

/// The load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Its one source of chance.
    pub seed: u64,
    /// Clients at the same time.
    pub clients: usize,
    /// Transactions that each of them runs, at most.
    pub transactions: usize,
    /// When they end in any case.
    pub until: Option<Instant>,
    /// The isolation level of all transactions.
    pub level: Level,
}

/// What the clients did and were told.
#[derive(Debug, Default)]
pub struct Told {
    /// All transactions.
    pub history: Vec<Transaction>,
    /// SQLSTATEs that ended transactions (`lost`: the connection, before COMMIT was sent).
    pub aborted: BTreeMap<String, u64>,
    /// Why outcomes are unknown, by SQLSTATE or text.
    pub unknown: BTreeMap<String, u64>,
    /// Answers that no single database would have given.
    pub unexpected: Vec<String>,
}

impl Told {
    /// How many transactions ended so.
    #[must_use]
    pub fn count(&self, ending: Ending) -> usize {
        self.history.iter().filter(|transaction| transaction.ending == ending).count()
    }

    fn add(mut self, other: Self) -> Self {
        self.history.extend(other.history);
        for (code, count) in other.aborted {
            *self.aborted.entry(code).or_default() += count;
        }
        for (why, count) in other.unknown {
            *self.unknown.entry(why).or_default() += count;
        }
        self.unexpected.extend(other.unexpected);
        self
    }
}

/// The table of a level's lists: one for each, so that one run can do all levels in one set-up.
#[must_use]
pub fn schema(level: Level) -> String {
    format!("create table {}(k bigint primary key, v bigint[] not null)", table(level))
}

fn table(level: Level) -> String {
    format!("list_{}", level.short())
}

/// Runs the load.
///
/// # Errors
/// A client finds no server for longer than its limit.
pub async fn run(endpoint: &Endpoint, load: Load, clock: &Clock) -> Result<Told> {
    let all = (0..load.clients).map(|number| client::run(endpoint, load, number, clock));
    Ok(try_join_all(all).await?.into_iter().fold(Told::default(), Told::add))
}

/// All lists that `member` holds.
///
/// # Errors
/// It does not answer.
pub async fn lists(member: &Member, level: Level) -> Result<BTreeMap<i64, Vec<i64>>> {
    let client = member.endpoint().connect().await.map_err(|error| error.during(member.name()))?;
    let rows = client.query(&format!("select k, v from {}", table(level)), &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The lists of the end as a last transaction that reads them all: so the order of every list is known to its end.
#[must_use]
pub fn last_read(lists: &BTreeMap<i64, Vec<i64>>, client: usize, clock: &Clock) -> Transaction {
    let operations = lists.iter().map(|(key, list)| Operation::Read { key: *key, list: list.clone() }).collect();
    Transaction { client, began: clock.tick(), ended: clock.tick(), operations, ending: Ending::Committed }
}
