//! One connection's process: takes units in order, answers each, and blocks where a statement blocks.

use std::collections::VecDeque;

use raidb_core::log::Position;
use raidb_core::verdict::SqlState;

use super::Server;
use super::execution::{Advance, Execution};
use super::protocol::{Answer, Command, Tag};
use super::rows::Rows;
use super::transactions::{Transaction, TxId, Undo};
use crate::random::Random;

/// A unit that runs.
#[derive(Clone, Debug)]
struct Running {
    unit: Vec<Command>,
    at: usize,
    statement: Option<Execution>,
    answer: Answer,
    blocked_on: Vec<TxId>,
    /// It runs in a transaction of its own, which its end commits.
    implicit: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Whose it is.
    pub session: u64,
    requests: VecDeque<Vec<Command>>,
    running: Option<Running>,
    tx: Option<Transaction>,
    /// Answers that the client has not read.
    answers: VecDeque<Answer>,
    /// Nobody reads any more; what was sent is still carried out.
    pub client_gone: bool,
    /// The process is no more.
    pub ended: bool,
}

impl Backend {
    pub(super) fn new(session: u64) -> Self {
        Backend {
            session,
            requests: VecDeque::new(),
            running: None,
            tx: None,
            answers: VecDeque::new(),
            client_gone: false,
            ended: false,
        }
    }

    /// A unit is sent.
    pub fn send(&mut self, unit: Vec<Command>) {
        if !self.ended {
            self.requests.push_back(unit);
        }
    }

    /// The next answer arrives.
    pub fn receive(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// The connection is at its end: the process is gone, and all that it has sent was read.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.ended && self.answers.is_empty()
    }

    /// Whether anything is to be done or read.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.ended && (self.running.is_some() || !self.requests.is_empty() || self.client_gone)
    }

    /// Who has to end before it goes on.
    #[must_use]
    pub fn blocked_on(&self) -> &[TxId] {
        self.running.as_ref().map_or(&[], |running| &running.blocked_on)
    }

    pub(super) fn transaction(&self) -> Option<TxId> {
        self.tx.as_ref().map(|tx| tx.id)
    }

    pub(super) fn die(&mut self, random: &mut Random) {
        let kept = random.index(self.answers.len() + 1);
        self.answers.truncate(kept);
        self.forget();
    }

    /// The process is gone without a word, and its rows with it.
    pub(super) fn forget(&mut self) {
        self.tx = None;
        self.running = None;
        self.requests.clear();
        self.ended = true;
    }

    pub(super) fn end(&mut self, rows: &mut Rows) {
        if let Some(mut tx) = self.tx.take() {
            tx.rollback(rows);
        }
        self.forget();
    }

    /// A cancel request arrives. It hits what runs now, whatever that is.
    pub fn cancel(&mut self, rows: &mut Rows) {
        if self.running.is_some() {
            self.fail(SqlState::QUERY_CANCELED, rows);
        }
    }

    pub(super) fn deadlock(&mut self, rows: &mut Rows) {
        self.fail(SqlState::DEADLOCK, rows);
    }

    fn fail(&mut self, sqlstate: SqlState, rows: &mut Rows) {
        if let Some(running) = &mut self.running {
            running.answer.error = Some(sqlstate);
            running.blocked_on.clear();
            running.statement = None;
            if let Some(tx) = &mut self.tx {
                tx.fail(rows);
            }
            if running.implicit {
                self.tx = None;
            }
            self.answer();
        }
    }

    fn answer(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.answer.status = match &self.tx {
            None => b'I',
            Some(tx) if tx.failed => b'E',
            Some(_) => b'T',
        };
        if !self.client_gone {
            self.answers.push_back(running.answer);
        }
    }

    pub(super) fn serve(&mut self, server: &mut Server, random: &mut Random) -> bool {
        if self.ended {
            return false;
        }
        if self.running.is_none() {
            let Some(unit) = self.requests.pop_front() else {
                if self.client_gone && !self.ended {
                    self.end(&mut server.rows);
                    return true;
                }
                return false;
            };
            self.running = Some(Running {
                unit,
                at: 0,
                statement: None,
                answer: Answer::default(),
                blocked_on: Vec::new(),
                implicit: false,
            });
            if random.chance(300) {
                return true;
            }
        }
        let mut happened = false;
        // As far as it goes, or not: others may have their turn at every step.
        while self.running.is_some() && self.step(server) {
            happened = true;
            if random.chance(250) {
                break;
            }
        }
        happened
    }

    /// One step of the unit. False: it is blocked.
    fn step(&mut self, server: &mut Server) -> bool {
        let Some(running) = &mut self.running else { return false };
        let Some(command) = running.unit.get(running.at).copied() else {
            if running.implicit {
                self.commit(server);
            }
            self.answer();
            return true;
        };
        let failed = self.tx.as_ref().is_some_and(|tx| tx.failed);
        let ends = matches!(command, Command::Commit | Command::Rollback | Command::RollbackTo(_));
        if failed && !ends {
            running.answer.error = SqlState::parse(b"25P02");
            self.answer();
            return true;
        }
        match command {
            Command::Run(op, origin) => return self.run(op, origin, server),
            Command::Mark(position) => {
                let tx = self.transaction_or_implicit(server);
                tx.markers.push(position);
                tx.undo.push(Undo::Marker);
                self.done(Tag { verb: "INSERT 0", rows: Some(1) });
            }
            Command::Begin => {
                if self.tx.is_none() {
                    self.tx = Some(Transaction { id: server.new_tx(), ..Transaction::default() });
                }
                self.done(Tag::word("BEGIN"));
            }
            Command::Savepoint(name) => {
                self.transaction_or_implicit(server).savepoint(name);
                self.done(Tag::word("SAVEPOINT"));
            }
            Command::RollbackTo(name) => {
                if self.tx.as_mut().is_some_and(|tx| tx.rollback_to(name, &mut server.rows)) {
                    self.done(Tag::word("ROLLBACK"));
                } else {
                    let sqlstate = SqlState::parse(b"3B001").unwrap_or(SqlState::INTERNAL_ERROR);
                    self.fail(sqlstate, &mut server.rows);
                }
            }
            Command::Rollback => {
                if let Some(mut tx) = self.tx.take() {
                    tx.rollback(&mut server.rows);
                }
                self.ended_explicitly();
                self.done(Tag::word("ROLLBACK"));
            }
            Command::Commit if failed => {
                if let Some(mut tx) = self.tx.take() {
                    tx.rollback(&mut server.rows);
                }
                self.done(Tag::word("ROLLBACK"));
            }
            Command::Commit => {
                self.commit(server);
                self.ended_explicitly();
                self.done(Tag::word("COMMIT"));
            }
        }
        true
    }

    fn ended_explicitly(&mut self) {
        if let Some(running) = &mut self.running {
            running.implicit = false;
        }
    }

    fn done(&mut self, tag: Tag) {
        if let Some(running) = &mut self.running {
            running.answer.tags.push(tag);
            running.at += 1;
        }
    }

    fn transaction_or_implicit(&mut self, server: &mut Server) -> &mut Transaction {
        if self.tx.is_none()
            && let Some(running) = &mut self.running
        {
            running.implicit = true;
        }
        self.tx.get_or_insert_with(|| Transaction { id: server.new_tx(), ..Transaction::default() })
    }

    fn run(&mut self, op: crate::statement::Op, origin: u32, server: &mut Server) -> bool {
        self.transaction_or_implicit(server);
        let (Some(running), Some(tx)) = (&mut self.running, &mut self.tx) else { return false };
        let statement = running.statement.get_or_insert_with(|| Execution::new(op));
        let was_blocked = !running.blocked_on.is_empty();
        match statement.advance(&mut server.rows, tx, &mut running.blocked_on) {
            Advance::Progress => running.blocked_on.clear(),
            // To be blocked is news the first time.
            Advance::Blocked => return !was_blocked,
            Advance::Failed(sqlstate) => self.fail(sqlstate, &mut server.rows),
            Advance::Done => {
                running.blocked_on.clear();
                let touched = running.statement.take().map(|statement| statement.touched).unwrap_or_default();
                if op.writes() && !touched.is_empty() {
                    tx.origins.insert(origin);
                }
                let rows = u32::try_from(touched.len()).ok();
                running.answer.rows = touched;
                self.done(Tag { verb: op.verb(), rows });
            }
        }
        true
    }

    fn commit(&mut self, server: &mut Server) {
        let Some(mut tx) = self.tx.take() else { return };
        let wrote = tx.undo.iter().any(|undo| matches!(undo, Undo::Dirty(..)));
        tx.commit(&mut server.rows);
        for origin in tx.origins.iter().filter(|_| wrote) {
            *server.commits.entry(*origin).or_default() += 1;
        }
        server.markers.extend(tx.markers.iter().map(|position| Position(*position)));
    }
}
