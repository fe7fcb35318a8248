//! A short transaction of which no follower has heard: each follower gets it whole, together with those of other sessions
//! ([`crate::together`]). INSERTs alone go behind the decision, as one message with their COMMIT. Others, whose answers must be
//! looked at before they commit, run there while the intent is on its way to the disk; COMMIT follows the decision.
//!
//! What is usual (see `commit`) costs a follower two messages, two waits and a flush for each transaction: BEGIN and the
//! statements, then COMMIT. A transaction of few statements that change rows and nothing else goes to the followers when the
//! client commits.
//!
//! **Why no order can differ.** The usual way has two belts: locks are held on every follower before the lead commits, and
//! nothing is sent to a follower before the commits that it could meet there are finished (rule 2). Here the
//! second one holds alone, so it must be exact:
//! * *Before us.* Whoever held our row on the lead has committed there before the lead answered us, so its ticket was in
//!   flight, or finished, when our barrier was taken; or it rolled back, and what it left on a follower is doomed and waits
//!   for nobody (rule 3). We leave only when the barriers of all our statements are clear on **every** follower, and we are
//!   registered.
//! * *Behind us.* Whoever waits for our row on the lead gets it when our COMMIT takes effect there, and our ticket is
//!   registered before that COMMIT leaves: it is in that statement's barrier, which is not clear on a follower before
//!   our statements have committed there.
//! * *Beside us.* Footprints are either whole conflict groups, or keys of tables in which statements on different keys
//!   cannot see each other (`footprint::Rows::Keys`): who has another footprint can be run before, behind or
//!   together with us.
//!
//! **A follower that does not agree has changed nothing.** Its answers are compared before it commits ([`crate::together`]);
//! only INSERTs without ON CONFLICT, which insert all their rows or fail, are sent together with their COMMIT. So it can still
//! be brought to agree by a replay (rule 4), behind the commits in flight there, as a transaction that is held open;
//! and what survives that is judged. The lead has committed by then: if the others outvote it, it leaves with its
//! commit, and the client gets 40001. That is the same verdict as before COMMIT, and as durable.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use raidb_core::ids::MemberId;
use raidb_core::log::Position;
use raidb_core::member::Reason;
use raidb_core::sql::footprint::Footprint;
use raidb_core::transaction::follower::Step;

use tokio::time::Instant;

use super::Session;
use super::following::barrier_clear;
use super::frames;
use super::links::{CommitState, Expects};
use super::registration::Proof;
use super::transaction::{Entry, OpenTransaction, Payload};
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::members::pg::link::{Owner, UnitOutcome};
use crate::together::combining::COMBINED_MAX;
use crate::together::{Decision, Group, Mark, Reply, Statement, Whole};

/// A transaction of more statements goes the usual way: followers work on it while the lead does.
const STATEMENTS_MAX: usize = 16;
/// A follower that replays a decided transaction has so much longer than `member_timeout`.
const REPLAY_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// It changes rows, and says how many: no lock, setting or savepoint; and it does not need a name that other sessions have not.
fn writes_rows(entry: &Entry) -> bool {
    let verbs = [&b"INSERT "[..], b"UPDATE ", b"DELETE "];
    let tag = entry.tag.as_deref().unwrap_or_default();
    let text = matches!(entry.payload, Payload::Simple(_) | Payload::Extended { .. });
    entry.logged && !entry.alone && text && verbs.iter().any(|verb| tag.starts_with(verb))
}

/// A transaction in the queues of lines. Dropped before it was decided, it does not count.
pub(super) struct Submitted {
    whole: Arc<Whole>,
    replies: Vec<(MemberId, Arc<Reply>)>,
}

impl Drop for Submitted {
    fn drop(&mut self) {
        self.whole.decision.withdrawn();
    }
}

impl Session {
    /// Whether the open transaction may go to the followers as a whole: none of them has heard of it.
    pub(super) fn may_commit_at_once(&mut self) -> bool {
        let shared = self.group().is_some();
        let Some(open) = &self.open else { return false };
        let plain = open.lead_begun
            && !open.modes.isolation.lasts()
            && !open.holds_cursor
            && !open.deferred
            && !open.meaning_changed
            && open.own_catalog.is_none()
            && open.temporary.is_none()
            && open.settings.is_empty()
            && matches!(open.footprint, Footprint::Touches(_));
        // INSERTs of several sessions ([`super::combined`]) were answered all at the same time: nobody has worked on them yet.
        let most = if open.combined { COMBINED_MAX } else { STATEMENTS_MAX };
        if !plain || !(1..=most).contains(&open.transcript.len()) {
            return false;
        }
        // On a follower it runs under the session's defaults: they must be what followers always run under.
        let defaults = !self.settings.time_limits && self.plain_defaults();
        let alone = |entry: &Entry| entry.all_or_nothing;
        defaults
            && open.transcript.iter().all(writes_rows)
            && (shared || open.transcript.iter().all(alone))
            && self.view.members().all(|m| m == open.lead || self.untouched(m))
    }

    pub(super) fn untouched(&self, member: MemberId) -> bool {
        let slot = &self.slots[usize::from(member.0)];
        let owed = [Owner::Repeated, Owner::Setting, Owner::Locks];
        let equal = slot.link.as_ref().is_some_and(|link| !owed.iter().any(|owner| link.owes(*owner)));
        equal && slot.cursor.clean() && slot.work.is_none() && !slot.lost
    }

    /// Commits the open transaction (see [`Session::may_commit_at_once`]).
    ///
    /// # Errors
    /// As [`Session::commit`]. [`Trouble::LeadChanged`] comes only before anything was sent: then the usual way goes on.
    pub(super) async fn commit_at_once(&mut self) -> Result<(), Trouble> {
        // Up to the moment when they go out with their commit, the entries must not go out by themselves.
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
        self.reach(FaultPoint::AtOnceBeforeTicket).await;
        let (lead, followers, ticket) = loop {
            self.ready_at_once().await?;
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
            if let Some(ticket) = self.register_commit()? {
                break (lead, followers, ticket);
            }
            self.woken().await;
        };
        let members: Vec<MemberId> = self.view.members().collect();
        // Registered, with all barriers clear, in this very poll: in its place among the others. Beside the log's flush.
        let mut early = if self.goes_early(lead) { self.submit(&followers) } else { None };
        let mut result = self.decided_behind_proof(lead, &ticket, &mut early).await;
        if result.is_ok() {
            self.reach_between(lead, FaultPoint::AtOnceSentToLead, FaultPoint::AtOnceSentToFollower).await;
            self.send_commit(lead);
            match &early {
                Some(submitted) => self.count(submitted),
                None => self.send_whole(&followers),
            }
            self.hold(false);
            self.reach(FaultPoint::AtOnceSentToAll).await;
            result = self.answered_at_once(&followers).await;
        }
        // If it does not count, followers roll back now, before anybody is told, and before its ticket is void.
        drop(early);
        if result.is_ok() {
            result = self.committed_on(&members, &ticket).await;
        }
        self.committed(&ticket, result).await
    }

    /// Waits until no cancel is on its way, the lead holds the transaction, and all barriers are clear on every member.
    async fn ready_at_once(&mut self) -> Result<(), Trouble> {
        self.cancels_done().await;
        poll_fn(|cx| {
            self.poll_background(cx);
            let held = std::task::ready!(self.poll_lead_holds());
            held?;
            let Some(open) = &self.open else { return Poll::Ready(Ok(())) };
            // All at one moment: a member that joins between two looks would be looked at by neither.
            let clear = self.view.members().filter(|m| *m != open.lead).all(|follower| {
                open.transcript.iter().all(|entry| barrier_clear(&entry.barrier, follower, &self.handle))
            });
            if clear { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Whether the statements run on the followers while the intent is on its way to the disk. Nothing of that is committed before
    /// [`Session::count`].
    ///
    /// Not if the lead has yet to say that it has kept its locks (`registration`): if not, somebody else has its rows, on the followers
    /// too, and a line would wait for him. INSERTs alone are one message with their COMMIT, which is cheaper.
    fn goes_early(&self, lead: MemberId) -> bool {
        let looked_at = |open: &OpenTransaction| !open.transcript.iter().all(|entry| entry.all_or_nothing);
        // With a token somebody may be told "aborted" up to the decision.
        self.open.as_ref().is_some_and(looked_at)
            && self.slots[usize::from(lead.0)].proof == Proof::NotNeeded
            && self.transaction_token().is_none()
            && !self.tested_on_one_follower()
    }

    /// Hands the transaction to the lines that sessions share; `None` if this session is not like others.
    fn submit(&mut self, followers: &[MemberId]) -> Option<Submitted> {
        let (group, whole) = self.group().zip(self.whole())?;
        // One that left while the intent was written gets it from the log.
        let enabled = followers.iter().filter(|m| self.view.is_enabled(**m));
        let replies = enabled.map(|m| (*m, group.submit(&self.database, *m, whole.clone()))).collect();
        Some(Submitted { whole, replies })
    }

    /// It is decided, so it counts: the lines commit it, and their answers are looked at.
    fn count(&mut self, submitted: &Submitted) {
        submitted.whole.decision.decided(self.mark());
        let limit = self.limit_whole();
        for (member, reply) in &submitted.replies {
            if self.view.is_enabled(*member) {
                let slot = self.slot(*member);
                slot.commit = CommitState::Sent { expects: Expects::Line(reply.clone()) };
                slot.cursor.commit_sent();
                slot.deadline = Some(limit);
            }
        }
    }

    /// Sends the decided transaction to the followers.
    pub(super) fn send_whole(&mut self, followers: &[MemberId]) {
        if let Some(submitted) = self.submit(followers) {
            return self.count(&submitted);
        }
        let enabled: Vec<MemberId> = followers.iter().copied().filter(|m| self.view.is_enabled(*m)).collect();
        enabled.into_iter().for_each(|m| self.send_alone(m));
    }

    fn mark(&self) -> Mark {
        Mark { position: self.decided, table: self.database.markers.active() }
    }

    /// The lines for this session; none if a statement of its own may have changed what texts mean.
    pub(super) fn group(&mut self) -> Option<Arc<Group>> {
        // Others may run their statements on this session's connections: names must mean the same there.
        if self.settings.journal().next().is_some() || self.has_temporary() {
            return None;
        }
        if self.group.is_none() {
            self.group = self.database.together.group(&self.identity.parameters, &self.reported);
        }
        self.group.clone()
    }

    fn whole(&self) -> Option<Arc<Whole>> {
        let open = self.open.as_ref()?;
        let plain_strings = self.settings.standard_conforming;
        let statement = |entry: &Entry| {
            Some(Statement::new(entry.payload.clone(), entry.tag.clone()?, plain_strings && entry.literals))
        };
        Some(Arc::new(Whole {
            statements: open.transcript.iter().map(statement).collect::<Option<Vec<_>>>()?,
            all_or_nothing: open.transcript.iter().all(|entry| entry.all_or_nothing),
            decision: if self.decided == Position::START { Decision::default() } else { Decision::of(self.mark()) },
            ticket: self.ticket.clone()?,
            session: self.handle.clone(),
        }))
    }

    fn limit_whole(&self) -> Instant {
        let entries = self.open.iter().flat_map(|open| open.transcript.iter());
        let took: std::time::Duration = entries.map(|entry| entry.lead_took).sum();
        Instant::now() + took + self.database.settings.member_timeout
    }

    /// Sends the transaction to a follower on this session's own connection.
    pub(super) fn send_alone(&mut self, member: MemberId) {
        let (table, position, limit) = (self.database.markers.active(), self.decided, self.limit_whole());
        let Some(open) = self.open.as_ref() else { return };
        if !open.transcript.iter().all(|entry| entry.all_or_nothing) {
            // What it answers must be looked at before it commits: the way that is taken when it does not agree.
            return self.commit_done(member, UnitOutcome::plain(), false);
        }
        let tags = open.transcript.iter().filter_map(|entry| entry.tag.clone()).collect();
        let slot = &mut self.slots[usize::from(member.0)];
        let again = matches!(slot.commit, CommitState::Sent { .. });
        slot.commit = CommitState::Sent { expects: Expects::Statements(tags) };
        let Some(link) = slot.link.as_mut() else {
            // Lost while the intent was written. Decided without having heard of it: it gets this from the log.
            self.report(member, Reason::LostConnection, "connection lost before the decision was sent".into());
            return;
        };
        frames::write_whole(link, open.transcript.iter().map(|entry| &entry.payload), table, position);
        if !again {
            slot.cursor.commit_sent();
        }
        slot.deadline = Some(limit);
    }

    /// Waits for the followers' answers. One that does not agree gets the transcript the usual way, and then COMMIT.
    async fn answered_at_once(&mut self, followers: &[MemberId]) -> Result<(), Trouble> {
        let mut differing: Vec<MemberId> = Vec::new();
        let Some(ticket) = self.ticket.clone() else { return Ok(()) };
        loop {
            poll_fn(|cx| {
                self.poll_background(cx);
                // The last member, lost: the caller knows what that means.
                let waiting = followers.iter().filter(|m| self.view.is_enabled(**m)).any(|m| {
                    let slot = &self.slots[usize::from(m.0)];
                    let sent = matches!(slot.commit, CommitState::Sent { .. }) && ticket.pending_on(*m);
                    sent && !slot.last_down && !differing.contains(m)
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
        let entries = self.open.iter().flat_map(|open| open.transcript.iter());
        let slot = &mut self.slots[usize::from(member.0)];
        if let CommitState::Done { outcome, .. } = std::mem::take(&mut slot.commit) {
            slot.difference = Some(outcome);
            slot.differed_at = 0;
        }
        if let Some(link) = slot.link.as_mut() {
            entries.for_each(|entry| frames::forget_parse(link, entry));
        }
        slot.cursor.reconnected();
    }

    /// Waits until each of these followers has executed the transcript, or will not; those that will not.
    async fn followed(&mut self, followers: &[MemberId]) -> Vec<MemberId> {
        self.urgent = true;
        let length = self.open.as_ref().map_or(0, |open| open.transcript.len());
        let limit = self.limit_whole() + REPLAY_LIMIT;
        self.wake_at(limit);
        let diverged = poll_fn(|cx| {
            self.poll_background(cx);
            if Instant::now() >= limit {
                for member in followers {
                    let slot = &self.slots[usize::from(member.0)];
                    if !matches!(slot.cursor.step(length), Step::Agreed | Step::Diverged)
                        && slot.work.is_none()
                        && !slot.lost
                    {
                        self.report(*member, Reason::TimedOut, "no agreement on a decided transaction".into());
                    }
                }
            } else {
                self.wake_at(limit);
            }
            let mut diverged = Vec::new();
            for member in followers.iter().filter(|m| self.view.is_enabled(**m)) {
                let slot = &self.slots[usize::from(member.0)];
                match slot.cursor.step(length) {
                    // The last one, lost: COMMIT finds that, and its caller knows what it means.
                    _ if self.view.down || slot.last_down => {}
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
