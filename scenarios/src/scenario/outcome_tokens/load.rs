//! Clients whose every transaction inserts one row and bears a token of its own, and who sometimes do not wait for its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Statement};

use crate::cluster::Member;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// What the clients know.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// COMMIT was answered.
    pub(super) acknowledged: BTreeSet<i64>,
    /// The connection was lost in between, and nobody has asked yet.
    pub(super) lost: BTreeSet<i64>,
    /// What those were told who gave a transaction up and asked at once.
    pub(super) told: Answers,
    /// Transactions that ended with 40001, since somebody had asked.
    pub(super) refused: usize,
}

impl Ledger {
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.acknowledged.append(&mut other.acknowledged);
        self.lost.append(&mut other.lost);
        self.told.committed.append(&mut other.told.committed);
        self.told.aborted.append(&mut other.told.aborted);
        self.told.unknown.append(&mut other.told.unknown);
        self.refused += other.refused;
    }
}

/// What was told, by key.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) committed: BTreeSet<i64>,
    pub(super) aborted: BTreeSet<i64>,
    pub(super) unknown: BTreeSet<i64>,
}

impl Answers {
    /// The first few that were told otherwise than committed.
    pub(super) fn not_committed(&self, count: usize) -> Vec<i64> {
        self.aborted.iter().chain(&self.unknown).take(count).copied().collect()
    }

    /// A member holds the rows of what was told to be committed, and of nothing else. (An unknown one began behind the moment
    /// since which tokens are kept, so it was never committed.)
    pub(super) async fn check(&self, member: &Member) -> Result<()> {
        let rows = member.endpoint().rows("select key from unique_inserts").await?;
        let found: BTreeSet<i64> = rows.into_iter().flatten().flatten().filter_map(|key| key.parse().ok()).collect();
        let name = member.name();
        if let Some(key) = self.committed.difference(&found).next() {
            return fail(format!("{key} was told to be committed, and {name} does not have it"));
        }
        if let Some(key) = self.aborted.intersection(&found).next() {
            return fail(format!("{key} was told to be aborted, and {name} has it"));
        }
        match self.unknown.intersection(&found).next() {
            Some(key) => fail(format!("{key} was told to be unknown, and {name} has it")),
            None => Ok(()),
        }
    }

    fn add(&mut self, key: i64, answer: &str) -> Result<()> {
        let list = match answer {
            "committed" => &mut self.committed,
            "aborted" => &mut self.aborted,
            other if other.starts_with("unknown, tokens are kept since 2") => &mut self.unknown,
            other => return fail(format!("no answer: {other}")),
        };
        list.insert(key);
        Ok(())
    }
}

/// Asks by a prepared statement with a parameter.
pub(super) struct Asker {
    client: Client,
    question: Statement,
}

impl Asker {
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let client = endpoint.connect().await?;
        let question = client.prepare("select raidb.outcome($1)").await?;
        Ok(Self { client, question })
    }

    async fn ask(&self, key: i64) -> Result<String, tokio_postgres::Error> {
        let row = self.client.query_one(&self.question, &[&token(key)]).await?;
        Ok(row.get("outcome"))
    }

    pub(super) async fn ask_all(&mut self, keys: impl Iterator<Item = i64>) -> Result<Answers> {
        let mut answers = Answers::default();
        for key in keys {
            answers.add(key, &self.ask(key).await?)?;
        }
        Ok(answers)
    }
}

fn token(key: i64) -> String {
    format!("transaction-{key}")
}

/// Works until `stop`, or until the proxy is gone.
pub(super) async fn client(endpoint: Endpoint, number: i32, seed: u64, stop: Arc<AtomicBool>) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    let Ok(asker) = Asker::connect(&endpoint).await else { return Ok(ledger) };
    let mut connection = None;
    let mut key = i64::from(number) << 32;
    let mut chance = seed.wrapping_mul(31).wrapping_add(u64::from(number.unsigned_abs()));
    while !stop.load(Ordering::Relaxed) {
        let Some(client) = &connection else {
            connection = endpoint.connect().await.ok();
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        key += 1;
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // One in four is not waited for, at any moment of its life.
        let patience = match chance >> 62 {
            0 => Duration::from_micros((chance >> 40) % 12_000),
            _ => Duration::from_secs(60),
        };
        match timeout(patience, transaction(client, key, number)).await {
            Ok(Ok(())) => drop(ledger.acknowledged.insert(key)),
            Ok(Err(error)) => {
                match error.code().map(|code| code.code()) {
                    None => drop(ledger.lost.insert(key)),
                    // The last: its connection to the lead was cut. It can be asked about like the others.
                    Some(code) if code.starts_with("08") || code.starts_with("57P") || code == "40001" => {
                        let _new = ledger.lost.insert(key);
                    }
                    Some(_) => return Err(Failure::from(error).during(token(key))),
                }
                connection = None;
            }
            Err(_) => {
                let answer = give_up(connection.take(), &asker, &mut ledger, key).await;
                if answer.is_none() {
                    let _new = ledger.lost.insert(key);
                }
            }
        }
    }
    Ok(ledger)
}

/// The connection is given up, or kept open for a while as by a client that hangs; meanwhile somebody asks.
async fn give_up(connection: Option<Client>, asker: &Asker, ledger: &mut Ledger, key: i64) -> Option<()> {
    let kept = connection.filter(|_| key % 2 == 0);
    let answer = asker.ask(key).await.ok()?;
    ledger.told.add(key, &answer).ok()?;
    if let Some(client) = kept {
        // What it says late changes nothing.
        let late = client.batch_execute("commit").await;
        ledger.refused += usize::from(late.is_err_and(|e| e.code().is_some_and(|code| code.code() == "40001")));
        let again = asker.ask(key).await.ok()?;
        if again.split(',').next() != answer.split(',').next() {
            // Told twice, and differently: in both lists, so that one of them is found wrong.
            ledger.told.add(key, &again).ok()?;
        }
    }
    Some(())
}

/// One transaction, by one of the ways in which drivers send one.
async fn transaction(client: &Client, key: i64, number: i32) -> Result<(), tokio_postgres::Error> {
    let token = token(key);
    let insert = format!("insert into unique_inserts values ({key}, {number})");
    match key % 4 {
        0 => {
            client.batch_execute(&format!("begin; set local raidb.token = '{token}'")).await?;
            client.execute("insert into unique_inserts values ($1, $2)", &[&key, &number]).await?;
            client.batch_execute("commit").await
        }
        1 => client.batch_execute(&format!("set raidb.token = '{token}'; {insert}")).await,
        2 => {
            client.execute("set raidb.token = $1", &[&token]).await?;
            client.execute("insert into unique_inserts values ($1, $2)", &[&key, &number]).await?;
            Ok(())
        }
        _ => {
            client.batch_execute("begin").await?;
            client.batch_execute(&insert).await?;
            client.batch_execute(&format!("set raidb.token to '{token}'")).await?;
            client.batch_execute("commit").await
        }
    }
}
