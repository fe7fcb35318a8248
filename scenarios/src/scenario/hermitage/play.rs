//! Plays one case: each session a connection, each step answered or seen to wait before the next one is sent.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::cases::Case;
use crate::checkers::isolation::Level;
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::sql::{Endpoint, rows};
use crate::{Result, fail};

/// Longest wait until a step is answered or seen to wait for a lock.
const SEEN_LIMIT: Duration = Duration::from_secs(10);
/// Time between two looks.
const EVERY: Duration = Duration::from_millis(5);
/// A session waits if it was seen to wait so many times in a row: a lock that is free in a moment does not count.
const LOOKS: u32 = 3;
/// Most sessions of a case, the one that looks on included.
const SESSIONS: usize = 4;

/// How steps are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Simple,
    Extended,
}

/// One step as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    session: usize,
    sql: String,
    /// Rows, tag or error.
    answer: String,
    /// Number of the later step behind which the answer came.
    waited_until: Option<usize>,
}

impl Step {
    pub(super) fn has_waited(&self) -> bool {
        self.waited_until.is_some()
    }

    pub(super) fn is_error(&self) -> bool {
        self.answer.starts_with("ERROR")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, sql, answer, waited_until } = self;
        write!(f, "T{session}: {sql} -> {answer}")?;
        waited_until.map_or(Ok(()), |step| write!(f, " (waited until step {step})"))
    }
}

/// Where cases are played: an endpoint, and the server that decides who waits.
pub(super) struct Stage {
    endpoint: Endpoint,
    /// To the one server, or the lead.
    server: Client,
    props: Client,
}

/// A session's connection.
enum Seat {
    Empty,
    Idle(Raw),
    /// Its step, and the task that waits for the answer.
    Busy(usize, JoinHandle<Result<(Raw, String)>>),
}

impl Stage {
    pub(super) async fn set(cluster: &Cluster) -> Result<Self> {
        let endpoint = cluster.endpoint();
        endpoint.execute("create table test(id int primary key, value int)").await?;
        let lead = if cluster.proxy.is_some() { cluster.lead().await? } else { 0 };
        let server = cluster.members[lead].endpoint().connect().await?;
        let props = endpoint.connect().await?;
        Ok(Self { endpoint, server, props })
    }

    /// Plays it, and returns what each step came to.
    pub(super) async fn play(&self, case: &Case, level: Level, protocol: Protocol) -> Result<Vec<Step>> {
        let fresh = "begin; delete from test; insert into test(id, value) values (1, 10), (2, 20); commit";
        self.props.batch_execute(fresh).await?;
        let mut play = Play { stage: self, protocol, seats: [const { Seat::Empty }; SESSIONS], steps: Vec::new() };
        for session in 0..SESSIONS {
            if case.steps.iter().any(|(speaker, _)| *speaker == session) {
                play.enter(session, level).await?;
            }
        }
        for (session, sql) in case.steps {
            let done = play.step(*session, sql).await;
            done.map_err(|failure| failure.during(format!("{} {level:?} {protocol:?}: {play}", case.name)))?;
        }
        let waiting = play.seats.iter().filter(|seat| matches!(seat, Seat::Busy(..))).count();
        if waiting > 0 {
            return fail(format!("{} {level:?} {protocol:?}: {waiting} sessions wait in the end: {play}", case.name));
        }
        Ok(play.steps)
    }

    async fn waits(&self, session: usize) -> Result<bool> {
        let sql = format!(
            "select 1 from pg_stat_activity where application_name = '{}' and wait_event_type = 'Lock' \
             and pg_blocking_pids(pid) <> '{{}}'",
            name(session)
        );
        Ok(!rows(&self.server, &sql).await?.is_empty())
    }
}

/// Name of a session on the servers.
fn name(session: usize) -> String {
    format!("hermitage {session}")
}

struct Play<'a> {
    stage: &'a Stage,
    protocol: Protocol,
    seats: [Seat; SESSIONS],
    steps: Vec<Step>,
}

impl fmt::Display for Play<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().zip(1..).try_for_each(|(step, number)| write!(f, "\n  {number}. {step}"))
    }
}

impl Play<'_> {
    async fn enter(&mut self, session: usize, level: Level) -> Result<()> {
        let mut raw = Raw::connect(&self.stage.endpoint, &[("application_name", &name(session))]).await?;
        if session > 0 {
            let begin = format!("begin isolation level {}", level.sql());
            let answer = say(&mut raw, &begin, self.protocol).await?;
            if answer != "BEGIN" {
                return fail(format!("{begin}: {answer}"));
            }
        }
        self.seats[session] = Seat::Idle(raw);
        Ok(())
    }

    /// Sends one step, and waits until every session has its answer or waits for a lock.
    async fn step(&mut self, session: usize, sql: &'static str) -> Result<()> {
        let number = self.steps.len();
        self.steps.push(Step { session, sql: sql.to_owned(), answer: "no answer".to_owned(), waited_until: None });
        let Seat::Idle(mut raw) = std::mem::replace(&mut self.seats[session], Seat::Empty) else {
            return fail(format!("T{session} has no answer to its step before"));
        };
        let protocol = self.protocol;
        let task = tokio::spawn(async move {
            let answer = say(&mut raw, sql, protocol).await?;
            Ok((raw, answer))
        });
        self.seats[session] = Seat::Busy(number, task);
        // The speaker first: only behind its answer can it be told who still waits for it.
        self.settle(session, number).await?;
        for other in 0..SESSIONS {
            self.settle(other, number).await?;
        }
        Ok(())
    }

    /// Waits until the session has the answer to what it said, which came behind step `now`, or waits for a lock.
    async fn settle(&mut self, session: usize, now: usize) -> Result<()> {
        let stage = self.stage;
        let Seat::Busy(step, task) = &mut self.seats[session] else {
            return Ok(());
        };
        let (step, start, mut looks) = (*step, Instant::now(), 0);
        while !task.is_finished() {
            if looks == LOOKS {
                return Ok(());
            }
            if start.elapsed() > SEEN_LIMIT {
                return fail(format!("T{session} has no answer after {SEEN_LIMIT:?} and waits for no lock"));
            }
            sleep(EVERY).await;
            looks = if stage.waits(session).await? { looks + 1 } else { 0 };
        }
        let (raw, answer) = task.await??;
        self.steps[step].answer = answer;
        self.steps[step].waited_until = (step != now).then_some(now + 1);
        self.seats[session] = Seat::Idle(raw);
        Ok(())
    }
}

/// Sends one statement and returns its rows and tag, or its error.
async fn say(raw: &mut Raw, sql: &str, protocol: Protocol) -> Result<String> {
    match protocol {
        Protocol::Simple => raw.query(sql.as_bytes()).await?,
        Protocol::Extended => {
            raw.send(b'P', format!("\0{sql}\0\0\0").as_bytes()).await?;
            raw.send(b'B', &[0; 8]).await?;
            raw.send(b'E', &[0; 5]).await?;
            raw.send(b'S', b"").await?;
        }
    }
    Ok(raw.until(b'Z').await?.iter().filter_map(told).collect::<Vec<_>>().join(" "))
}

/// What of a message counts: rows, tags, errors and notices with their texts.
fn told(message: &Message) -> Option<String> {
    match message.kind {
        b'D' => Some(row(&message.body)),
        b'C' => Some(String::from_utf8_lossy(&message.body).trim_end_matches('\0').to_owned()),
        b'E' | b'N' => {
            let field = |kind| message.field(kind).unwrap_or_default();
            Some(format!("{} {}: {}", field(b'S'), field(b'C'), field(b'M')))
        }
        _ => None,
    }
}

/// The columns of a DataRow.
fn row(body: &[u8]) -> String {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut columns = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let Some((column, behind)) = behind.split_at_checked(length.unwrap_or_default()) else { break };
        columns.push(length.map_or("null".into(), |_| String::from_utf8_lossy(column)));
        rest = behind;
    }
    format!("({})", columns.join(","))
}
