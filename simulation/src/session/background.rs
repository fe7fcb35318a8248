//! What goes on beside the foreground: answers that arrive, connections that are lost, judged and opened again. Mirrors
//! `session/{background,reporting,links}.rs`.

use raidb_core::member::Reason;
use raidb_core::transaction::follower::{Answer as Followed, Step};

use super::{CommitState, Foreground, Owed, Proof, Session, Trouble, Work, retry};
use crate::client::{Act, Client};
use crate::member::Answer;
use crate::proxy::in_flight::Member;
use crate::proxy::leaving::FaultOutcome;
use crate::settings::{DOOMED_GRACE, PROBE_LIMIT};
use crate::world::World;

impl Session {
    /// The session's turn with one member. True if something happened.
    pub fn background(&mut self, member: Member, w: &mut World) -> bool {
        self.look(w);
        if let Some(work) = self.slots[member].work {
            return self.work(member, work, w);
        }
        if self.slots[member].connection.is_none() {
            return self.reopen_if_needed(member, w);
        }
        self.step_follower(member, w)
    }

    /// One answer, or the end of the connection, arrives.
    pub fn deliver(&mut self, member: Member, w: &mut World) -> bool {
        let Some(connection) = self.slots[member].connection else { return false };
        let Some(backend) = w.servers[member].backend(connection) else { return false };
        if backend.at_end() {
            w.trace.add(w.now, "connection lost", [self.id, member as u64, u64::from(connection)], String::new);
            backend.client_gone = true;
            self.link_lost(member, w);
            return true;
        }
        let Some(answer) = backend.receive() else { return false };
        w.trace.add(w.now, "answer", [self.id, member as u64, u64::from(answer.status)], || format!("{answer:?}"));
        self.last_progress = w.now;
        match self.slots[member].owed.pop_front() {
            Some(Owed::Foreground) => self.answer = Some(answer),
            Some(Owed::Follower { entries, opens }) => self.follower_answered(member, &answer, entries, opens, w),
            Some(Owed::Commit) => self.commit_answered(member, &answer, w),
            Some(Owed::Proof) => self.proof_answered(member, &answer, w),
            None => w.violation(format!("session {} got an answer that it is not owed", self.id)),
        }
        true
    }

    fn proof_answered(&mut self, member: Member, answer: &Answer, w: &mut World) {
        let held = answer.status == b'T';
        self.slots[member].proof = if held { Proof::Held } else { Proof::Gone };
        if let Some(ticket) = self.ticket.filter(|_| held) {
            w.shared.in_flight.proved(ticket);
        }
    }

    fn commit_answered(&mut self, member: Member, answer: &Answer, w: &mut World) {
        let agreed = answer.error.is_none() && answer.tags.last().is_some_and(|tag| tag.verb == "COMMIT");
        if let Some(ticket) = self.ticket.filter(|_| agreed) {
            w.shared.in_flight.finished(ticket, member);
        }
        let slot = &mut self.slots[member];
        slot.deadline = None;
        slot.cursor.answered(Followed::agrees(0));
        slot.commit = CommitState::Done { agreed };
    }

    /// The connection is of no use any more: the member is judged.
    pub(super) fn link_lost(&mut self, member: Member, w: &mut World) {
        let slot = &mut self.slots[member];
        slot.connection = None;
        slot.owed.clear();
        if slot.lost {
            return;
        }
        slot.deadline = None;
        slot.lost = true;
        let commit_unknown = slot.commit == CommitState::Sent;
        slot.work = Some(Work::Suspect { commit_unknown, since: w.now });
    }

    /// Has a member taken out for a reason that this session saw.
    pub(super) fn report(&mut self, member: Member, reason: Reason) {
        if self.view.is_enabled(member) {
            let slot = &mut self.slots[member];
            slot.lost = true;
            slot.work = Some(Work::Report(reason));
        }
    }

    fn work(&mut self, member: Member, work: Work, w: &mut World) -> bool {
        let outcome = match work {
            Work::Cancel(connection) => {
                w.cancel(member, connection);
                self.slots[member].work = None;
                return true;
            }
            Work::Report(reason) => w.disable(member, reason),
            Work::Suspect { commit_unknown, since } => match self.suspect(member, since, w) {
                None => return false,
                // Whether its COMMIT took effect is unknown, so it cannot be counted on.
                Some(FaultOutcome::Alive) if commit_unknown => w.disable(member, Reason::LostConnection),
                Some(outcome) => outcome,
            },
        };
        self.slots[member].work = None;
        self.judged(member, outcome);
        true
    }

    /// Whether a member lives to which a connection was lost.
    fn suspect(&self, member: Member, since: u64, w: &mut World) -> Option<FaultOutcome> {
        let server = &w.servers[member];
        if !w.shared.membership.view.is_enabled(member) {
            return Some(FaultOutcome::Leaving);
        }
        if server.down_since.is_some() {
            return Some(w.disable(member, Reason::LostConnection));
        }
        if server.frozen_since.is_none() {
            return Some(FaultOutcome::Alive);
        }
        (w.now >= since + PROBE_LIMIT).then(|| w.disable(member, Reason::TimedOut))
    }

    fn judged(&mut self, member: Member, outcome: FaultOutcome) {
        let is_lead = self.leads(member);
        let slot = &mut self.slots[member];
        match outcome {
            // The view says the rest.
            FaultOutcome::Leaving => {}
            FaultOutcome::Last => {
                slot.lost = false;
                slot.last_down = true;
            }
            FaultOutcome::Alive => {
                slot.lost = false;
                let answered = matches!(slot.commit, CommitState::Done { .. });
                if slot.connection.is_some() {
                    // The judgement was about an earlier connection.
                } else if is_lead && !answered {
                    slot.lead_cut = true;
                } else if slot.cursor.begun() && !answered {
                    slot.cursor.reconnected();
                }
            }
        }
    }

    /// A follower that is part of an open transaction needs its connection back.
    fn reopen_if_needed(&mut self, member: Member, w: &mut World) -> bool {
        let wanted = !matches!(self.follower_step(member), Step::Agreed);
        let no_lead = self.open.as_ref().is_none_or(|open| open.lead == member);
        let slot = &self.slots[member];
        let needed = !slot.lost && (slot.cursor.begun() || !no_lead) && wanted && self.view.is_enabled(member);
        if !needed || self.view.down {
            return false;
        }
        self.connect(member, w);
        true
    }

    /// Opens a connection, or has the member judged that cannot be reached.
    pub(super) fn connect(&mut self, member: Member, w: &mut World) {
        let Some(connection) = w.connect(member, self.id) else {
            self.slots[member].lost = false;
            return self.link_lost(member, w);
        };
        let doom = self.leads(member);
        let slot = &mut self.slots[member];
        slot.connection = Some(connection);
        slot.owed.clear();
        if slot.cursor.begun() && !matches!(slot.commit, CommitState::Done { .. }) {
            slot.cursor.reconnected();
        }
        (slot.lost, slot.last_down) = (false, false);
        if let Some(open) = self.open.as_mut().filter(|_| doom) {
            // Without its BEGIN. Whatever is sent here would be committed by itself, on this member alone.
            open.doomed.get_or_insert_with(retry);
        }
    }

    /// Cancels what is doomed and does not end; reports a follower whose time is up.
    pub(super) fn watch_deadline(&mut self, member: Member, doomed: bool, w: &mut World) -> bool {
        let slot = &mut self.slots[member];
        if doomed {
            let since = *slot.doomed_since.get_or_insert(w.now);
            if w.now >= since + DOOMED_GRACE && slot.work.is_none() {
                slot.doomed_since = Some(w.now);
                slot.work = slot.connection.map(Work::Cancel);
                return true;
            }
        }
        if slot.deadline.is_some_and(|deadline| deadline <= w.now) && !slot.lost {
            slot.deadline = None;
            w.timed_out(member, "a statement of the transcript");
            self.report(member, Reason::TimedOut);
            return true;
        }
        false
    }

    /// What is open must end with this, as soon as it can.
    pub fn doom(&mut self, trouble: Trouble) {
        if let Some(open) = &mut self.open {
            open.doomed.get_or_insert(trouble);
        }
    }

    /// The connection is cut: what was sent is still carried out, and nobody hears of it.
    pub fn cut(&mut self, member: Member, w: &mut World) {
        if let Some(backend) = self.slots[member].connection.and_then(|id| w.servers[member].backend(id)) {
            backend.client_gone = true;
            self.link_lost(member, w);
        }
    }

    /// The proxy is gone. What the client may conclude of its transaction; it comes back.
    pub fn lost(mut self, w: &mut World) -> Client {
        if let Some(open) = self.open.take() {
            let asked = self.act() == Act::Commit
                && !matches!(self.state, Foreground::Cleaning { .. } | Foreground::Ending { .. });
            w.lost(open.origin, asked);
            self.client.ended();
        }
        self.client
    }
}
