//! A transaction of one INSERT: on each follower one message is statement, marker and COMMIT.
//!
//! What is usual (see `commit`) costs a follower two messages and two waits: BEGIN and the statement, then COMMIT. Where the
//! proxy itself opened the transaction around one INSERT without ON CONFLICT, the statement goes to the
//! followers as a transaction of its own, at the same time as COMMIT goes to the lead.
//!
//! **Why no order can differ.** The usual way has two belts: locks are held on every follower before the lead commits, and
//! nothing is sent to a follower before the commits that it could meet there are finished (rule 2). Here the
//! second one holds alone, so it must be exact:
//! * *Before us.* Whoever held our row on the lead has committed there before the lead answered us, so its ticket was in
//!   flight, or finished, when our barrier was taken; or it rolled back, and what it left on a follower is doomed and waits
//!   for nobody (rule 3). We leave only when the barrier is clear on **every** follower.
//! * *Behind us.* Whoever waits for our row on the lead gets it when our COMMIT takes effect there, and our ticket is
//!   registered before that COMMIT leaves: it is in that statement's barrier, which is not clear on a follower before
//!   our statement has committed there.
//! * *Beside us.* Footprints are either whole conflict groups, or keys of tables in which statements on different keys
//!   cannot see each other (`footprint::Rows::Keys`): who has another footprint can be run before or behind us.
//!
//! **Why INSERT alone.** It inserts all its rows or fails, and with it fails the marker, which stands behind it in the same
//! transaction. So a follower that does not agree has changed nothing and says so in its tables: it can still be
//! brought to agree by a replay (rule 4), behind the commits in flight there, as a transaction that is held open; and what
//! survives that is judged. An UPDATE that finds no row would have committed its marker without its row.

use std::future::poll_fn;
use std::task::Poll;

use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::sql::analysis::Isolation;
use raidb_core::sql::footprint::Footprint;
use raidb_core::transaction::follower::Step;

use tokio::time::Instant;

use super::Session;
use super::background::barrier_clear;
use super::frames;
use super::links::{CommitState, Expects};
use super::transaction::Payload;
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;

impl Session {
    /// Whether the open transaction is one INSERT, of which no follower has heard.
    pub(super) fn may_commit_at_once(&self) -> bool {
        let Some(open) = &self.open else { return false };
        let plain = !open.explicit
            && open.lead_begun
            && open.isolation == Isolation::ReadCommitted
            && !open.deferred
            && !open.meaning_changed
            && open.own_catalog.is_none()
            && open.settings.is_empty()
            && matches!(open.footprint, Footprint::Touches(_));
        if !plain || open.transcript.len() != 1 {
            return false;
        }
        let all_or_nothing = open.transcript.get(0).is_some_and(|entry| {
            !entry.alone && !matches!(entry.payload, Payload::Copied { .. }) && entry.all_or_nothing
        });
        // On a follower it runs under the session's defaults: they must be what followers always run under.
        let defaults = !self.settings.time_limits && self.plain_defaults();
        all_or_nothing && defaults && self.view.members().all(|m| m == open.lead || self.untouched(m))
    }

    fn untouched(&self, member: MemberId) -> bool {
        let slot = &self.slots[usize::from(member.0)];
        slot.link.is_some() && slot.cursor.clean() && slot.work.is_none() && !slot.lost
    }

    /// Commits the open transaction (see [`Session::may_commit_at_once`]).
    ///
    /// # Errors
    /// As [`Session::commit`]. [`Trouble::LeadChanged`] comes only before anything was sent: then the usual way goes on.
    pub(super) async fn commit_at_once(&mut self) -> Result<(), Trouble> {
        // Up to the moment when it goes out with its commit, the entry must not go out by itself.
        self.hold(true);
        let result = self.try_at_once().await;
        self.hold(false);
        result
    }

    fn hold(&mut self, held: bool) {
        if let Some(open) = self.open.as_mut() {
            open.held = held;
        }
    }

    async fn try_at_once(&mut self) -> Result<(), Trouble> {
        self.ready_at_once().await?;
        self.reach(FaultPoint::AtOnceBeforeTicket).await;
        self.refuse_if_stopped()?;
        let Some(open) = self.open.as_ref() else { return Ok(()) };
        let lead = open.lead;
        let followers: Vec<MemberId> = self.view.members().filter(|m| *m != lead).collect();
        if !followers.iter().all(|m| self.untouched(*m)) {
            // A connection was lost meanwhile: the usual way knows what to do.
            self.hold(false);
            self.settle_followers().await?;
            return self.decide(lead).await;
        }
        if self.view.down {
            return Err(SqlError::no_member().into());
        }
        let Some(ticket) = self.register_commit() else { return Err(Trouble::ViewChanged) };
        let members: Vec<MemberId> = self.view.members().collect();
        let mut result = self.write_intent().await;
        if result.is_ok() {
            self.reach_between(lead, FaultPoint::AtOnceSentToLead, FaultPoint::AtOnceSentToFollower).await;
            self.send_commit(lead);
            followers.iter().for_each(|m| self.send_whole(*m));
            self.hold(false);
            self.reach(FaultPoint::AtOnceSentToAll).await;
            result = self.answered_at_once(&followers).await;
        }
        if result.is_ok() {
            result = self.committed_on(&members, &ticket).await;
        }
        self.committed(&ticket, result).await
    }

    /// Waits until no cancel is on its way and the barrier is clear on every follower.
    async fn ready_at_once(&mut self) -> Result<(), Trouble> {
        self.cancels_done().await;
        poll_fn(|cx| {
            self.poll_background(cx);
            self.check_lead()?;
            let Some(open) = &self.open else { return Poll::Ready(Ok(())) };
            let Some(entry) = open.transcript.get(0) else { return Poll::Ready(Ok(())) };
            let clear = self
                .view
                .members()
                .filter(|m| *m != open.lead)
                .all(|follower| barrier_clear(&entry.barrier, follower, &self.handle));
            if clear { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    pub(super) fn send_whole(&mut self, member: MemberId) {
        let Some(entry) = self.open.as_ref().and_then(|open| open.transcript.get(0)) else { return };
        let (table, position) = (self.database.markers.active(), self.decided);
        let limit = Instant::now() + entry.lead_took + self.database.settings.member_timeout;
        let slot = &mut self.slots[usize::from(member.0)];
        let Some(tag) = &entry.tag else { return };
        let Some(link) = slot.link.as_mut() else {
            // Lost while the intent was written. Decided without having heard of it: it gets this from the log.
            slot.commit = CommitState::Sent { expects: Expects::Statement(tag.clone()) };
            self.report(member, Reason::LostConnection, "connection lost before the decision was sent".into());
            return;
        };
        frames::write_whole(link, &entry.payload, table, position);
        slot.commit = CommitState::Sent { expects: Expects::Statement(tag.clone()) };
        slot.cursor.commit_sent();
        slot.deadline = Some(limit);
    }

    /// Waits for the followers' answers. One that does not agree gets the transcript the usual way, and then COMMIT.
    async fn answered_at_once(&mut self, followers: &[MemberId]) -> Result<(), Trouble> {
        let mut differing: Vec<MemberId> = Vec::new();
        loop {
            poll_fn(|cx| {
                self.poll_background(cx);
                // The last member, lost: the caller knows what that means.
                let waiting = followers.iter().filter(|m| self.view.is_enabled(**m)).any(|m| {
                    let slot = &self.slots[usize::from(m.0)];
                    matches!(slot.commit, CommitState::Sent { .. }) && !slot.last_down && !differing.contains(m)
                });
                self.limit_commit(followers);
                if waiting { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            for member in followers {
                if matches!(self.slots[usize::from(member.0)].commit, CommitState::Done { agreed: false, .. }) {
                    self.replay_decided(*member);
                    differing.push(*member);
                }
            }
            if differing.is_empty() {
                return Ok(());
            }
            let diverged = self.followed(&differing).await;
            if diverged.is_empty() {
                differing.iter().for_each(|m| self.send_commit(*m));
                return Ok(());
            }
            self.judge(&diverged).await?;
            differing.retain(|m| self.view.is_enabled(*m));
        }
    }

    /// The follower changed nothing: the machine starts anew, behind the commits in flight there.
    fn replay_decided(&mut self, member: MemberId) {
        self.database.counters.replays.add();
        let entry = self.open.as_ref().and_then(|open| open.transcript.get(0));
        let slot = &mut self.slots[usize::from(member.0)];
        if let CommitState::Done { outcome, .. } = std::mem::take(&mut slot.commit) {
            slot.difference = Some(outcome);
            slot.differed_at = 0;
        }
        if let (Some(link), Some(entry)) = (slot.link.as_mut(), entry) {
            frames::forget_parse(link, entry);
        }
        slot.cursor.reconnected();
    }

    /// Waits until each of these followers has executed the transcript, or will not; those that will not.
    async fn followed(&mut self, followers: &[MemberId]) -> Vec<MemberId> {
        self.urgent = true;
        let diverged = poll_fn(|cx| {
            self.poll_background(cx);
            let mut diverged = Vec::new();
            for member in followers.iter().filter(|m| self.view.is_enabled(**m)) {
                let slot = &self.slots[usize::from(member.0)];
                match slot.cursor.step(1) {
                    Step::Agreed if !slot.lost => {}
                    Step::Diverged => diverged.push(*member),
                    _ => return Poll::Pending,
                }
            }
            Poll::Ready(diverged)
        })
        .await;
        self.urgent = false;
        diverged
    }
}
