//! A bank: money moves between accounts and is never made nor lost. Every read, on whichever member, shows the same total.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use super::session::keys;
use super::{Broken, Course, Session, Workload, named};
use crate::checkers::isolation::Level;
use crate::sql::Endpoint;
use crate::workloads::Ended;
use crate::workloads::unique_inserts::Journal;
use crate::{Result, Summary, fail};

/// Accounts: few, so that transfers meet.
const ACCOUNTS: i64 = 12;
/// What each of them has at first.
const BALANCE: i64 = 100;
/// Share of the transactions that read.
const READS: f64 = 0.5;
/// Largest transfer: some are more than an account has, and are rolled back.
const AMOUNT_MAX: i64 = 60;
/// Share of the transfers that take their two rows against the order, so that there are deadlocks.
const AGAINST_ORDER: f64 = 0.05;

/// The load.
#[derive(Debug, Default)]
pub struct Bank {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    journal: Journal,
    reads: u64,
    /// Transfers that were done, by level.
    transfers: BTreeMap<&'static str, u64>,
}

struct Transfer {
    key: i64,
    source: i64,
    target: i64,
    amount: i64,
    level: Level,
    is_ordered: bool,
}

impl Workload for Bank {
    fn tables(&self) -> String {
        let (account, transfer) = (named("account"), named("transfer"));
        format!(
            "create table {account}(id bigint primary key, balance bigint not null); \
             insert into {account} select g, {BALANCE} from generate_series(1, {ACCOUNTS}) g; \
             create table {transfer}(key bigint primary key, source bigint not null, target bigint not null, \
             amount bigint not null)"
        )
    }

    async fn client(&self, course: &Course, number: usize) -> Result<()> {
        let mut chance = course.chance(number);
        let mut session = Session::new(course, number);
        let mut key = (number as i64) << 32;
        while course.goes_on() {
            session.ready().await?;
            let began = Instant::now();
            if chance.random_bool(READS) {
                let (sql, result) = read(&session, &mut chance).await;
                let (balances, result) = match result {
                    Ok(balances) => (balances, Ok(Ended::Done)),
                    // Nothing of a read is unknown, also where its COMMIT was not answered.
                    Err(Broken::Commit(error) | Broken::Before(error)) => (Vec::new(), Err(Broken::Before(error))),
                    Err(wrong) => (Vec::new(), Err(wrong)),
                };
                if let Ended::Done = session.end(began, result).await {
                    self.look(course, number, &sql, &balances);
                }
                continue;
            }
            key += 1;
            let transfer = Transfer::draw(key, &mut chance);
            let result = transfer.run(&session).await;
            let ended = session.end(began, result).await;
            self.book(course, &transfer, &ended);
        }
        Ok(())
    }

    async fn check(&self, _course: &Course, endpoint: &Endpoint) -> Result<()> {
        let found = keys(endpoint, &format!("select key from {}", named("transfer"))).await?;
        self.notes().journal.compare(&endpoint.shown(), &found)?;
        let wrong = endpoint.value(&books()).await?;
        if wrong == "0" {
            Ok(())
        } else {
            fail(format!("{}: {wrong} accounts do not have what their transfers gave", endpoint.shown()))
        }
    }

    fn figures(&self, summary: Summary) -> Summary {
        let notes = self.notes();
        let transfers = notes.transfers.iter().map(|(level, count)| format!("{level}:{count}"));
        summary.with("reads", notes.reads).with("transfers", transfers.collect::<Vec<_>>().join(","))
    }
}

impl Bank {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a read saw.
    fn look(&self, course: &Course, client: usize, sql: &str, balances: &[i64]) {
        self.notes().reads += 1;
        let total: i64 = balances.iter().sum();
        course.note(|| json!({"client": client, "read": sql, "balances": balances}));
        if total != ACCOUNTS * BALANCE {
            course.wrong(format!(
                "client {client} read a total of {total}, not {}: {balances:?}, {sql}",
                ACCOUNTS * BALANCE
            ));
        }
    }

    fn book(&self, course: &Course, transfer: &Transfer, ended: &Ended) {
        let mut notes = self.notes();
        match ended {
            Ended::Done => {
                *notes.transfers.entry(transfer.level.short()).or_default() += 1;
                notes.journal.acknowledged.insert(transfer.key);
            }
            Ended::RolledBack | Ended::NotDone(_) => drop(notes.journal.refused.insert(transfer.key)),
            Ended::Unknown(_) | Ended::Unexpected(_) => drop(notes.journal.unknown.insert(transfer.key)),
        }
        course.note(|| {
            let Transfer { key, source, target, amount, level, .. } = transfer;
            let level = level.short();
            json!({"key": key, "source": source, "target": target, "amount": amount, "level": level, "ended": format!("{ended:?}")})
        });
    }
}

impl Transfer {
    fn draw(key: i64, chance: &mut StdRng) -> Self {
        let source = chance.random_range(1..=ACCOUNTS);
        let target = (source - 1 + chance.random_range(1..ACCOUNTS)) % ACCOUNTS + 1;
        Self {
            key,
            source,
            target,
            amount: chance.random_range(1..=AMOUNT_MAX),
            level: Level::ALL[chance.random_range(0..Level::ALL.len())],
            is_ordered: !chance.random_bool(AGAINST_ORDER),
        }
    }

    /// Balances are written as values that were computed here: whoever overwrote another one's would be seen.
    async fn run(&self, session: &Session<'_>) -> Result<Ended, Broken> {
        let Self { key, source, target, amount, .. } = self;
        session.execute(&format!("begin isolation level {}", self.level.sql())).await?;
        let mut rows = [*source, *target];
        if self.is_ordered {
            rows.sort_unstable();
        }
        // Under READ COMMITTED nothing but the lock keeps another one from changing what was read.
        let locks = if self.level == Level::ReadCommitted { " for update" } else { "" };
        let mut balances = BTreeMap::new();
        for id in rows {
            let sql = format!("select balance from {} where id = {id}{locks}", named("account"));
            let [balance] = session.values(&sql).await?[..] else {
                return Err(Broken::Wrong(format!("not one row from {sql}")));
            };
            balances.insert(id, balance);
        }
        if balances[source] < *amount {
            return session.roll_back().await;
        }
        for id in rows {
            let balance = balances[&id] + if id == *source { -amount } else { *amount };
            session.change_one(&format!("update {} set balance = {balance} where id = {id}", named("account"))).await?;
        }
        let values = format!("({key}, {source}, {target}, {amount})");
        session.change_one(&format!("insert into {} values {values}", named("transfer"))).await?;
        session.commit().await
    }
}

/// All balances: by one statement, or by two in one snapshot. Returns what was run as well.
async fn read(session: &Session<'_>, chance: &mut StdRng) -> (String, Result<Vec<i64>, Broken>) {
    let form = chance.random_range(0..4);
    let level = Level::ALL[chance.random_range(1..Level::ALL.len())];
    let account = named("account");
    let (sql, second) = match form {
        0 => (format!("select sum(balance)::bigint from {account}"), None),
        1 => (format!("select balance from {account} order by id"), None),
        _ => {
            let half = ACCOUNTS / 2;
            let of = |condition: &str| format!("select balance from {account} where id {condition} {half}");
            (of("<="), Some(of(">")))
        }
    };
    let Some(second) = second else {
        let balances = session.values(&sql).await.map_err(Broken::Before);
        return (sql, balances);
    };
    let balances = async {
        session.execute(&format!("begin isolation level {}, read only", level.sql())).await?;
        let mut balances = session.values(&sql).await?;
        balances.extend(session.values(&second).await?);
        // What a serializable transaction has read counts only if it commits.
        session.commit().await?;
        Ok(balances)
    };
    let balances = balances.await;
    (format!("{sql}; {second} ({})", level.sql()), balances)
}

/// Accounts that do not have what they had at first and what transfers gave and took.
fn books() -> String {
    let sum =
        |column: &str| format!("coalesce((select sum(amount) from {} where {column} = id), 0)", named("transfer"));
    let account = named("account");
    format!(
        "select count(*)::text from {account} where balance <> {BALANCE} + {} - {} or balance < 0",
        sum("target"),
        sum("source")
    )
}
