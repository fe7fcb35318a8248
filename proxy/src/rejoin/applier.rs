//! Runs intents on one member, in order, each in one transaction with its marker.
//!
//! Several intents make one transaction. All their statements go out in one pipeline; the markers and COMMIT follow only
//! when every answer is what the lead had answered. If one differs, everything is rolled back and each intent is
//! run alone, to find the one that differs.
//!
//! Intents of sessions with other settings, and those with savepoints, cannot share a transaction, and a flush for each of
//! them would make the member no faster than those that it has to catch up with. So a member that is not in use yet commits
//! without waiting for its disk ([`Flushes::Later`]); whoever takes it into use flushes all of it before, on a connection
//! that is older than the first of these commits: a server that has been restarted in between is noticed by that. A crash
//! before loses rows together with their markers, and the next replay brings both.

use std::collections::HashMap;
use std::fmt::Write;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::log::{Context, Intent, IntentEntry, IntentStatement, Position, RecordKind};

use super::RejoinError;
use crate::fault_points::{FaultPoint, FaultPoints};
use crate::members::pg::connect;
use crate::members::pg::link::{Link, Owner, UnitOutcome};
use crate::members::pg::maintenance::{Maintenance, QueryError};
use crate::members::pg::target::{Login, StartupParameters, Target};
use crate::virtual_database::journal::Journal;
use crate::virtual_database::settings::MEMBER_FRAMES;
use crate::wire::{WireError, encode};

/// Followers always run READ COMMITTED, and no limit of a session applies here; locks are waited for as long as [`BATCH_LIMIT`].
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;SET LOCAL statement_timeout=0;\
     SET LOCAL lock_timeout=300000;SET LOCAL idle_in_transaction_session_timeout=0;SET LOCAL synchronous_commit=on";
/// The same, for commits that are flushed later.
const BEGIN_FLUSHED_LATER: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;SET LOCAL statement_timeout=0;\
     SET LOCAL lock_timeout=300000;SET LOCAL idle_in_transaction_session_timeout=0;SET LOCAL synchronous_commit=off";
/// Undoes what settings of an earlier context have changed.
const RESET: [&str; 3] = ["RESET SESSION AUTHORIZATION", "RESET ALL", "DEALLOCATE ALL"];
/// Most intents of one transaction.
pub const BATCH_INTENTS_MAX: usize = 256;
/// Statement bytes after which a transaction takes no further intent.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Statements prepared on a connection; at the limit all are forgotten.
const PREPARED_MAX: usize = 256;
/// A transaction of several intents may take so long. One intent may take as long as it needs (a COPY, an index), as long as the
/// member answers.
const BATCH_LIMIT: Duration = Duration::from_secs(300);
/// How often it is asked.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// An intent with its position.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Where it stands in the log.
    pub position: Position,
    /// What it is.
    pub intent: Intent,
}

/// When the member's commits are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushes {
    /// Each before its answer, as the member is configured.
    Each,
    /// Some time later: see the module.
    Later,
}

impl Flushes {
    /// What opens a transaction, and how many command tags it answers with.
    fn begin(self) -> (&'static str, usize) {
        let text = match self {
            Flushes::Each => BEGIN,
            Flushes::Later => BEGIN_FLUSHED_LATER,
        };
        (text, text.split(';').count())
    }
}

/// See the module.
pub struct Applier<'j> {
    target: Target,
    /// The member's own, and those of users that are mapped.
    logins: Vec<Login>,
    journal: &'j Journal,
    within: Duration,
    connections: HashMap<ConnectionKey, Connection>,
    /// See [`Flushes`]; from the next transaction on.
    pub flushes: Flushes,
    /// Where a test makes something fail.
    pub faults: FaultPoints,
}

type ConnectionKey = (Option<Vec<u8>>, Vec<(Vec<u8>, Vec<u8>)>);

struct Connection {
    link: Link,
    /// The context's settings that are in force; `None`: intents have changed others, and nobody knows what is.
    settings: Option<Vec<Vec<u8>>>,
    /// Text and types → name.
    prepared: HashMap<(Vec<u8>, Vec<u8>), Bytes>,
    /// Number of the next name; none is used twice.
    next_name: u64,
}

/// What a unit must answer.
struct Expected {
    /// Tags before those of entries.
    hidden: usize,
    /// Position, text and tag of each entry.
    entries: Vec<(Position, Vec<u8>, Option<Vec<u8>>)>,
}

impl<'j> Applier<'j> {
    /// An applier for a member that is not in use yet; the first login is the member's own.
    #[must_use]
    pub fn new(target: Target, logins: Vec<Login>, journal: &'j Journal, within: Duration) -> Self {
        let (connections, faults) = (HashMap::new(), FaultPoints::default());
        Applier { target, logins, journal, within, connections, flushes: Flushes::Later, faults }
    }

    /// Runs these intents, in order. Behind an error, those before it may be applied; the markers tell.
    ///
    /// # Errors
    /// [`RejoinError`].
    ///
    /// # Cancel safety
    /// A dropped call may have applied any number of them; the markers tell.
    pub async fn apply(&mut self, decided: &[Decided], table: u8) -> Result<(), RejoinError> {
        let mut rest = decided;
        while let Some(first) = rest.first() {
            let together = batch_length(rest);
            let (batch, behind) = rest.split_at(together);
            let context = &first.intent.context;
            match self.run_in_time(context, batch, table).await {
                // Behind DDL the types of open parameters may be others.
                Ok(()) if batch.iter().any(|d| d.intent.entries.iter().any(names_state)) => {
                    self.connections.values_mut().for_each(Connection::forget_prepared);
                }
                Ok(()) => {}
                Err(RejoinError::Differs { .. }) if batch.len() > 1 => {
                    for one in batch {
                        self.run_in_time(context, std::slice::from_ref(one), table).await?;
                    }
                }
                Err(error) => {
                    self.connections.clear();
                    return Err(error);
                }
            }
            rest = behind;
        }
        Ok(())
    }

    async fn run_in_time(&mut self, context: &Context, batch: &[Decided], table: u8) -> Result<(), RejoinError> {
        if batch.len() > 1 {
            let work = self.run_batch(context, batch, table);
            return tokio::time::timeout(BATCH_LIMIT, work).await.unwrap_or(Err(RejoinError::TimedOut(BATCH_LIMIT)));
        }
        let (target, login, within) = (self.target.clone(), self.logins.first().cloned(), self.within);
        let silent = async {
            loop {
                tokio::time::sleep(ALIVE_EVERY).await;
                let Some(login) = &login else { continue };
                let answers = async {
                    let mut connection = Maintenance::connect(&target, login, within).await?;
                    connection.query(&["SELECT 1"], within).await
                };
                if let Err(error) = answers.await {
                    return error;
                }
            }
        };
        tokio::select! {
            result = self.run_batch(context, batch, table) => result,
            error = silent => Err(error.into()),
        }
    }

    async fn run_batch(&mut self, context: &Context, batch: &[Decided], table: u8) -> Result<(), RejoinError> {
        let (journal, faults) = (self.journal, self.faults.clone());
        let (begin, begin_tags) = self.flushes.begin();
        let connection = self.connection(context).await?;
        if batch.iter().any(|decided| decided.intent.entries.iter().any(|entry| entry.alone)) {
            // What a transaction SETs outlives it on this connection, but not in the next intent, which is another session's.
            connection.settings = None;
        }
        let link = &mut connection.link;
        link.simple(&[begin.as_bytes()], Owner::Follower);
        let mut expected = vec![Expected { hidden: begin_tags, entries: Vec::new() }];
        for decided in batch {
            for entry in decided.intent.entries.iter().filter(|entry| !is_savepoint(entry)) {
                write_entry(connection, decided.position, entry, &mut expected, journal).await?;
                if entry.alone {
                    // Under it a text may name other tables, with columns of other types.
                    connection.forget_prepared();
                }
            }
        }
        let mut differs = None;
        for unit in &expected {
            let outcome = answer(&mut connection.link).await?;
            if differs.is_none() {
                differs = difference(unit, &outcome);
            }
        }
        if let Some(error) = differs {
            connection.link.simple(&[b"ROLLBACK"], Owner::Follower);
            answer(&mut connection.link).await?;
            // PREPARE is not undone by it.
            connection.settings = None;
            return Err(error);
        }
        faults.reach(FaultPoint::ApplyBeforeCommit).await;
        let mut end = format!("INSERT INTO raidb.applied_{table} (position) VALUES ");
        for (n, decided) in batch.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(end, "{comma}({})", decided.position.0);
        }
        end.push_str(";COMMIT");
        connection.link.simple(&[end.as_bytes()], Owner::Follower);
        let outcome = answer(&mut connection.link).await?;
        faults.reach(FaultPoint::ApplyCommitted).await;
        match (&outcome.error, outcome.tag()) {
            (None, b"COMMIT") => Ok(()),
            (Some((sqlstate, message)), _) if is_no_difference(*sqlstate) => {
                Err(QueryError::Server { sqlstate: *sqlstate, message: message.clone() }.into())
            }
            (error, tag) => Err(RejoinError::Differs {
                position: batch.first().map_or(Position::START, |d| d.position),
                statement: "COMMIT".into(),
                expected: "COMMIT".into(),
                found: error.as_ref().map_or_else(|| String::from_utf8_lossy(tag).into_owned(), |(_, m)| m.clone()),
            }),
        }
    }

    /// A connection on which texts mean what they meant.
    async fn connection(&mut self, context: &Context) -> Result<&mut Connection, RejoinError> {
        let key = (context.user.clone(), context.parameters.clone());
        let mut connection = match self.connections.remove(&key) {
            Some(connection) => connection,
            None => {
                let new = Connection::open(&self.target, self.login(context)?, context, self.within).await?;
                self.same_server().await?;
                new
            }
        };
        if connection.settings.as_ref() != Some(&context.settings) {
            connection.set(&context.settings).await?;
        }
        Ok(self.connections.entry(key).or_insert(connection))
    }

    /// Fails if the server was restarted since an older connection was opened. Commits that were not flushed may be gone then,
    /// and what a new connection applies would stand below them when they are applied again. (All older ones are of one life
    /// of the server by this very check, so one is asked.)
    async fn same_server(&mut self) -> Result<(), RejoinError> {
        let Some(older) = self.connections.values_mut().next() else { return Ok(()) };
        older.link.simple(&[b"SELECT 1"], Owner::Follower);
        answer(&mut older.link).await.map(drop)
    }

    fn login(&self, context: &Context) -> Result<&Login, RejoinError> {
        let own = self.logins.first();
        let found = match &context.user {
            None => own,
            Some(user) => self.logins.iter().find(|login| login.user.as_bytes() == &user[..]),
        };
        found.ok_or_else(|| {
            let user = String::from_utf8_lossy(context.user.as_deref().unwrap_or_default()).into_owned();
            QueryError::Server {
                sqlstate: *b"28000",
                message: format!("the log names the member user \"{user}\", which the configuration does not know"),
            }
            .into()
        })
    }
}

impl Connection {
    async fn open(target: &Target, login: &Login, context: &Context, within: Duration) -> Result<Self, RejoinError> {
        let text = |bytes: &Vec<u8>| Bytes::copy_from_slice(bytes);
        let parameters: StartupParameters =
            context.parameters.iter().map(|(name, value)| (text(name), text(value))).collect();
        let (link, _) = connect::connect(target, login, &parameters, MEMBER_FRAMES, within).await?;
        Ok(Connection { link, settings: Some(Vec::new()), prepared: HashMap::new(), next_name: 0 })
    }

    async fn set(&mut self, settings: &[Vec<u8>]) -> Result<(), RejoinError> {
        self.forget_prepared();
        self.settings = None;
        let all = RESET.iter().map(|sql| sql.as_bytes()).chain(settings.iter().map(Vec::as_slice));
        for sql in all {
            self.link.simple(&[sql], Owner::Follower);
            let outcome = answer(&mut self.link).await?;
            // (Older logs.) A statement that was prepared once may have lost its table since. Whoever needs it says so.
            let prepares = sql.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"prepare"));
            if let Some((sqlstate, message)) = outcome.error.filter(|_| !prepares) {
                let message = format!("{}: {message}", String::from_utf8_lossy(sql));
                return Err(QueryError::Server { sqlstate, message }.into());
            }
        }
        self.settings = Some(settings.to_vec());
        Ok(())
    }

    fn forget_prepared(&mut self) {
        // The names are not used again: their numbers go on.
        self.prepared.clear();
    }
}

/// Intents from the first on that may be one transaction.
fn batch_length(decided: &[Decided]) -> usize {
    let Some(first) = decided.first() else { return 0 };
    let mut bytes = 0;
    let fits = |d: &&Decided| {
        bytes += d.intent.entries.iter().map(entry_bytes).sum::<usize>();
        d.intent.context == first.intent.context && bytes <= BATCH_BYTES_MAX && !stands_alone(&d.intent)
    };
    decided.iter().take(BATCH_INTENTS_MAX).take_while(fits).count().max(1)
}

fn entry_bytes(entry: &IntentEntry) -> usize {
    match &entry.statement {
        IntentStatement::Simple(sql) => sql.len(),
        IntentStatement::Extended { text, tail, .. } => text.len() + tail.len(),
        IntentStatement::Copy { text, .. } => text.len(),
    }
}

/// Settings of one transaction must not meet another's; COPY is long.
fn stands_alone(intent: &Intent) -> bool {
    intent.entries.iter().any(|e| e.alone || matches!(e.statement, IntentStatement::Copy { .. }) || names_state(e))
}

/// SAVEPOINT or RELEASE: of what stands in a log nothing is taken back, so they have no effect.
fn is_savepoint(entry: &IntentEntry) -> bool {
    matches!(entry.tag.as_deref(), Some(b"SAVEPOINT" | b"RELEASE"))
}

/// What an EXECUTE needs, and takes away again.
fn is_prepare(entry: &IntentEntry) -> bool {
    matches!(entry.tag.as_deref(), Some(b"PREPARE" | b"DEALLOCATE"))
}

/// SET LOCAL, DDL and the like: their answers are no row counts.
fn names_state(entry: &IntentEntry) -> bool {
    if is_savepoint(entry) || is_prepare(entry) {
        return false;
    }
    let rows = |tag: &[u8]| [&b"INSERT"[..], b"UPDATE", b"DELETE", b"SELECT"].iter().any(|verb| tag.starts_with(verb));
    !entry.tag.as_deref().is_some_and(rows)
}

async fn write_entry(
    connection: &mut Connection,
    position: Position,
    entry: &IntentEntry,
    expected: &mut Vec<Expected>,
    journal: &Journal,
) -> Result<(), RejoinError> {
    let known = connection.prepared.len();
    let link = &mut connection.link;
    let text = match &entry.statement {
        IntentStatement::Simple(sql) => {
            link.simple(&[sql], Owner::Follower);
            sql
        }
        IntentStatement::Extended { text, types, tail } => {
            let key = (text.clone(), types.clone());
            let name = match connection.prepared.get(&key) {
                Some(name) => name.clone(),
                None if known < PREPARED_MAX => {
                    let name = Bytes::from(format!("raidb_r{}", connection.next_name));
                    connection.next_name += 1;
                    encode::parse(link.out(), &name, &[text], types);
                    connection.prepared.insert(key, name.clone());
                    name
                }
                None => {
                    encode::parse(link.out(), b"", &[text], types);
                    Bytes::new()
                }
            };
            encode::bind(link.out(), b"", &name, tail);
            encode::execute(link.out(), b"", 0);
            encode::bare(link.out(), b'S');
            link.unit(Owner::Follower);
            text
        }
        IntentStatement::Copy { text, rows } => {
            link.simple(&[text], Owner::Follower);
            // If the COPY does not start, the member drops the rows.
            for row in rows {
                let records = journal.read(*row, 1).await?;
                let record = records.first().filter(|r| r.position == *row && r.kind == RecordKind::CopyRows);
                let record = record.ok_or(RejoinError::Behind { needed: *row })?;
                link.out().extend_from_slice(&record.payload);
                poll_fn(|cx| link.poll_flush(cx)).await.map_err(QueryError::Wire)?;
            }
            encode::bare(link.out(), b'c');
            text
        }
    };
    expected.push(Expected { hidden: 0, entries: vec![(position, text.clone(), entry.tag.clone())] });
    Ok(())
}

/// Flushes while it waits for the next unit's answer, so that neither side waits for the other to read.
async fn answer(link: &mut Link) -> Result<UnitOutcome, RejoinError> {
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = link.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        match link.poll_background(cx) {
            Poll::Ready(Ok(Some((_, outcome)))) => Poll::Ready(Ok(outcome)),
            Poll::Ready(Ok(None)) => Poll::Ready(Err(WireError::Closed)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    });
    Ok(outcome.await.map_err(QueryError::Wire)?)
}

/// Errors that say nothing of the contents (DESIGN.md §7): what is tried again later may succeed. Deadlocks and the like, no
/// room, a lock that was not to be had, a server that stops, its disk, a bug.
fn is_no_difference(sqlstate: [u8; 5]) -> bool {
    [&b"40"[..], b"53", b"55P03", b"57", b"58", b"XX"].iter().any(|class| sqlstate.starts_with(class))
}

fn difference(unit: &Expected, outcome: &UnitOutcome) -> Option<RejoinError> {
    let tags = outcome.tags.iter().skip(unit.hidden);
    let agreed = unit
        .entries
        .iter()
        .zip(tags)
        .take_while(|((_, _, expected), found)| expected.as_ref().is_none_or(|e| e[..] == found[..]))
        .count();
    if outcome.error.is_none() && agreed == unit.entries.len() && outcome.status == b'T' {
        return None;
    }
    if let Some((sqlstate, message)) = outcome.error.as_ref().filter(|(sqlstate, _)| is_no_difference(*sqlstate)) {
        return Some(QueryError::Server { sqlstate: *sqlstate, message: message.clone() }.into());
    }
    let (position, statement, expected) = unit.entries.get(agreed).cloned().unwrap_or_default();
    let found = match &outcome.error {
        Some((sqlstate, message)) => format!("{}: {message}", String::from_utf8_lossy(sqlstate)),
        None => String::from_utf8_lossy(outcome.tags.get(unit.hidden + agreed).map_or(&b""[..], |t| t)).into_owned(),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(500).collect();
    Some(RejoinError::Differs {
        position,
        statement: text(&statement),
        expected: expected.as_deref().map_or_else(|| "success".into(), text),
        found,
    })
}
