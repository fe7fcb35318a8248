//! Loads that judge themselves: clients that write down what they are told, and a check of it. They use one schema of
//! their own, nothing but SQL, and one endpoint, so they run against any installation.

pub mod bank;
pub mod inserts;
pub mod locks;
pub mod messages;
pub mod registers;
mod session;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use super::Ended;
use crate::sql::Endpoint;
use crate::timeline::Timeline;
use crate::{Options, Result, Summary, fail};

pub(crate) use session::{Broken, Session};

/// The schema that holds all tables of these loads.
pub const SCHEMA: &str = "raidb_scenarios";
/// Wrong things that are told in full.
const WRONG_MAX: usize = 20;
/// Kinds of unknown outcomes that are told apart.
const UNKNOWN_KINDS_MAX: usize = 20;

/// A load and its check.
pub trait Workload: Send + Sync {
    /// Statements that make and fill its tables in [`SCHEMA`].
    fn tables(&self) -> String;

    /// One client, until the course is over. What it finds wrong by itself goes to [`Course::wrong`].
    ///
    /// # Errors
    /// There is no server for longer than the limit.
    fn client(&self, course: &Course, number: usize) -> impl Future<Output = Result<()>> + Send;

    /// When all clients have ended: what the database that `endpoint` leads to holds, against what clients were told.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self, course: &Course, endpoint: &Endpoint) -> impl Future<Output = Result<()>> + Send;

    /// Its own figures.
    fn figures(&self, summary: Summary) -> Summary;
}

/// What clients were told, in sums.
#[derive(Debug, Default)]
struct Told {
    done: u64,
    rolled_back: u64,
    aborted: BTreeMap<String, u64>,
    unknown: BTreeMap<String, u64>,
    wrong: Vec<String>,
    history: Option<BufWriter<File>>,
}

/// One run of a load: where, how long, and what was told.
#[derive(Debug)]
pub struct Course {
    endpoint: Endpoint,
    seed: u64,
    clients: usize,
    start: Instant,
    until: Instant,
    timeline: Timeline,
    told: Mutex<Told>,
}

impl Course {
    /// A run that begins now. The history goes to that file, if there is one.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn begin(endpoint: Endpoint, options: &Options, history: Option<&Path>) -> Result<Self> {
        let length = Duration::from_secs(options.seconds);
        let history = history.map(File::create).transpose()?.map(BufWriter::new);
        options.timeline.begin(length);
        let start = Instant::now();
        Ok(Self {
            endpoint,
            seed: options.seed,
            clients: options.clients,
            start,
            until: start + length,
            timeline: options.timeline.clone(),
            told: Mutex::new(Told { history, ..Told::default() }),
        })
    }

    /// All clients of a load, to their end.
    ///
    /// # Errors
    /// A client's.
    pub async fn run(&self, workload: &impl Workload) -> Result<()> {
        try_join_all((0..self.clients).map(|number| workload.client(self, number))).await?;
        Ok(())
    }

    /// False when clients are to end.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// The chance of one client.
    #[must_use]
    pub fn chance(&self, number: usize) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1000).wrapping_add(number as u64))
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Something that no single database would have done.
    pub fn wrong(&self, text: String) {
        let mut told = self.told();
        if told.wrong.len() < WRONG_MAX {
            told.wrong.push(text);
        }
    }

    /// A line of the history, if it is kept.
    pub fn note(&self, line: impl FnOnce() -> Value) {
        let mut told = self.told();
        if let Some(file) = &mut told.history {
            // A history that cannot be written ends; the run is not about it.
            if writeln!(file, "{}", line()).is_err() {
                told.history = None;
            }
        }
    }

    /// Books how a transaction that began at `began` has ended.
    pub fn book(&self, began: Instant, ended: &Ended) {
        match ended {
            Ended::Done | Ended::RolledBack => self.timeline.done(began),
            Ended::NotDone(_) | Ended::Unknown(_) | Ended::Unexpected(_) => self.timeline.failed(),
        }
        let mut told = self.told();
        match ended {
            Ended::Done => told.done += 1,
            Ended::RolledBack => told.rolled_back += 1,
            Ended::NotDone(code) => *told.aborted.entry(code.clone()).or_default() += 1,
            Ended::Unknown(why) => {
                let is_full = told.unknown.len() >= UNKNOWN_KINDS_MAX;
                let why = if is_full { "others" } else { why.as_str() };
                *told.unknown.entry(why.to_owned()).or_default() += 1;
            }
            Ended::Unexpected(text) => {
                drop(told);
                self.wrong(format!("an answer that one database would not give: {text}"));
            }
        }
    }

    /// Fails if anything was wrong, or nothing was done.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn verdict(&self) -> Result<()> {
        let told = self.told();
        if !told.wrong.is_empty() {
            return fail(format!("{} things are wrong:\n{}", told.wrong.len(), told.wrong.join("\n")));
        }
        if told.done == 0 { fail("not one transaction was done") } else { Ok(()) }
    }

    /// The figures that all loads have.
    #[must_use]
    pub fn figures(&self) -> Summary {
        let told = self.told();
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        let millis = |share| self.timeline.latency(share).map_or(0.0, |latency| latency.as_secs_f64() * 1e3);
        Summary::default()
            .with("done", told.done)
            .with("rolled_back", told.rolled_back)
            .with("aborted", sum(&told.aborted))
            .with("unknown", sum(&told.unknown))
            .with("p50_ms", format!("{:.1}", millis(0.5)))
            .with("p99_ms", format!("{:.1}", millis(0.99)))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name in the loads' schema.
fn named(table: &str) -> String {
    format!("{SCHEMA}.{table}")
}
