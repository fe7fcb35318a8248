//! From the decision to the client's answer: mirrors `session/{intent,commit,registration}.rs`.

use raidb_core::ids::CommitSeq;
use raidb_core::log::{Context, Intent, IntentEntry, IntentStatement, Outcome, Position, RecordKind};
use raidb_core::member::Reason;
use raidb_core::transaction::follower::Step;
use raidb_core::verdict::SqlState;

use super::{CommitState, Foreground, Owed, Proof, Session, Told, Trouble, retry};
use crate::disk::Appended;
use crate::member::Command;
use crate::planted::Planted;
use crate::proxy::in_flight::{Doubts, Member};
use crate::settings::MEMBER_TIMEOUT;
use crate::world::{World, name};

impl Session {
    pub(super) fn begin_intent(&mut self, w: &mut World) {
        let Some(open) = &self.open else { return };
        let entry = |(op, tag): (crate::statement::Op, String)| IntentEntry {
            statement: IntentStatement::Simple(op.encode()),
            tag: Some(tag.into_bytes()),
            alone: false,
        };
        let origin = open.origin.to_string().into_bytes();
        let intent = Intent {
            members: self.view.members().map(name).collect(),
            context: Context { parameters: vec![(b"origin".to_vec(), origin)], ..Context::default() },
            token: open.token.as_ref().map(|token| token.as_str().as_bytes().to_vec()),
            entries: self.logged().into_iter().map(entry).collect(),
            ..Intent::default()
        };
        self.intent_view = self.view.version;
        self.intent = Some(w.disk.append(RecordKind::Intent, intent.encode()));
    }

    /// Registered: the intent must become durable now.
    pub(super) fn write_intent(&mut self, w: &mut World) -> Result<(), Trouble> {
        if self.intent.is_none() && self.decided == 0 {
            if let Some(token) = self.open.as_ref().and_then(|open| open.token.clone()) {
                let end = w.disk.end();
                if !w.shared.decide(&token, w.now, end) {
                    return Err(retry());
                }
            }
            self.begin_intent(w);
        }
        Ok(())
    }

    /// Whether the record of the intent is there; what it means if not.
    fn intent_written(&mut self, w: &mut World) -> Result<bool, Trouble> {
        let Some(id) = self.intent else { return Ok(self.decided != 0) };
        let Some(appended) = w.disk.take(id) else { return Ok(false) };
        self.intent = None;
        match appended {
            Appended::Durable(position) => {
                self.decided = position.0;
                Ok(true)
            }
            Appended::Full => SqlState::parse(b"53100").map_or(Err(Trouble::Fatal), |state| Err(Trouble::Sql(state))),
            Appended::Failed => {
                w.stop_writes();
                Err(Trouble::Fatal)
            }
        }
    }

    pub(super) fn wait_intent(&mut self, w: &mut World) -> Result<bool, Trouble> {
        let Some(ticket) = self.ticket else { return Err(Trouble::ViewChanged) };
        if w.planted == Planted::CommitBeforeIntent {
            self.state = Foreground::Prove(Doubts::default());
            return Ok(true);
        }
        if !self.intent_written(w)? {
            return Ok(false);
        }
        w.shared.in_flight.positioned(ticket, self.decided);
        if let Some(token) = self.open.as_ref().and_then(|open| open.token.as_ref()) {
            w.shared.tokens.positioned(token, Position(self.decided));
        }
        self.state = Foreground::Prove(w.shared.in_flight.doubts(ticket));
        Ok(true)
    }

    /// Behind this COMMIT may leave.
    pub(super) fn prove(&mut self, mut doubts: Doubts, w: &mut World) -> Result<bool, Trouble> {
        let (Some(ticket), Some(lead)) = (self.ticket, self.open.as_ref().map(|open| open.lead)) else {
            return Err(Trouble::ViewChanged);
        };
        if w.shared.writes_stopped {
            return Err(Trouble::Fatal);
        }
        let proof = self.slots[lead].proof;
        // A lead that leaves takes its answer with it.
        let held = !self.asked || proof == Proof::Held;
        if held && w.shared.in_flight.settled(&mut doubts) {
            let alone = self.view.members().count() < 2;
            if w.shared.in_flight.leave(ticket, alone) {
                self.state = Foreground::Committing;
                let members: Vec<Member> =
                    self.view.members().filter(|m| w.shared.in_flight.commits_on(ticket, *m)).collect();
                members.into_iter().for_each(|member| self.send_commit(member, w));
                return Ok(true);
            }
        }
        self.state = Foreground::Prove(doubts);
        self.check_lead()?;
        if self.view.down {
            return Err(Trouble::NoMember);
        }
        if proof == Proof::Gone {
            return Err(retry());
        }
        Ok(false)
    }

    fn send_commit(&mut self, member: Member, w: &mut World) {
        let is_lead = self.is_lead(member);
        let (begun, length) = self.open.as_ref().map_or((false, 0), |open| (open.lead_begun, open.transcript.len()));
        let slot = &mut self.slots[member];
        let lacks = !is_lead && length > 0 && (slot.connection.is_none() || slot.cursor.step(length) != Step::Agreed);
        if lacks {
            // It gets this transaction from the log.
            slot.commit = CommitState::Sent;
            return self.report(member, Reason::LostConnection);
        }
        let has_something = if is_lead { begun } else { slot.cursor.begun() };
        if slot.connection.is_none() || !has_something {
            slot.commit = if has_something { CommitState::Sent } else { CommitState::None };
            if has_something {
                self.report(member, Reason::LostConnection);
            }
            return;
        }
        slot.commit = CommitState::Sent;
        if !is_lead {
            slot.cursor.commit_sent();
        }
        let mark = Command::Mark(self.decided);
        let unit = match w.planted {
            // The marker in a transaction of its own, behind the data's.
            Planted::MarkerApart => vec![Command::Commit, mark],
            _ => vec![mark, Command::Commit],
        };
        self.send(member, unit, Owed::Commit, w);
    }

    /// Waits until each member has committed or has left the view.
    pub(super) fn committing(&mut self, w: &mut World) -> Result<bool, Trouble> {
        let Some(ticket) = self.ticket else { return Err(Trouble::ViewChanged) };
        let members: Vec<Member> =
            (0..self.slots.len()).filter(|m| w.shared.in_flight.commits_on(ticket, *m)).collect();
        let (mut waiting, mut one_done, mut acted) = (false, false, false);
        for member in &members {
            match self.slots[*member].commit {
                CommitState::None => {}
                CommitState::Sent => {
                    waiting |= self.view.is_enabled(*member) && w.shared.in_flight.pending_on(ticket, *member);
                }
                CommitState::Done { agreed } => {
                    if !agreed && self.slots[*member].work.is_none() && !self.slots[*member].lost {
                        self.report(*member, Reason::Diverged);
                        acted = true;
                    }
                    one_done |= agreed;
                    waiting |= !agreed;
                }
            }
        }
        if self.refused_by_all(&members) {
            return Err(Trouble::Sql(SqlState::SERIALIZATION_FAILURE));
        }
        if w.planted == Planted::EarlyAnswer && one_done {
            waiting = false;
        }
        if one_done {
            acted |= self.limit_commit(&members, w);
        }
        let last = |m: &Member| self.view.is_enabled(*m) && self.view.down;
        if waiting && members.iter().any(|m| last(m) || self.slots[*m].last_down) {
            w.shared.membership.set_down();
            return Err(Trouble::Fatal);
        }
        if waiting {
            return Ok(acted);
        }
        let unrecorded = |m: &Member| !w.shared.in_flight.done_on(ticket, *m);
        if w.shared.writes_stopped && members.iter().any(unrecorded) && w.planted != Planted::LeavesUnrecorded {
            // Whoever has left may not have left durably: then nobody may be told of a commit without him.
            return Err(Trouble::Fatal);
        }
        self.committed(ticket, w);
        Ok(true)
    }

    fn refused_by_all(&self, members: &[Member]) -> bool {
        let mut left = members.iter().filter(|m| self.view.is_enabled(**m)).peekable();
        left.peek().is_some() && left.all(|m| self.slots[*m].commit == CommitState::Done { agreed: false })
    }

    /// The first member has committed: the others have their time from now.
    fn limit_commit(&mut self, members: &[Member], w: &mut World) -> bool {
        for member in members {
            let slot = &mut self.slots[*member];
            if slot.commit == CommitState::Sent {
                let deadline = *slot.deadline.get_or_insert(w.now + MEMBER_TIMEOUT);
                if deadline <= w.now && !slot.lost && self.view.is_enabled(*member) {
                    self.commit_late(*member, w);
                    return true;
                }
            }
        }
        false
    }

    fn committed(&mut self, ticket: CommitSeq, w: &mut World) {
        w.shared.journal.finish(Position(self.decided));
        self.decided = 0;
        self.ticket = None;
        if !w.shared.writes_stopped {
            w.shared.in_flight.proved(ticket);
        }
        w.check_acknowledged(self.open.as_ref().map_or(0, |open| open.origin));
        w.shared.in_flight.committed(ticket);
        self.token_ended(Told::Committed, w);
        w.counts.commits += 1;
        for slot in &mut self.slots {
            slot.commit = CommitState::None;
            slot.cursor.committed();
            slot.deadline = None;
        }
        self.urgent = false;
        self.close(Told::Committed, w);
    }

    /// A COMMIT that does not go on as planned: first it is made sure of that what is in the log does not count.
    pub(super) fn commit_trouble(&mut self, trouble: Trouble, w: &mut World) {
        if trouble == Trouble::Fatal {
            return self.commit_unknown(w);
        }
        match self.ticket {
            Some(_) if self.decided != 0 => {
                let record = w.disk.append(RecordKind::Outcome, Outcome { aborted: Position(self.decided) }.encode());
                self.state = Foreground::Undecide(record, trouble);
            }
            _ => self.not_decided(trouble, w),
        }
    }

    /// A ticket without an intent that counts has no effect.
    fn not_decided(&mut self, trouble: Trouble, w: &mut World) {
        if self.intent.is_none() && self.decided == 0 {
            self.void(w);
            return self.after_withdrawal(trouble, w);
        }
        self.state = Foreground::Withdraw(None, trouble);
    }

    fn void(&mut self, w: &mut World) {
        if let Some(ticket) = self.ticket.take() {
            w.shared.in_flight.void(ticket);
        }
        for slot in &mut self.slots {
            slot.commit = CommitState::None;
        }
    }

    pub(super) fn undecide(&mut self, record: u64, trouble: Trouble, w: &mut World) -> Result<bool, Trouble> {
        let Some(appended) = w.disk.take(record) else { return Ok(false) };
        let Appended::Durable(position) = appended else {
            w.stop_writes();
            return Err(Trouble::Fatal);
        };
        w.shared.journal.aborted(Position(self.decided), position);
        self.decided = 0;
        self.void(w);
        self.after_withdrawal(trouble, w);
        Ok(true)
    }

    /// What was sent to the log does not count: durably, before anything else is decided or told.
    pub(super) fn withdraw(&mut self, record: Option<u64>, trouble: Trouble, w: &mut World) -> Result<bool, Trouble> {
        if let Some(record) = record {
            let undecided = self.undecide(record, trouble, w)?;
            return Ok(undecided);
        }
        match self.intent_written(w) {
            Ok(true) if w.planted == Planted::NotWithdrawn => {
                w.shared.journal.finish(Position(self.decided));
                self.decided = 0;
                self.void(w);
                self.after_withdrawal(trouble, w);
            }
            Ok(true) => {
                let outcome = Outcome { aborted: Position(self.decided) };
                let record = w.disk.append(RecordKind::Outcome, outcome.encode());
                self.state = Foreground::Withdraw(Some(record), trouble);
            }
            Ok(false) => return Ok(false),
            // Nothing was written.
            Err(Trouble::Sql(_)) => {
                self.void(w);
                self.after_withdrawal(trouble, w);
            }
            Err(fatal) => return Err(fatal),
        }
        Ok(true)
    }

    fn after_withdrawal(&mut self, trouble: Trouble, w: &mut World) {
        if let Some(early) = self.early.take() {
            w.shared.in_flight.end_provisional(early);
        }
        let token = self.open.as_ref().is_some_and(|open| open.token.is_some());
        self.urgent = false;
        match trouble {
            // Under a token nobody may be told "aborted" of what is tried again, once it was decided.
            Trouble::LeadChanged if !token => self.state = Foreground::LeadLeft { resume_commit: true },
            Trouble::ViewChanged if !token => self.state = Foreground::Act,
            Trouble::ViewChanged if !self.token_decided(w) => self.state = Foreground::Act,
            Trouble::LeadChanged if !self.token_decided(w) => {
                self.state = Foreground::LeadLeft { resume_commit: true };
            }
            _ => self.roll_back(Told::Aborted, w),
        }
    }

    fn commit_unknown(&mut self, w: &mut World) {
        if let Some(ticket) = self.ticket.take() {
            w.shared.in_flight.abandon(ticket);
        }
        if !w.shared.writes_stopped
            && let Some(early) = self.early.take()
        {
            w.shared.in_flight.end_provisional(early);
        }
        (self.decided, self.intent, self.urgent) = (0, None, false);
        self.fatal(w);
    }

    fn token_decided(&self, w: &World) -> bool {
        let Some(token) = self.open.as_ref().and_then(|open| open.token.as_ref()) else { return false };
        w.shared.decided.contains(token.as_str())
    }

    pub(super) fn token_ended(&mut self, told: Told, w: &mut World) {
        let Some(token) = self.open.as_ref().and_then(|open| open.token.as_ref()) else { return };
        match told {
            Told::Committed => w.shared.tokens.committed(token, w.now),
            Told::Aborted => w.shared.tokens.aborted(token, w.now),
            Told::Unknown => {}
        }
    }
}
