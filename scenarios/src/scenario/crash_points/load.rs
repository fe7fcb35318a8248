//! Clients whose transactions can be found again, whole or by halves, and what each was told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::try_join_all;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::sql::Endpoint;
use crate::workloads::unique_inserts::{self, Journal};
use crate::{Failure, Result, fail};

/// The tables: a transaction puts its key left and right, and counts itself in two rows, one of which all clients share.
pub(in super::super) const SCHEMA: &str = "create table whole_left(key bigint primary key, client int not null); \
     create table whole_right(id bigserial primary key, key bigint not null unique); \
     create table keyed_right(key bigint primary key); \
     create table whole_counter(slot int primary key, n bigint not null); \
     insert into whole_counter select g, 0 from generate_series(0, 3) g";

/// Every so many transactions are rolled back by their client.
const ROLLBACK_EVERY: i64 = 5;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Work {
    /// One INSERT in autocommit: the at-once commit.
    Insert,
    /// The same by many clients: they are combined.
    Crowd,
    /// Inserts and updates in a transaction block, with a row lock.
    Whole,
    /// The same without a row lock: no follower hears of it before it is decided. Clients wait for each other on the lead.
    Brief,
    /// The same, of which each statement names its rows: it runs on the followers while it is being decided.
    Keyed,
    /// Two serializable transactions side by side, of which the second must be refused.
    Certified,
}

impl Work {
    /// How many of them show what there is to see.
    pub(in super::super) fn clients(self) -> usize {
        match self {
            Self::Certified => 1,
            Self::Crowd => 6,
            Self::Insert | Self::Whole | Self::Brief | Self::Keyed => 2,
        }
    }

    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Crowd => "inserts of many",
            Self::Whole => "transaction",
            Self::Brief => "brief transaction",
            Self::Keyed => "keyed transaction",
            Self::Certified => "serializable",
        }
    }
}

/// What clients were told, of single inserts and of transactions.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Told {
    pub inserts: Journal,
    pub wholes: Journal,
    /// SQLSTATEs of transactions that were not done.
    pub refusals: Vec<String>,
    /// What clients were told that lost their connections, or do not know an outcome.
    pub doubts: Vec<String>,
    /// Pairs of serializable transactions of which one had to be refused, and both were acknowledged.
    pub skewed: u64,
}

impl Told {
    pub(in super::super) fn add(&mut self, mut other: Self) {
        self.inserts = Journal::merge([std::mem::take(&mut self.inserts), other.inserts]);
        self.wholes = Journal::merge([std::mem::take(&mut self.wholes), other.wholes]);
        self.refusals.append(&mut other.refusals);
        self.doubts.append(&mut other.doubts);
        self.skewed += other.skewed;
    }

    fn of(&mut self, work: Work) -> &mut Journal {
        if matches!(work, Work::Insert | Work::Crowd) { &mut self.inserts } else { &mut self.wholes }
    }
}

/// Running clients.
#[derive(Debug)]
pub(in super::super) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<Told>>>,
}

impl Load {
    /// Starts a client for each entry of `works`, numbered from `first` on, and ends each behind `limit` transactions.
    pub(in super::super) async fn start(endpoint: &Endpoint, works: &[Work], first: i32, limit: i64) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        // All first: the proxy may die as soon as one of them works.
        for _ in works {
            clients.push((endpoint.connect().await?, endpoint.connect().await?));
        }
        let started = (first..).zip(works).zip(clients);
        let tasks = started
            .map(|((number, work), clients)| tokio::spawn(client(clients, *work, number, limit, Arc::clone(&stop))))
            .collect();
        Ok(Self { stop, tasks })
    }

    /// Waits until all clients have done what they are to do, or have lost their connections.
    pub(in super::super) async fn ended(self) -> Result<Told> {
        let joined = try_join_all(self.tasks).await?;
        let mut told = Told::default();
        for one in joined {
            told.add(one?);
        }
        Ok(told)
    }

    /// Ends the clients behind what they are doing.
    pub(in super::super) async fn stop(self) -> Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        self.ended().await
    }
}

/// How far a transaction got.
enum Ended {
    Done,
    RolledBack,
    /// Not done, for certain.
    Refused(String),
    /// Nobody knows; the connection is of no more use.
    Unknown(String),
    /// Lost before COMMIT was sent.
    Lost,
}

async fn client(clients: (Client, Client), work: Work, number: i32, limit: i64, stop: Arc<AtomicBool>) -> Result<Told> {
    let mut told = Told::default();
    let base = i64::from(number) << 32;
    for turn in 1..=limit {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = base + turn * 2;
        let results = match work {
            Work::Crowd if number % 3 != 0 => {
                // By Parse of the unnamed statement: its text means something else to each client.
                let (sql, values) = match number % 3 {
                    1 => ("insert into unique_inserts(key, client) values ($1, $2)", [key, i64::from(number)]),
                    _ => ("insert into unique_inserts(client, key) values ($1, $2)", [i64::from(number), key]),
                };
                let parameters = values.each_ref().map(|value| (value as &(dyn ToSql + Sync), Type::INT8));
                vec![(key, at_commit(clients.0.query_typed(sql, &parameters).await.map(drop))?)]
            }
            Work::Insert | Work::Crowd => {
                let sql = format!("insert into unique_inserts values ({key}, {number})");
                vec![(key, at_commit(clients.0.simple_query(&sql).await.map(drop))?)]
            }
            Work::Whole | Work::Brief | Work::Keyed => vec![(key, whole(&clients.0, work, key, number).await?)],
            Work::Certified => certified(&clients, key).await?,
        };
        let mut ends = false;
        let done = results.iter().filter(|(_, ended)| matches!(ended, Ended::Done)).count();
        told.skewed += u64::from(work == Work::Certified && done == 2);
        for (key, ended) in results {
            match ended {
                Ended::Done => drop(told.of(work).acknowledged.insert(key)),
                Ended::RolledBack => drop(told.of(work).refused.insert(key)),
                Ended::Refused(code) => {
                    told.of(work).refused.insert(key);
                    told.refusals.push(code);
                }
                Ended::Unknown(text) => {
                    told.of(work).unknown.insert(key);
                    told.doubts.push(text);
                    ends = true;
                }
                Ended::Lost => {
                    told.of(work).refused.insert(key);
                    told.doubts.push("the connection was lost before COMMIT".to_owned());
                    ends = true;
                }
            }
        }
        if ends {
            break;
        }
    }
    Ok(told)
}

/// SQLSTATEs that say: not done. 53100 and 58030 are those of a log that cannot be written.
fn is_refusal(code: &str) -> bool {
    code.starts_with("40") && code != "40003" || ["53100", "58030", "57P03"].contains(&code)
}

/// The answer to the statement that commits.
fn at_commit(result: Result<(), tokio_postgres::Error>) -> Result<Ended> {
    let Err(error) = result else { return Ok(Ended::Done) };
    let code = error.code().map(|code| code.code().to_owned());
    let text = Failure::from(error).to_string();
    match code {
        None => Ok(Ended::Unknown(text)),
        Some(code) if is_refusal(&code) => Ok(Ended::Refused(code)),
        Some(code) if code.starts_with("08") || code.starts_with("57P") => Ok(Ended::Unknown(format!("{code} {text}"))),
        Some(code) => fail(format!("an answer that no single database gives: {code} {text}")),
    }
}

/// The answer to a statement before: whatever it is, the transaction was not done.
async fn before_commit(client: &Client, error: tokio_postgres::Error) -> Result<Ended> {
    let code = error.code().map(|code| code.code().to_owned());
    let text = Failure::from(error).to_string();
    match code {
        None => Ok(Ended::Lost),
        Some(code) if code.starts_with("57P") || code.starts_with("08") => Ok(Ended::Lost),
        Some(code) if is_refusal(&code) => {
            let gone = client.simple_query("rollback").await.is_err();
            Ok(if gone { Ended::Lost } else { Ended::Refused(code) })
        }
        Some(code) => fail(format!("an answer that no single database gives: {code} {text}")),
    }
}

async fn whole(client: &Client, work: Work, key: i64, number: i32) -> Result<Ended> {
    let slot = 1 + number % 3;
    let ends_well = (key / 2) % ROLLBACK_EVERY != 0;
    let lock = if work == Work::Whole { "for update" } else { "" };
    let right = if work == Work::Keyed { "keyed_right" } else { "whole_right(key)" };
    for sql in [
        "begin".to_owned(),
        // With a row lock the followers take part from here on, and COMMIT comes the usual way.
        format!("select n from whole_counter where slot = {slot} {lock}"),
        format!("insert into whole_left values ({key}, {number})"),
        // With it the proxy asks the lead what names mean, in the middle of the transaction.
        if work == Work::Whole { "set local search_path = public".to_owned() } else { "select 1".to_owned() },
        format!("update whole_counter set n = n + 1 where slot = {slot}"),
        "update whole_counter set n = n + 1 where slot = 0".to_owned(),
        format!("insert into {right} values ({key})"),
    ] {
        if let Err(error) = client.simple_query(&sql).await {
            return before_commit(client, error).await;
        }
    }
    if ends_well {
        return at_commit(client.simple_query("commit").await.map(drop));
    }
    Ok(if client.simple_query("rollback").await.is_ok() { Ended::RolledBack } else { Ended::Lost })
}

/// Both read what the other writes; the first commits, so the second's COMMIT is refused by the lead.
async fn certified(clients: &(Client, Client), key: i64) -> Result<Vec<(i64, Ended)>> {
    let (one, other) = clients;
    let (first, second) = (key, key + 1);
    for client in [one, other] {
        let begin = "begin isolation level serializable; select sum(n) from whole_counter where slot in (1, 2)";
        for sql in begin.split("; ") {
            if let Err(error) = client.simple_query(sql).await {
                return broken(clients, client, error, key).await;
            }
        }
    }
    for (client, key, slot) in [(one, first, 1), (other, second, 2)] {
        for sql in [
            format!("insert into whole_left values ({key}, 0)"),
            format!("update whole_counter set n = n + 1 where slot = {slot}"),
            format!("insert into whole_right(key) values ({key})"),
        ] {
            if let Err(error) = client.simple_query(&sql).await {
                return broken(clients, client, error, first).await;
            }
        }
    }
    let ended = at_commit(one.simple_query("commit").await.map(drop))?;
    let later = at_commit(other.simple_query("commit").await.map(drop))?;
    Ok(vec![(first, ended), (second, later)])
}

/// One of the pair fails before COMMIT: both are rolled back.
async fn broken(
    clients: &(Client, Client),
    client: &Client,
    error: tokio_postgres::Error,
    key: i64,
) -> Result<Vec<(i64, Ended)>> {
    let ended = before_commit(client, error).await?;
    let rolled_back = [clients.0.simple_query("rollback").await, clients.1.simple_query("rollback").await];
    let ended = if rolled_back.iter().any(Result::is_err) { Ended::Lost } else { ended };
    Ok(vec![(key, ended), (key + 1, Ended::RolledBack)])
}

/// Keys whose outcome was open, settled by what is there: from now on they must stay so.
pub(super) fn settle(journal: &mut Journal, found: &BTreeSet<i64>) {
    for key in std::mem::take(&mut journal.unknown) {
        let side = if found.contains(&key) { &mut journal.acknowledged } else { &mut journal.refused };
        side.insert(key);
    }
}

/// Everything that the load needs.
pub(super) fn schema() -> String {
    format!("{}; {SCHEMA}", unique_inserts::SCHEMA)
}
