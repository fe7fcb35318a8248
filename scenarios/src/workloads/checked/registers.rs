//! Registers: rows that are read, written and swapped by their key. The history of each one must be one that a single
//! copy could have given (`checkers::linearizable`): no read is stale, no swap succeeds twice.
//!
//! Registers are used for a while and then replaced, so that each history is short; one that no client uses any more is
//! judged and forgotten, so a run may last for hours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use super::{Broken, Course, Session, Workload, named};
use crate::checkers::linearizable::{Action, Operation, Verdict, judge};
use crate::sql::Endpoint;
use crate::workloads::Ended;
use crate::{Failure, Result, Summary, fail};

/// Registers that are in use at one time.
const HOT_KEYS: u64 = 4;
/// Operations that a register gets, about, before another one takes its place.
const HISTORY_LENGTH: u64 = 80;
/// Values are numbered by client, and so many of each client differ.
const VALUES: i64 = 100_000_000;
/// Operations of a history that a failure shows.
const SHOWN: usize = 120;

/// The load.
#[derive(Debug, Default)]
pub struct Registers {
    /// Moments, each given out once.
    clock: AtomicU64,
    /// Operations that were begun: they say which registers are in use.
    begun: AtomicU64,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// By register.
    histories: BTreeMap<i64, Vec<Operation>>,
    /// By client, the first of the registers that it uses; none, when it has ended.
    uses: BTreeMap<usize, i64>,
    judged: u64,
    swaps: u64,
}

impl Workload for Registers {
    fn tables(&self) -> String {
        format!("create table {}(k bigint primary key, v bigint not null)", named("register"))
    }

    async fn client(&self, course: &Course, number: usize) -> Result<()> {
        let mut client = Client {
            registers: self,
            course,
            number,
            chance: course.chance(number),
            session: Session::new(course, number),
            value: number as i64 * VALUES,
            seen: BTreeMap::new(),
        };
        while course.goes_on() {
            client.session.ready().await?;
            client.one().await;
        }
        self.notes().uses.remove(&number);
        Ok(())
    }

    async fn check(&self, course: &Course, endpoint: &Endpoint) -> Result<()> {
        let rows = endpoint.rows(&format!("select k, v from {}", named("register"))).await?;
        let number = |text: &Option<String>| text.as_deref().unwrap_or_default().parse::<i64>().map_err(Failure::from);
        let values: BTreeMap<i64, i64> =
            rows.iter().map(|row| Ok((number(&row[0])?, number(&row[1])?))).collect::<Result<_>>()?;
        let histories = self.notes().histories.clone();
        for (key, mut history) in histories {
            // What a member holds in the end is one more read.
            let (called, returned) = (self.tick(), Some(self.tick()));
            let action = Action::Read(values.get(&key).copied());
            history.push(Operation { called, returned, action, client: usize::MAX });
            self.judge(key, &history).map_err(|error| error.during(endpoint.shown()))?;
        }
        course.verdict()
    }

    fn figures(&self, summary: Summary) -> Summary {
        let notes = self.notes();
        summary.with("registers", notes.judged + notes.histories.len() as u64).with("swaps", notes.swaps)
    }
}

impl Registers {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// The first of the registers that are in use. Judges those that nobody uses any more.
    fn enter(&self, course: &Course, client: usize) -> i64 {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst);
        let first = (begun / (HOT_KEYS * HISTORY_LENGTH) * HOT_KEYS) as i64;
        let past = {
            let mut notes = self.notes();
            if notes.uses.insert(client, first) == Some(first) {
                return first;
            }
            let oldest = notes.uses.values().min().copied().unwrap_or(first);
            let left = notes.histories.split_off(&oldest);
            std::mem::replace(&mut notes.histories, left)
        };
        for (key, history) in &past {
            if let Err(failure) = self.judge(*key, history) {
                course.wrong(failure.to_string());
            }
        }
        self.notes().judged += past.len() as u64;
        first
    }

    fn judge(&self, key: i64, history: &[Operation]) -> Result<()> {
        let shown = || {
            let mut all = history.to_vec();
            all.sort_by_key(|operation| operation.called);
            all.iter().take(SHOWN).map(|operation| format!("  {operation}\n")).collect::<String>()
        };
        match judge(history) {
            Verdict::Linearizable => Ok(()),
            Verdict::Not(longest) => fail(format!(
                "register {key} was not one copy: at most {longest} of {} operations can be put in order:\n{}",
                history.len(),
                shown()
            )),
            Verdict::Undecided => fail(format!("no verdict on register {key}:\n{}", shown())),
        }
    }
}

struct Client<'a> {
    registers: &'a Registers,
    course: &'a Course,
    number: usize,
    chance: StdRng,
    session: Session<'a>,
    /// The last value that was written.
    value: i64,
    /// What was last seen of a register: swaps expect it.
    seen: BTreeMap<i64, i64>,
}

impl Client<'_> {
    /// One operation, by itself or in a block of its own.
    async fn one(&mut self) {
        let key = self.registers.enter(self.course, self.number) + self.chance.random_range(0..HOT_KEYS) as i64;
        let is_block = self.chance.random_bool(0.3);
        self.value += 1;
        let form = self.chance.random_range(0..10);
        let wanted = match (form, self.seen.get(&key)) {
            (0..4, _) => Action::Read(None),
            (4..7, Some(old)) => Action::Swap { old: *old, new: self.value, done: None },
            _ => Action::Write(self.value),
        };
        let (called, began) = (self.registers.tick(), Instant::now());
        let (told, result) = self.run(key, wanted, is_block).await;
        let ended = self.session.end(began, result).await;
        let returned = self.registers.tick();
        let action = match (&ended, told) {
            (Ended::Done, Some(told)) => told,
            (Ended::Unknown(_) | Ended::Unexpected(_), _) if !matches!(wanted, Action::Read(_)) => wanted,
            _ => return,
        };
        let returned = matches!(ended, Ended::Done).then_some(returned);
        let operation = Operation { called, returned, action, client: self.number };
        self.remember(key, operation);
    }

    /// Runs it; returns what was told as well, if all was answered.
    async fn run(&self, key: i64, wanted: Action, is_block: bool) -> (Option<Action>, Result<Ended, Broken>) {
        let mut told = None;
        let result = async {
            if is_block {
                self.session.execute("begin").await?;
            }
            // By itself a statement commits: then its error leaves the outcome open.
            let error = if is_block { Broken::Before } else { Broken::Commit };
            told = Some(self.act(key, wanted).await.map_err(error)?);
            if is_block { self.session.commit().await } else { Ok(Ended::Done) }
        };
        let result = result.await;
        (told, result)
    }

    async fn act(&self, key: i64, wanted: Action) -> Result<Action, tokio_postgres::Error> {
        let table = named("register");
        match wanted {
            Action::Read(_) => {
                let values = self.session.values(&format!("select v from {table} where k = {key}")).await?;
                Ok(Action::Read(values.first().copied()))
            }
            Action::Write(value) => {
                let upsert =
                    format!("insert into {table} values ({key}, {value}) on conflict (k) do update set v = excluded.v");
                self.session.count(&upsert).await?;
                Ok(wanted)
            }
            Action::Swap { old, new, .. } => {
                let swap = format!("update {table} set v = {new} where k = {key} and v = {old}");
                let done = Some(self.session.count(&swap).await? == 1);
                Ok(Action::Swap { old, new, done })
            }
        }
    }

    fn remember(&mut self, key: i64, operation: Operation) {
        match operation.action {
            Action::Read(Some(value)) | Action::Write(value) => drop(self.seen.insert(key, value)),
            Action::Swap { new, done: Some(true), .. } => drop(self.seen.insert(key, new)),
            // It is something else now, nobody knows what: another expectation would come true never.
            Action::Read(None) | Action::Swap { .. } => drop(self.seen.remove(&key)),
        }
        self.seen = self.seen.split_off(&(key - key % HOT_KEYS as i64));
        self.course.note(|| json!({"key": key, "operation": operation.to_string()}));
        let mut notes = self.registers.notes();
        notes.swaps += u64::from(matches!(operation.action, Action::Swap { done: Some(true), .. }));
        notes.histories.entry(key).or_default().push(operation);
    }
}
