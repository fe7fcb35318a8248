//! Brings a member what it lacks of the log: mirrors `rejoin/{replay,applier}.rs`, one intent at a time.

use std::collections::VecDeque;

use raidb_core::log::{Applied, Intent, IntentStatement, Position, RecordKind};
use raidb_core::verdict::{SqlState, StateClass};

use super::in_flight::Member;
use crate::member::{Answer, Command, ConnectionId};
use crate::statement::Op;
use crate::world::{World, name};

/// What a look at it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applying {
    /// It works; something has happened, or not.
    Working(bool),
    /// Everything up to the goal is on the member.
    Done,
    /// The member or the connection is lost, or it may succeed later.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    Statements,
    Commit,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Replay {
    pub member: Member,
    applied: Applied,
    /// Everything up to here was looked at.
    pub at: Position,
    goal: Position,
    wanted: VecDeque<(Position, Intent)>,
    connection: Option<ConnectionId>,
    sent: Sent,
}

impl Replay {
    pub fn new(member: Member, applied: Applied) -> Self {
        let at = applied.floor();
        Replay { member, applied, at, goal: at, wanted: VecDeque::new(), connection: None, sent: Sent::Nothing }
    }

    /// Everything up to `to` is to be on the member; `passes_own`: but what its sessions commit there themselves.
    pub fn aim(&mut self, to: Position, passes_own: bool, w: &mut World) {
        let own = name(self.member);
        let mut wrong = None;
        for record in w.disk.read(self.goal.next()).take_while(|record| record.position <= to) {
            if record.kind != RecordKind::Intent {
                continue;
            }
            let aborted = w.shared.journal.is_aborted(record.position);
            if self.applied.holds(record.position) {
                if aborted {
                    let text =
                        format!("member {} holds the intent at {}, which was aborted", self.member, record.position);
                    wrong = Some(text);
                }
                continue;
            }
            match Intent::decode(&record.payload) {
                Ok(intent) if !(aborted || passes_own && intent.members.contains(&own)) => {
                    self.wanted.push_back((record.position, intent));
                }
                Ok(_) => {}
                Err(kind) => wrong = Some(format!("the intent at {}: {kind}", record.position)),
            }
        }
        self.goal = self.goal.max(to);
        if let Some(wrong) = wrong {
            w.violation(wrong);
        }
    }

    /// Its turn.
    pub fn step(&mut self, w: &mut World) -> Applying {
        let Some((position, intent)) = self.wanted.front() else {
            self.at = self.goal;
            return Applying::Done;
        };
        let (position, intent) = (*position, intent.clone());
        let Some(connection) = self.connection else {
            self.connection = w.connect(self.member, 1_000_000 + self.member as u64);
            return if self.connection.is_some() { Applying::Working(true) } else { Applying::Failed };
        };
        let Some(backend) = w.servers[self.member].backend(connection) else { return Applying::Failed };
        if self.sent == Sent::Nothing {
            let ops = intent.entries.iter().filter_map(|entry| match &entry.statement {
                IntentStatement::Simple(text) => Op::decode(text),
                _ => None,
            });
            let origin = origin(&intent);
            let unit = std::iter::once(Command::Begin).chain(ops.map(|op| Command::Run(op, origin))).collect();
            backend.send(unit);
            self.sent = Sent::Statements;
            w.trace.add(w.now, "redo", [self.member as u64, position.0, u64::from(origin)], String::new);
            return Applying::Working(true);
        }
        if backend.at_end() {
            return Applying::Failed;
        }
        let Some(answer) = backend.receive() else { return Applying::Working(false) };
        match self.sent {
            Sent::Statements => {
                if let Some(failed) = self.compare(&intent, &answer, position, w) {
                    return failed;
                }
                if let Some(backend) = w.servers[self.member].backend(connection) {
                    backend.send(vec![Command::Mark(position.0), Command::Commit]);
                }
                self.sent = Sent::Commit;
            }
            Sent::Commit | Sent::Nothing => {
                if answer.error.is_some() {
                    return Applying::Failed;
                }
                self.at = Position(position.0.max(self.at.0));
                self.wanted.pop_front();
                self.sent = Sent::Nothing;
                w.counts.redone += 1;
            }
        }
        Applying::Working(true)
    }

    fn compare(&self, intent: &Intent, answer: &Answer, position: Position, w: &mut World) -> Option<Applying> {
        let later = |state: SqlState| state.class() != StateClass::SqlError || state == SqlState::QUERY_CANCELED;
        if answer.error.is_some_and(later) {
            return Some(Applying::Failed);
        }
        let tags = answer.tags.iter().skip(1).map(ToString::to_string);
        let expected = intent.entries.iter().map(|entry| String::from_utf8_lossy(entry.tag.as_deref().unwrap_or(b"")));
        if answer.error.is_none() && tags.eq(expected) {
            return None;
        }
        let found = format!("{:?} {:?}", answer.tags, answer.error);
        w.violation(format!("redo of {position} on member {} differs: {found}, {:?}", self.member, intent.entries));
        Some(Applying::Failed)
    }

    /// Its connection is given up.
    pub fn close(&mut self, w: &mut World) {
        if let Some(connection) = self.connection.take() {
            w.abandon(self.member, connection);
        }
    }
}

/// The client's transaction of an intent (the checker's knowledge).
pub fn origin(intent: &Intent) -> u32 {
    let text = intent.context.parameters.first().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}
