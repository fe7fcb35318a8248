//! A client's session in the proxy: mirrors `proxy/src/session`, as steps in place of async code.
//!
//! The real parts decide: the transcript and its undo, each follower's [`FollowerCursor`], [`Seen`], footprints, the vote. A step
//! looks at everything anew, so there are no wake-ups here (a lost one cannot be found by this).

mod aborting;
mod background;
mod commit;
mod deciding;
mod follow;
mod foreground;
mod judge;
mod lead_change;

use std::collections::VecDeque;

use raidb_core::ids::CommitSeq;
use raidb_core::sql::footprint::Footprint;
use raidb_core::token::Token;
use raidb_core::transaction::follower::FollowerCursor;
use raidb_core::transaction::overtaking::Seen;
use raidb_core::transcript::{Transcript, Undo};
use raidb_core::verdict::{Outcome, SqlState};

use crate::client::{Act, Client};
use crate::disk::AppendId;
use crate::member::{Answer, Command, ConnectionId, Tag};
use crate::proxy::in_flight::{Doubts, Member};
use crate::proxy::membership::View;
use crate::statement::Op;
use crate::world::World;

/// What stands in a transcript.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is sent.
    pub command: Command,
    /// What the lead answered.
    pub tag: Tag,
    /// Rule 2: commits that must be finished first.
    pub barrier: Vec<CommitSeq>,
    /// When the lead answered.
    pub at: u64,
}

/// The open transaction.
#[derive(Debug)]
pub struct Open {
    pub origin: u32,
    pub lead: Member,
    pub lead_begun: bool,
    pub epoch: u64,
    pub transcript: Transcript<Entry>,
    pub footprint: Footprint,
    pub seen: Seen,
    pub token: Option<Token>,
    /// The token was given.
    pub token_given: bool,
    /// It must end with this.
    pub doomed: Option<Trouble>,
}

/// Why a step does not go on as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    LeadChanged,
    ViewChanged,
    /// The client is told this; the transaction is rolled back.
    Sql(SqlState),
    /// Nobody is there to work with.
    NoMember,
    /// Nobody knows: 08007, and the session ends.
    Fatal,
}

/// What was sent on a connection and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    Foreground,
    Follower { entries: usize, opens: bool },
    Commit,
    Proof,
}

/// What the lead says of the transaction that is being decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    #[default]
    NotNeeded,
    Asked,
    Held,
    Gone,
}

/// How far a member is with COMMIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitState {
    #[default]
    None,
    Sent,
    Done {
        agreed: bool,
    },
}

/// Something in the background that concerns a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It is looked whether it lives.
    Suspect { commit_unknown: bool, since: u64 },
    /// It is to leave.
    Report(raidb_core::member::Reason),
    /// A cancel request is on its way.
    Cancel(ConnectionId),
}

/// What the session has with one member.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "as in the proxy: facts that the next step consumes")]
pub struct Slot {
    pub connection: Option<ConnectionId>,
    pub cursor: FollowerCursor,
    pub owed: VecDeque<Owed>,
    pub work: Option<Work>,
    pub lost: bool,
    pub last_down: bool,
    pub lead_cut: bool,
    pub commit: CommitState,
    pub proof: Proof,
    pub deadline: Option<u64>,
    pub doomed_since: Option<u64>,
    pub settling: Option<(Vec<CommitSeq>, u64)>,
    pub difference: Option<Outcome>,
    pub differed_at: usize,
}

/// Where the foreground is.
#[derive(Clone, Debug)]
pub enum Foreground {
    Idle {
        until: u64,
    },
    /// The next act is to be sent.
    Act,
    /// The lead's answer to it is awaited.
    Answer,
    /// COMMIT: followers have to agree.
    Settle,
    Register,
    /// The intent is on its way.
    Write,
    /// It is durable; proof, doubts and turn are awaited.
    Prove(Doubts),
    Committing,
    /// A COMMIT that was decided does not count: the outcome is on its way.
    Undecide(AppendId, Trouble),
    /// An intent that is in the log does not count.
    Withdraw(Option<AppendId>, Trouble),
    LeadLeft {
        resume_commit: bool,
    },
    Drain {
        until: u64,
        resume_commit: bool,
    },
    Older {
        epoch: u64,
        resume_commit: bool,
    },
    /// The lead's answer to ROLLBACK, or to COMMIT of nothing.
    Ending {
        told: Told,
    },
    Cleaning {
        told: Told,
    },
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Committed,
    Aborted,
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    pub id: u64,
    pub view: View,
    pub client: Client,
    pub open: Option<Open>,
    pub slots: Vec<Slot>,
    pub state: Foreground,
    pub ticket: Option<CommitSeq>,
    /// Position of the intent of what is being committed.
    pub decided: u64,
    early: Option<u64>,
    intent: Option<AppendId>,
    intent_view: u64,
    urgent: bool,
    /// The lead was asked whether it still has the transaction.
    asked: bool,
    /// What the lead answered.
    answer: Option<Answer>,
    /// Something of interest happened since the last step.
    pub last_progress: u64,
}

impl Session {
    pub fn new(id: u64, client: Client, w: &World) -> Self {
        let view = w.shared.membership.view.clone();
        Session {
            id,
            slots: (0..w.servers.len()).map(|_| Slot::default()).collect(),
            view,
            client,
            open: None,
            state: Foreground::Idle { until: w.now },
            ticket: None,
            decided: 0,
            early: None,
            intent: None,
            intent_view: 0,
            urgent: false,
            asked: false,
            answer: None,
            last_progress: w.now,
        }
    }

    /// Takes the present view.
    fn look(&mut self, w: &mut World) {
        if w.shared.membership.view.version == self.view.version {
            return;
        }
        let before = std::mem::replace(&mut self.view, w.shared.membership.view.clone());
        for member in 0..self.slots.len() {
            if !self.view.is_enabled(member) || self.view.joins[member] != before.joins[member] {
                self.reset(member, w);
            }
        }
    }

    /// Forgets everything: the member is out, or the connection is of no use.
    fn reset(&mut self, member: Member, w: &mut World) {
        if let Some(connection) = self.slots[member].connection.take() {
            w.abandon(member, connection);
        }
        self.slots[member] = Slot::default();
    }

    fn send(&mut self, member: Member, unit: Vec<Command>, owed: Owed, w: &mut World) -> bool {
        let Some(connection) = self.slots[member].connection else { return false };
        w.trace.add(w.now, "send", [self.id, member as u64, u64::from(connection)], || format!("{unit:?}"));
        if let Some(backend) = w.servers[member].backend(connection) {
            backend.send(unit);
        }
        self.slots[member].owed.push_back(owed);
        true
    }

    fn is_lead(&self, member: Member) -> bool {
        self.open.as_ref().is_some_and(|open| open.lead == member)
    }

    /// Whether the lead has the transaction, and is this one.
    fn leads(&self, member: Member) -> bool {
        self.open.as_ref().is_some_and(|open| open.lead == member && open.lead_begun)
    }

    /// Undoes on the followers what was undone on the lead (rule 3).
    fn undo(&mut self, undo: &Undo, w: &World) {
        let Some(open) = &self.open else { return };
        if w.planted == crate::planted::Planted::UndoneGoesOn && undo.savepoint.is_some() {
            return;
        }
        for member in self.view.members().filter(|m| *m != open.lead) {
            self.slots[member].cursor.undo(undo);
        }
    }

    /// What must interrupt every wait that concerns the lead.
    fn check_lead(&mut self) -> Result<(), Trouble> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(trouble) = open.doomed.take() {
            return Err(trouble);
        }
        if self.view.lead_epoch != open.epoch {
            return Err(Trouble::LeadChanged);
        }
        let begun = open.lead_begun;
        let slot = &mut self.slots[open.lead];
        if slot.last_down {
            slot.last_down = false;
            slot.lost = false;
            return Err(Trouble::NoMember);
        }
        if slot.lead_cut && begun {
            slot.lead_cut = false;
            return Err(retry());
        }
        Ok(())
    }

    /// Whether, as far as this session can know, the lead still has the transaction, and that it has what this one has seen.
    /// `None`: not yet.
    fn lead_holds(&mut self, w: &World) -> Option<Result<(), Trouble>> {
        if let Err(trouble) = self.check_lead() {
            return Some(Err(trouble));
        }
        if self.view.down {
            return Some(Err(Trouble::NoMember));
        }
        let Some(open) = &self.open else { return Some(Ok(())) };
        let slot = &self.slots[open.lead];
        let lost = open.lead_begun && (slot.connection.is_none() || !slot.owed.is_empty());
        let clear = open.transcript.iter().all(|entry| w.shared.in_flight.clear_on(&entry.barrier, open.lead));
        (!lost && clear).then_some(Ok(()))
    }

    /// The operation of an entry, if it is one.
    fn writes(entry: &Entry) -> Option<Op> {
        match entry.command {
            Command::Run(op, _) if op.writes() => Some(op),
            _ => None,
        }
    }

    /// Whether it does nothing any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, Foreground::Idle { .. }) && self.client.is_over()
    }

    fn act(&self) -> Act {
        self.client.act()
    }
}

/// 40001.
fn retry() -> Trouble {
    Trouble::Sql(SqlState::SERIALIZATION_FAILURE)
}
