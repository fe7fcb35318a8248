//! What the sessions of a proxy share: mirrors `proxy/src/virtual_database`.

pub mod applier;
pub mod in_flight;
pub mod leaving;
pub mod membership;
pub mod recovery;
pub mod rejoin;

use std::collections::BTreeSet;

use raidb_core::ids::SessionId;
use raidb_core::log::{FinishedPrefix, Position, RecordKind, TokenRecord};
use raidb_core::member::MemberState;
use raidb_core::token::{Token, Tokens};
use raidb_core::verdict::SqlState;

use crate::disk::{AppendId, Disk};
use in_flight::InFlight;
use membership::Membership;

/// How far the log is finished: mirrors `virtual_database/journal.rs`; the prefix is the real one.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    prefix: FinishedPrefix,
    aborted: BTreeSet<Position>,
    /// The newest epoch that is durable.
    pub epoch: u64,
}

impl Journal {
    pub fn new(end: Position, aborted: BTreeSet<Position>, epoch: u64) -> Self {
        Journal { prefix: FinishedPrefix::new(end), aborted, epoch }
    }

    pub fn finish(&mut self, position: Position) {
        self.prefix.finish(position);
    }

    pub fn finish_all(&mut self, end: Position) {
        self.prefix.raise(end);
    }

    /// The intent does not count, and the record that says so is durable.
    pub fn aborted(&mut self, intent: Position, outcome: Position) {
        self.aborted.insert(intent);
        self.finish(outcome);
        self.finish(intent);
    }

    pub fn is_aborted(&self, position: Position) -> bool {
        self.aborted.contains(&position)
    }

    pub fn settled(&self) -> Position {
        self.prefix.end()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    pub membership: Membership,
    pub in_flight: InFlight,
    pub journal: Journal,
    pub tokens: Tokens,
    /// Tokens whose intent is on its way.
    pub decided: BTreeSet<String>,
    pub writes_stopped: bool,
    /// Records whose writer does not wait for them.
    notes: Vec<AppendId>,
    epoch: u64,
    /// The start is done: clients are served.
    pub serving: bool,
}

impl Shared {
    pub fn new(states: Vec<MemberState>, journal: Journal, tokens: Tokens) -> Self {
        let epoch = journal.epoch;
        Shared {
            membership: Membership::new(states),
            in_flight: InFlight::default(),
            journal,
            tokens,
            decided: BTreeSet::new(),
            writes_stopped: false,
            notes: Vec::new(),
            epoch,
            serving: false,
        }
    }

    pub fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// A client names its transaction.
    ///
    /// # Errors
    /// The name is not taken.
    pub fn give_token(&mut self, token: &Token, session: u64, now: u64, disk: &mut Disk) -> Result<(), SqlState> {
        let given = self.tokens.give(token, SessionId(session), now, disk.end());
        let unix_ms = given.map_err(|_| SqlState::SERIALIZATION_FAILURE)?;
        let record = TokenRecord::Given { unix_ms, token: token.as_str().as_bytes().to_vec() };
        self.note(disk.append(RecordKind::Token, record.encode()));
        Ok(())
    }

    /// The intent of a token's transaction is about to be written. False: somebody was told that it is aborted.
    pub fn decide(&mut self, token: &Token, now: u64, end: Position) -> bool {
        let decided = self.tokens.decide(token, now, end);
        if decided {
            self.decided.insert(token.as_str().to_owned());
        }
        decided
    }

    pub fn note(&mut self, id: AppendId) {
        self.notes.push(id);
    }

    /// Notes that are durable are finished.
    pub fn notes_written(&mut self, disk: &mut Disk) -> bool {
        let before = self.notes.len();
        let journal = &mut self.journal;
        let mut failed = false;
        self.notes.retain(|id| match disk.take(*id) {
            Some(crate::disk::Appended::Durable(position)) => {
                journal.finish(position);
                false
            }
            Some(_) => {
                failed = true;
                false
            }
            None => true,
        });
        self.writes_stopped |= failed && disk.failed;
        self.notes.len() != before
    }
}
