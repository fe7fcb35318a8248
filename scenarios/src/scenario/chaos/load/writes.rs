//! The transactions of the load, and where each broke off.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::ledger::Kind;
use super::tables::{ACCOUNTS, BRANCHES, ITEMS, TELLERS};
use crate::workloads::Ended;

/// Where a transaction broke off.
enum Broken {
    /// Before COMMIT was sent: it cannot have been committed.
    Before(Error),
    /// In the statement that commits.
    Commit(Error),
    /// No error, but a wrong answer.
    Wrong(String),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

/// One transaction of that kind. The connection may be used again after [`Ended::NotDone`] of class 40.
pub(super) async fn write(kind: Kind, session: (&Client, bool), key: i64, chance: &mut StdRng) -> Ended {
    let session = Session { client: session.0, is_simple: session.1 };
    let result = match kind {
        Kind::Insert => insert(&session, key).await,
        Kind::Transfer => transfer(&session, key, chance).await,
        Kind::Order => order(&session, key, chance).await,
    };
    match result {
        Ok(ended) => ended,
        Err(Broken::Wrong(text)) => Ended::Unexpected(text),
        Err(Broken::Commit(error)) => Ended::at_commit(error),
        Err(Broken::Before(error)) => {
            let ended = Ended::before_commit(error);
            if !session.client.is_closed() && session.client.batch_execute("rollback").await.is_err() {
                // The connection is gone as well; the transaction with it.
                return match ended {
                    Ended::NotDone(_) => Ended::NotDone("lost".to_owned()),
                    other => other,
                };
            }
            ended
        }
    }
}

/// A connection, and the protocol that is used on it.
struct Session<'a> {
    client: &'a Client,
    is_simple: bool,
}

impl Session<'_> {
    /// Runs a statement; returns the number of rows of its command tag.
    async fn run(&self, sql: &str) -> Result<u64, Error> {
        if !self.is_simple {
            return self.client.execute(sql, &[]).await;
        }
        let messages = self.client.simple_query(sql).await?;
        let count = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(count) => Some(count),
            _ => None,
        });
        Ok(count.unwrap_or_default())
    }

    /// Runs a statement that must change exactly `rows`.
    async fn change(&self, sql: &str, rows: u64) -> Result<(), Broken> {
        match self.run(sql).await? {
            count if count == rows => Ok(()),
            count => Err(Broken::Wrong(format!("changed {count} rows, not {rows}: {sql}"))),
        }
    }

    async fn commit(&self) -> Result<Ended, Broken> {
        self.client.batch_execute("commit").await.map_err(Broken::Commit)?;
        Ok(Ended::Done)
    }
}

async fn insert(session: &Session<'_>, key: i64) -> Result<Ended, Broken> {
    let sql = format!("insert into unique_inserts values ({key}, {})", key >> 32);
    match session.run(&sql).await.map_err(Broken::Commit)? {
        1 => Ok(Ended::Done),
        count => Err(Broken::Wrong(format!("inserted {count} rows: {sql}"))),
    }
}

async fn transfer(session: &Session<'_>, key: i64, chance: &mut impl Rng) -> Result<Ended, Broken> {
    let delta = chance.random_range(-5000..=5000_i64);
    let (account, teller) = (chance.random_range(1..=ACCOUNTS), chance.random_range(1..=TELLERS));
    let branch = chance.random_range(1..=BRANCHES);
    session.client.batch_execute("begin").await?;
    let add = |table: &str, id: i32| format!("update {table} set balance = balance + {delta} where id = {id}");
    session.change(&add("chaos_account", account), 1).await?;
    session.run(&format!("select balance from chaos_account where id = {account}")).await?;
    session.change(&add("chaos_teller", teller), 1).await?;
    session.change(&add("chaos_branch", branch), 1).await?;
    let values = format!("({key}, {account}, {teller}, {branch}, {delta}, current_timestamp)");
    let history = format!("insert into chaos_history(key, account, teller, branch, delta, at) values {values}");
    session.change(&history, 1).await?;
    session.commit().await
}

async fn order(session: &Session<'_>, key: i64, chance: &mut impl Rng) -> Result<Ended, Broken> {
    let mut items: Vec<i32> = (0..chance.random_range(1..=3)).map(|_| chance.random_range(1..=ITEMS)).collect();
    // In one order for all: this load is not about deadlocks.
    items.sort_unstable();
    session.client.batch_execute("begin").await?;
    let sql = "insert into chaos_order(key, lines) values ($1, $2) returning id";
    let id: i64 = session.client.query_one(sql, &[&key, &(items.len() as i32)]).await?.get(0);
    let lines = items.iter().enumerate().map(|(number, item)| format!("({id}, {number}, {item})"));
    let lines = lines.collect::<Vec<_>>().join(", ");
    session
        .change(&format!("insert into chaos_line(order_id, number, item) values {lines}"), items.len() as u64)
        .await?;
    for item in &items {
        session.change(&format!("update chaos_item set sold = sold + 1 where id = {item}"), 1).await?;
    }
    if chance.random_bool(0.25) {
        session.client.batch_execute("savepoint s").await?;
        let last = items.last().copied().unwrap_or(1);
        session.change(&format!("update chaos_item set sold = sold + 1000 where id = {last}"), 1).await?;
        session.client.batch_execute("rollback to savepoint s").await?;
    }
    if chance.random_bool(0.1) {
        // Whether the answer arrives or not, a rollback commits nothing.
        session.client.batch_execute("rollback").await?;
        return Ok(Ended::RolledBack);
    }
    session.commit().await
}
