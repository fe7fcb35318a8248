//! The Java program that produces and consumes, as it reports.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clients::JavaProcess;
use crate::timeline::Timeline;
use crate::workloads::activemq::ActiveMq;
use crate::{Failure, Result, fail};

/// Pause of a producer between two messages.
const PAUSE: Duration = Duration::from_millis(10);

/// A message that came twice though no client had lost its connection.
#[derive(Clone, Debug)]
pub(super) struct Doubled {
    pub id: String,
    /// When it was sent.
    pub from: SystemTime,
    /// When it came for the first time.
    pub to: SystemTime,
}

impl Doubled {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let mut time = || Some(UNIX_EPOCH + Duration::from_millis(words.next()?.parse().ok()?));
        Some(Self { id, from: time()?, to: time()? })
    }
}

#[derive(Debug, Default)]
struct Told {
    sent: u64,
    received: u64,
    has_produced: bool,
    result: Option<String>,
    problems: Vec<String>,
    doubled: Vec<Doubled>,
    /// How it ended, and the end of its log.
    ended: Option<String>,
}

/// The program, read by a task. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Client {
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

impl Client {
    pub(super) fn start(
        programs: &ActiveMq,
        ports: [u16; 2],
        length: Duration,
        (folder, timeline): (&Path, Timeline),
    ) -> Result<Self> {
        let process = programs.faults_load(ports, (length, PAUSE), &folder.join("activemq-load.log"))?;
        let told = Arc::new(Mutex::new(Told::default()));
        let task = tokio::spawn(read(process, Arc::clone(&told), timeline));
        Ok(Self { told, task })
    }

    /// False when producers have ended.
    pub(super) fn is_producing(&self) -> bool {
        !self.told().has_produced
    }

    /// Waits until more messages have been sent, and more received, than now.
    pub(super) async fn moves(&self, limit: Duration) -> Result<()> {
        let (start, before) = (Instant::now(), self.counts());
        loop {
            let now = self.counts();
            if (now.0 > before.0 && now.1 > before.1) || !self.is_producing() {
                return Ok(());
            }
            self.expect_alive()?;
            if start.elapsed() > limit {
                return fail(format!("no message sent and received for {limit:?}: {now:?} so far"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for its end; returns its figures.
    pub(super) async fn result(&self, limit: Duration) -> Result<String> {
        let start = Instant::now();
        while self.told().ended.is_none() {
            if start.elapsed() > limit {
                return fail(format!("the client did not end within {limit:?}, {:?} so far", self.counts()));
            }
            sleep(Duration::from_millis(50)).await;
        }
        let told = self.told();
        let result = told.result.clone().unwrap_or_else(|| "no result".to_owned());
        match (&told.result, told.problems.is_empty()) {
            (Some(_), true) => Ok(result),
            _ => fail(format!("{result}\n{}\n{}", told.problems.join("\n"), told.ended.clone().unwrap_or_default())),
        }
    }

    /// Messages that came twice, and why is not known to the program.
    pub(super) fn doubled(&self) -> Vec<Doubled> {
        self.told().doubled.clone()
    }

    fn expect_alive(&self) -> Result<()> {
        match &self.told().ended {
            Some(how) => Err(Failure::new(format!("the client has ended: {how}"))),
            None => Ok(()),
        }
    }

    fn counts(&self) -> (u64, u64) {
        let told = self.told();
        (told.sent, told.received)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(mut process: JavaProcess, told: Arc<Mutex<Told>>, timeline: Timeline) {
    while let Ok(Some(line)) = process.next_line().await {
        let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let mut told = lock(&told);
        match what {
            "PROGRESS" => {
                let mut figures = rest.split(' ').map(|figure| figure.parse::<u64>().unwrap_or_default());
                let mut next = || figures.next().unwrap_or_default();
                let (sent, received, micros) = (next(), next(), next());
                if let Some(began) = Instant::now().checked_sub(Duration::from_micros(micros)) {
                    (told.sent..sent).for_each(|_| timeline.done(began));
                }
                (told.sent, told.received) = (sent, received);
            }
            "PRODUCED" => told.has_produced = true,
            "RESULT" => told.result = Some(rest.to_owned()),
            "DOUBLED" => told.doubled.extend(Doubled::read(rest)),
            "PROBLEM" => told.problems.push(rest.to_owned()),
            _ => {}
        }
    }
    lock(&told).ended = Some(process.log_tail());
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
