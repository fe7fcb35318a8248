//! What goes on beside the statement in hand: followers work off the transcript ([`super::following`]), idle links are watched,
//! the view is adopted, what was lost is judged ([`super::reporting`]).

use std::task::{Context, Poll};

use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::transaction::follower::Answer;

use super::Session;
use super::frames;
use super::links::{CommitState, Expects};
use super::registration::Proof;
use super::repeated::may_pass;
use super::trouble::SqlError;
use crate::members::pg::link::{Owner, UnitOutcome};
use crate::together;

impl Session {
    /// Moves everything in the background as far as it goes; the task is woken when more can be done.
    pub(crate) fn poll_background(&mut self, cx: &mut Context<'_>) {
        self.handle.register(cx);
        if self.database.view_version() != self.view.version {
            self.adopt_view();
        }
        for index in 0..self.slots.len() {
            let member = MemberId(u8::try_from(index).unwrap_or(u8::MAX));
            self.poll_member(member, cx);
        }
        self.poll_intent(cx);
        self.poll_timer(cx);
    }

    fn adopt_view(&mut self) {
        let before = std::mem::replace(&mut self.view, self.database.view());
        self.grow_slots();
        for index in 0..self.slots.len() {
            let member = MemberId(u8::try_from(index).unwrap_or(u8::MAX));
            // It may have been out and be back between two looks: nothing from before is of use.
            if !self.view.is_enabled(member) || self.view.joins(member) != before.joins(member) {
                self.slots[index].reset();
                self.slots[index].newcomer = self.open.is_some() && self.view.is_enabled(member);
            }
        }
    }

    fn poll_member(&mut self, member: MemberId, cx: &mut Context<'_>) {
        self.poll_work(member, cx);
        self.poll_reply(member);
        loop {
            if self.slot(member).link.is_none() {
                self.reopen_if_needed(member, cx);
                if self.slot(member).link.is_none() {
                    return;
                }
            }
            let stepped = self.step_follower(member, cx);
            let locked = self.step_locks(member);
            let read = self.poll_link(member, cx);
            if !stepped && !locked && !read {
                return;
            }
        }
    }

    /// Flushes, and collects one background answer. True if something happened.
    fn poll_link(&mut self, member: MemberId, cx: &mut Context<'_>) -> bool {
        let Some(link) = self.link(member) else { return false };
        if link.has_output()
            && let Poll::Ready(Err(error)) = link.poll_flush(cx)
        {
            self.link_lost(member, format!("sending: {error}"));
            return true;
        }
        match link.poll_background(cx) {
            Poll::Pending | Poll::Ready(Ok(None)) => false,
            Poll::Ready(Ok(Some((owner, outcome)))) => {
                self.background_answer(member, owner, outcome);
                true
            }
            Poll::Ready(Err(error)) => {
                self.link_lost(member, format!("reading: {error}"));
                true
            }
        }
    }

    fn background_answer(&mut self, member: MemberId, owner: Owner, outcome: UnitOutcome) {
        match owner {
            Owner::Discarded | Owner::Foreground => {}
            Owner::ProbeEnd => self.probe_ended(member, &outcome),
            Owner::Proof => {
                let held = outcome.status == b'T';
                self.slot(member).proof = if held { Proof::Held } else { Proof::Gone };
                if held && let Some(ticket) = &self.ticket {
                    self.database.in_flight.proved(ticket);
                }
            }
            Owner::Locks => self.locks_answered(member, outcome),
            Owner::Setting => {
                if let Some((sqlstate, message)) = outcome.error {
                    if may_pass(sqlstate) {
                        // A time limit, a cancel, no room: it says nothing of the member. A new connection gets it from the journal.
                        let leads = self.open.as_ref().is_some_and(|open| open.lead == member && open.lead_begun);
                        let slot = self.slot(member);
                        slot.give_up();
                        slot.lead_cut |= leads;
                        return self.handle.wake();
                    }
                    let detail =
                        format!("a setting that the lead took: {}: {message}", String::from_utf8_lossy(&sqlstate));
                    self.report(member, Reason::Diverged, detail);
                }
            }
            Owner::Repeated => {
                if let Some((sqlstate, message)) = outcome.error {
                    self.setting_refused(member, sqlstate, &message);
                }
            }
            Owner::Follower if matches!(self.slot(member).commit, CommitState::Sent { .. }) => {
                let (agreed, whole) = match &self.slot(member).commit {
                    CommitState::Sent { expects } => {
                        (expects.took_effect(&outcome), matches!(expects, Expects::Statements(_)))
                    }
                    CommitState::None | CommitState::Done { .. } => (false, false),
                };
                if whole && !agreed && outcome.error.is_none() {
                    // Its INSERTs did not fail, and did something else: it has committed that, so a replay would do it twice.
                    let detail = "it committed with another answer than the lead's".into();
                    return self.report(member, Reason::Diverged, detail);
                }
                if self.open.as_ref().is_some_and(|open| open.lead == member) {
                    // What the commit changed in the session (SET LOCAL ends) is reported with it.
                    self.staged.extend_from_slice(&outcome.reports);
                }
                if outcome.error.is_some()
                    && let Some(link) = self.link(member)
                {
                    frames::forget_own(link);
                }
                // Others wait for exactly this; a member that refused leaves the view first.
                if agreed && let Some(ticket) = self.ticket.clone() {
                    self.database.in_flight.finished(&ticket, member);
                }
                self.commit_done(member, outcome, agreed);
            }
            Owner::Follower => self.follower_answered(member, outcome),
        }
    }

    /// The end of a probe, which the client is not told of. If it failed (a late cancel hit it), the transaction is in an error on the
    /// lead that nobody knows of: its COMMIT would roll back.
    fn probe_ended(&mut self, member: MemberId, outcome: &UnitOutcome) {
        let Some(open) = self.open.as_mut().filter(|open| open.lead == member && open.lead_begun) else { return };
        if outcome.error.is_some() && open.doomed.is_none() {
            open.doomed = Some(SqlError::retry("a cancel request hit the proxy's own part of a statement"));
            self.handle.wake();
        }
    }

    /// What a line says of this session's commit (see [`crate::together`]).
    fn poll_reply(&mut self, member: MemberId) {
        let slot = self.slot(member);
        // While the member is judged because of another connection, the answer waits.
        let CommitState::Sent { expects: Expects::Line(reply) } = &slot.commit else { return };
        if slot.work.is_some() {
            return;
        }
        let Some(answer) = reply.take() else { return };
        match answer {
            together::Answer::Committed => self.commit_done(member, UnitOutcome::plain(), true),
            together::Answer::Refused(outcome) => self.commit_done(member, outcome, false),
            together::Answer::Differently => {
                self.report(member, Reason::Diverged, "it committed with another answer than the lead's".into());
            }
            together::Answer::Lost(detail) => self.judge_loss(member, detail, true),
            together::Answer::Unsent(detail) => {
                tracing::debug!(session = %self.handle.id, member = member.0, "commits alone: {detail}");
                self.send_alone(member);
            }
        }
    }

    pub(super) fn commit_done(&mut self, member: MemberId, outcome: UnitOutcome, agreed: bool) {
        let slot = self.slot(member);
        slot.deadline = None;
        slot.cursor.answered(Answer::agrees(0));
        slot.commit = CommitState::Done { outcome, agreed };
    }
}
