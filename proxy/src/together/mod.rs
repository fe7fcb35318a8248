//! Whole transactions of several sessions go to a follower together: one transaction, one flush. It commits what is decided.
//!
//! ```text
//!  session ─┐ submit            ┌── line of member B: one connection, one unit at a time ──▶ B
//!  session ─┼──▶ group ─────────┤
//!  session ─┘   (one kind)      └── line of member C ─────────────────────────────────────▶ C
//! ```
//! While a unit is under way on a line, whoever comes next queues; the next unit takes all that has queued. So the more there
//! is to do the larger the units are, and nobody waits for others to come.
//!
//! Who calls it: `session::commit_at_once`, whose argument says which transactions may go this way and that no order can
//! differ. What is added here is only that transactions that do not conflict become visible at the same moment.
//!
//! **Nothing old is ever sent.** A member may leave and come back while a transaction stands in its queue; then the log has
//! brought it already. A line sends only what is still pending on the member ([`Ticket::pending_on`]): that bit is cleared
//! when the member leaves, before the log is read for it, and never set again; and a connection from before that is
//! ended by the fence of the rejoin. The bit is looked at between connecting and writing, without a wait in between.
//!
//! | file | job |
//! |---|---|
//! | `mod` | groups of sessions whose texts mean the same, and what is asked and answered |
//! | `line` | the task of one member: connect, collect, send, answer |
//! | `unit` | several transactions as frames, and what the member's answer says |
//! | `combining` | single INSERTs of several sessions as one transaction: who runs it, and who waits |

pub mod combining;
mod line;
mod unit;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use raidb_core::ids::MemberId;
use raidb_core::log::Position;
use raidb_core::sql::parametrised::Parametrised;
use tokio::sync::SetOnce;

use crate::members::pg::connect::Reported;
use crate::members::pg::link::UnitOutcome;
use crate::members::pg::target::StartupParameters;
use crate::session::transaction::Payload;
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::handles::SessionHandle;
use crate::virtual_database::in_flight::Ticket;
use combining::Combining;
use line::Line;

/// Groups of one virtual database; sessions of a further kind commit on connections of their own.
const GROUPS_MAX: usize = 16;

/// Values of `application_name` in one group; sessions of a further one run their INSERTs by themselves.
const NAMES_MAX: usize = 64;

/// A statement of a decided transaction.
#[derive(Debug)]
pub struct Statement {
    /// What is sent.
    pub payload: Payload,
    /// The command tag that it must answer with.
    pub tag: Bytes,
    /// The same with its literals as parameters, so that the member need not plan each text.
    pub shape: Option<Shape>,
}

/// A statement's text with parameters, and their values.
#[derive(Debug)]
pub struct Shape {
    /// Its text.
    pub text: Bytes,
    /// Count and oids of parameter types, as in Parse.
    pub types: Bytes,
    /// As in Bind behind the names.
    pub tail: Bytes,
}

impl Statement {
    /// A statement; `literals`: those of its text mean the same as parameters ([`raidb_core::sql::parametrised`]).
    #[must_use]
    pub fn new(payload: Payload, tag: Bytes, literals: bool) -> Self {
        let shape = Shape::of(&payload, literals);
        Statement { payload, tag, shape }
    }
}

impl Shape {
    /// That of a simple query, if it has one; `literals`: those of its text mean the same as parameters.
    #[must_use]
    pub fn of(payload: &Payload, literals: bool) -> Option<Self> {
        match payload {
            Payload::Simple(sql) if literals => Parametrised::of(sql).map(|found| Shape::new(&found)),
            _ => None,
        }
    }

    fn new(found: &Parametrised) -> Self {
        let count = u16::try_from(found.parameters.len()).unwrap_or(u16::MAX);
        let (mut types, mut tail) = (BytesMut::new(), BytesMut::new());
        types.put_u16(count);
        // All values are texts, and so are the results.
        tail.put_u16(0);
        tail.put_u16(count);
        for (oid, value) in &found.parameters {
            types.put_u32(*oid);
            tail.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            tail.put_slice(value);
        }
        tail.put_u16(0);
        Shape { text: Bytes::copy_from_slice(&found.text), types: types.freeze(), tail: tail.freeze() }
    }
}

/// What a decided transaction leaves on a member beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Position of its intent.
    pub position: Position,
    /// Which marker table takes it.
    pub table: u8,
}

/// Whether a transaction counts. Nothing of it is committed on any member before it says so.
#[derive(Debug, Default)]
pub struct Decision(SetOnce<Option<Mark>>);

impl Decision {
    /// That of a transaction whose intent is durable.
    #[must_use]
    pub fn of(mark: Mark) -> Self {
        Decision(SetOnce::new_with(Some(Some(mark))))
    }

    /// It counts: its intent is durable. The first word stands.
    pub fn decided(&self, mark: Mark) {
        drop(self.0.set(Some(mark)));
    }

    /// It does not count, and never will. The first word stands.
    pub fn withdrawn(&self) {
        drop(self.0.set(None));
    }

    /// Its mark, if it is known to count.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.0.get().copied().flatten()
    }

    /// Waits until one or the other is known. Cancel safe.
    pub async fn known(&self) {
        self.0.wait().await;
    }
}

/// A transaction that a follower gets as a whole.
#[derive(Debug)]
pub struct Whole {
    /// Its statements.
    pub statements: Vec<Statement>,
    /// Each does all that its tag says or, with an error, nothing.
    pub all_or_nothing: bool,
    /// Whether it counts.
    pub decision: Decision,
    /// Its ticket.
    pub ticket: Arc<Ticket>,
    /// Who waits.
    pub session: Arc<SessionHandle>,
}

/// What came of it on one member.
#[derive(Debug)]
pub enum Answer {
    /// It has committed, with its marker; the ticket says so already.
    Committed,
    /// The member refused it, alone as well: nothing of it is there.
    Refused(UnitOutcome),
    /// The connection was lost behind it: nobody knows.
    Lost(String),
    /// It has committed something else than the lead.
    Differently,
    /// It was not sent.
    Unsent(String),
}

/// Where the answer of one member will be.
#[derive(Debug, Default)]
pub struct Reply(Mutex<Option<Answer>>);

impl Reply {
    /// Takes the answer, once it is there; the session is woken then.
    #[must_use]
    pub fn take(&self) -> Option<Answer> {
        self.0.lock().take()
    }
}

/// A transaction in the queue of a line.
#[derive(Debug)]
struct Job {
    whole: Arc<Whole>,
    reply: Arc<Reply>,
}

impl Job {
    fn answer(self, answer: Answer) {
        *self.reply.0.lock() = Some(answer);
        self.whole.session.wake();
    }
}

/// What makes texts mean the same on two connections of one role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// Start-up parameters without `application_name`.
    parameters: StartupParameters,
    /// What the member reported of [`MEANING`]: a role's or a database's own settings may have changed since the last
    /// connection.
    meaning: Reported,
}

/// Reported settings that change how a text is read. (Settings of a role or database that are not reported are refused:
/// `ALTER ROLE … SET`.)
const MEANING: [&[u8]; 5] =
    [b"TimeZone", b"DateStyle", b"IntervalStyle", b"client_encoding", b"standard_conforming_strings"];

fn meaning(reported: &Reported) -> Reported {
    let mut meaning: Reported = reported.iter().filter(|(name, _)| MEANING.contains(&&name[..])).cloned().collect();
    meaning.sort();
    meaning
}

/// Sessions whose connections were opened alike, as each member's own role: a text means the same to all of them. And the
/// lines that they share.
#[derive(Debug)]
pub struct Group {
    kind: Kind,
    lines: Mutex<BTreeMap<MemberId, Arc<Line>>>,
    /// Their single INSERTs, by `application_name`: a policy or a check of the lead's may look at that.
    combining: Mutex<HashMap<Bytes, Arc<Combining>>>,
}

impl Group {
    /// Those of this name with which a session runs single INSERTs; `None` if there are [`NAMES_MAX`] others.
    #[must_use]
    pub fn combining(&self, application_name: &Bytes) -> Option<Arc<Combining>> {
        let mut all = self.combining.lock();
        if let Some(found) = all.get(application_name) {
            return Some(found.clone());
        }
        (all.len() < NAMES_MAX).then(|| all.entry(application_name.clone()).or_default().clone())
    }

    /// Has a transaction carried out on a follower: its statements now, its COMMIT when it is decided.
    #[must_use]
    pub fn submit(&self, database: &Arc<VirtualDatabase>, member: MemberId, whole: Arc<Whole>) -> Arc<Reply> {
        let reply = Arc::new(Reply::default());
        let job = Job { whole, reply: reply.clone() };
        let mut lines = self.lines.lock();
        let line = lines.entry(member).or_insert_with(|| Line::start(database, member, &self.kind));
        line.submit(job);
        reply
    }
}

/// All groups of a virtual database.
#[derive(Debug, Default)]
pub struct Together(Mutex<HashMap<Kind, Arc<Group>>>);

impl Together {
    /// The group of sessions with these start-up parameters, whose first connection reported this; `None` if there are
    /// [`GROUPS_MAX`] others.
    #[must_use]
    pub fn group(&self, parameters: &StartupParameters, reported: &Reported) -> Option<Arc<Group>> {
        let passed_on = parameters.iter().filter(|(name, _)| &name[..] != b"application_name");
        let kind = Kind { parameters: passed_on.cloned().collect(), meaning: meaning(reported) };
        let mut groups = self.0.lock();
        if let Some(group) = groups.get(&kind) {
            return Some(group.clone());
        }
        if groups.len() >= GROUPS_MAX {
            return None;
        }
        let group = Arc::new(Group { kind: kind.clone(), lines: Mutex::default(), combining: Mutex::default() });
        groups.insert(kind, group.clone());
        Some(group)
    }
}
