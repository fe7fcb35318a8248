//! How a transaction is committed: agreement (`settle`), decision, COMMIT everywhere, answer.
//!
//! **Order (invariants 1 and 2).** (1) every enabled follower has answered the whole transcript as the lead did, and beside
//! that the intent is written (see `intent`); (2) the ticket is registered; (3) the intent is durable, and COMMIT leaves
//! for all members; (4) the caller lets the client's answer go only when
//! every member of the view has committed. A member that fails in between leaves the view first, and it
//! does so durably (see `virtual_database::membership`).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::log::Position;
use raidb_core::member::Reason;
use raidb_core::transaction::follower::Step;
use tokio::time::Instant;

use super::Session;
use super::frames;
use super::links::{CommitState, Expects};
use super::transaction::{OpenTransaction, Payload};
use super::trouble::{SqlError, Trouble, is_fatal};
use crate::fault_points::FaultPoint;
use crate::members::pg::link::UnitOutcome;
use crate::virtual_database::in_flight::Ticket;

/// Checks deferred constraints.
const CHECK_NOW: &str = super::imaged::RUN_DEFERRED;

impl Session {
    /// Commits what is open, on all members. On success nothing is open any more.
    ///
    /// # Errors
    /// An error means that the transaction is rolled back (or about to be, by the caller), except
    /// [`Trouble::Fatal`] with 08007: then nobody knows.
    pub(crate) async fn commit(&mut self) -> Result<(), Trouble> {
        loop {
            let result = self.try_commit().await;
            let place = self.notice_place.take();
            // What does not count must be known not to count before another intent is written, or anything is told.
            self.withdraw_intent().await?;
            match result {
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                Err(Trouble::ViewChanged) => {}
                Ok(()) => {
                    self.token_committed();
                    self.notices_committed(place).await;
                    return Ok(());
                }
                other => return other,
            }
        }
    }

    async fn try_commit(&mut self) -> Result<(), Trouble> {
        self.check_token()?;
        self.must_be_writable()?;
        if self.open.is_some() && self.locks_lost() {
            // The session ends behind this: see `Session::poll_client_frame`.
            return Err(
                SqlError::retry("the session's advisory locks were lost with its connection to the lead").into()
            );
        }
        if self.open.is_some() && self.temporary_lost() {
            return Err(
                SqlError::retry("the session's temporary objects were lost with its connection to the lead").into()
            );
        }
        if self.open.as_ref().is_some_and(|open| open.imaged && open.deferred && open.lead_begun) {
            // Triggers of users may be among what is deferred. Before anything is concluded from what the transcript holds: what they
            // write comes on top.
            self.images_of_deferred(CHECK_NOW).await?;
        }
        if self.has_locks_only() {
            return self.commit_locks_only().await;
        }
        if self.may_commit_at_once() {
            return self.commit_at_once().await;
        }
        let Some(open) = &self.open else { return Ok(()) };
        if open.deferred && open.lead_begun {
            // A deferred constraint must not fail behind the decision.
            let started = Instant::now();
            self.lead_command(CHECK_NOW).await?;
            // On a follower the check sees what the lead's saw only behind the commits that the lead's has seen: it is an
            // entry of the transcript, with a barrier of its own, like any statement.
            if let Some(open) = self.open.as_mut().filter(|open| !open.transcript.is_empty()) {
                open.deferred = false;
                let footprint = open.footprint.clone();
                let tag = Some(Bytes::from_static(b"SET CONSTRAINTS"));
                let check = Payload::Simple(Bytes::from_static(CHECK_NOW.as_bytes()));
                self.push_entry(check, tag, &footprint, started.elapsed())?;
                self.change_last(|entry| entry.frame = true);
            }
        }
        self.refuse_if_stopped()?;
        if self.any_follower_involved() && self.transaction_token().is_none() && !self.logs_nothing() {
            // Beside the followers, which still work on what is in it. With a token, nothing is written before somebody may
            // still be told that the transaction is aborted.
            self.reach(FaultPoint::CommitBeforeIntent).await;
            self.begin_early()?;
        }
        self.settle_followers().await?;
        self.refuse_if_stopped()?;
        let Some(open) = self.open.as_ref() else { return Ok(()) };
        let lead = open.lead;
        if !open.lead_begun && !self.any_follower_involved() {
            self.take_notice_place();
            self.close_committed().await;
            return Ok(());
        }
        if !self.any_follower_involved() {
            // Nothing was written or locked: the lead alone has something to end.
            self.take_notice_place();
            self.lead_commit().await?;
            self.close_committed().await;
            return Ok(());
        }
        self.decide(lead).await
    }

    /// Whether what followers have of it is in nobody's way once the lead has committed: locks, and no write.
    fn has_locks_only(&self) -> bool {
        let locks_only = |open: &OpenTransaction| {
            open.lead_begun
                && !open.transcript.is_empty()
                && open.transcript.iter().all(|entry| !entry.logged && !entry.temporary)
        };
        // A token's transaction is told of by the log.
        self.transaction_token().is_none() && self.open.as_ref().is_some_and(locks_only)
    }

    /// Whether the transaction has to do with temporary objects, locks, settings and savepoints only: it is committed on every member,
    /// and there is nothing to redo. It may be READ ONLY on the lead, where no marker could be written.
    pub(super) fn logs_nothing(&self) -> bool {
        let nothing = |open: &OpenTransaction| !open.transcript.is_empty() && !open.writes();
        self.transaction_token().is_none() && self.open.as_ref().is_some_and(nothing)
    }

    pub(super) fn refuse_if_stopped(&self) -> Result<(), SqlError> {
        if !self.database.writes_stopped() {
            return Ok(());
        }
        Err(SqlError::new(
            "58030",
            "the proxy cannot write its log; writes have stopped",
            "See the proxy's log for the cause, free disk space or repair the disk, and restart the proxy.",
        ))
    }

    pub(super) fn any_follower_involved(&self) -> bool {
        let Some(open) = &self.open else { return false };
        !open.transcript.is_empty()
            || self.view.members().any(|m| m != open.lead && self.slots[usize::from(m.0)].involved())
    }

    /// From here on the transaction is committed wherever a member lives.
    pub(super) async fn decide(&mut self, lead: MemberId) -> Result<(), Trouble> {
        let Some(open) = self.open.as_ref() else { return Ok(()) };
        let lead_first = open.lead_commits_first();
        let ddl = open.changes_catalog;
        self.cancels_done().await;
        if self.view.down {
            return Err(SqlError::no_member().into());
        }
        self.reach(FaultPoint::CommitBeforeTicket).await;
        let ticket = loop {
            self.lead_holds().await?;
            self.refuse_if_stopped()?;
            // A member has come into the view or left it, or a connection was lost: whether all agree is looked at again.
            let agreed = matches!(self.followers_state(), Poll::Ready(diverged) if diverged.is_empty())
                && !self.intent_is_stale();
            if !agreed {
                return Err(Trouble::ViewChanged);
            }
            if let Some(ticket) = self.register_commit()? {
                break ticket;
            }
            self.woken().await;
        };
        let ddl = ddl.then(|| self.database.start_ddl());
        let result = match self.decided_behind_proof(lead, &ticket, &mut None).await {
            Ok(()) => self.commit_members(lead, lead_first, &ticket).await,
            Err(trouble) => Err(trouble),
        };
        let result = self.committed(&ticket, result).await;
        if let Some(ddl) = ddl {
            self.behind_ddl(ddl, &result).await;
        }
        result
    }

    /// Every member that is left has answered: nobody waits for this commit any more.
    pub(super) async fn committed(&mut self, ticket: &Ticket, result: Result<(), Trouble>) -> Result<(), Trouble> {
        self.reach(FaultPoint::CommitAllAnswered).await;
        let result = self.outcome_known(result).await;
        self.reach(FaultPoint::CommitFinished).await;
        self.ticket = None;
        self.decided = Position::START;
        if !self.database.writes_stopped() {
            // Otherwise its intent may stand although it was to be withdrawn: nobody goes on behind it.
            self.database.in_flight.proved(ticket);
        }
        match result {
            Ok(()) => self.database.in_flight.committed(ticket),
            Err(Trouble::Fatal(_)) => self.database.in_flight.abandon(ticket),
            Err(_) => self.database.in_flight.void(ticket),
        }
        for slot in &mut self.slots {
            slot.commit = CommitState::None;
        }
        if result.is_ok() {
            self.database.counters.commits.add();
            self.after_commit().await;
        }
        result
    }

    async fn commit_members(&mut self, lead: MemberId, lead_first: bool, ticket: &Arc<Ticket>) -> Result<(), Trouble> {
        let members: Vec<MemberId> = self.view.members().filter(|m| ticket.commits_on(*m)).collect();
        if lead_first {
            // The lead certifies: its COMMIT decides, then the others follow.
            self.send_commit(lead);
            self.commit_may_be_cancelled();
            self.reach(FaultPoint::CommitSentToCertify).await;
            let certified = self.committed_on(&[lead], ticket).await;
            self.handle.set_running(None);
            certified?;
            if let Some(refusal) = self.refused_by(lead) {
                return Err(Trouble::Answer(refusal));
            }
            if !matches!(self.slots[usize::from(lead.0)].commit, CommitState::Done { agreed: true, .. }) {
                // It has left without an answer: nobody has certified. If it did commit it is rebuilt (reason `uncertified`), since
                // the log will say that this was aborted.
                return Err(SqlError::retry("the lead was lost before it had certified the transaction").into());
            }
            self.database.in_flight.proved(ticket);
            self.reach(FaultPoint::CommitCertified).await;
            let others: Vec<MemberId> = members.into_iter().filter(|m| *m != lead).collect();
            others.iter().for_each(|m| self.send_commit(*m));
            self.committed_on(&others, ticket).await?;
            if self.open.as_ref().is_some_and(|open| open.holds_cursor) {
                // A cancel of the lead's COMMIT that is late must not hit what is asked there next.
                self.cancels_done().await;
            }
            return Ok(());
        }
        self.reach_between(lead, FaultPoint::CommitSentToLead, FaultPoint::CommitSentToFollower).await;
        members.iter().for_each(|m| self.send_commit(*m));
        self.reach(FaultPoint::CommitSentToAll).await;
        self.committed_on(&members, ticket).await
    }

    /// The error with which a member has answered COMMIT, for the client: detail and hint say what it may do now.
    fn refused_by(&self, member: MemberId) -> Option<Bytes> {
        let CommitState::Done { outcome, agreed: false } = &self.slots[usize::from(member.0)].commit else {
            return None;
        };
        let (sqlstate, message) = outcome.error.as_ref()?;
        match &outcome.error_frame {
            Some(frame) if !is_fatal(frame) => Some(frame.clone()),
            // The member's connection ends, the client's does not.
            _ => Some(error_answer(*sqlstate, message)),
        }
    }

    pub(super) fn send_commit(&mut self, member: MemberId) {
        let is_lead = self.open.as_ref().is_some_and(|open| open.lead == member);
        let begun = self.open.as_ref().is_some_and(|open| open.lead_begun);
        let table = self.database.markers.active();
        // A token's transaction is in the log, without an entry, though it writes nothing. Its lead may be READ ONLY.
        let unmarked = is_lead && self.open.as_ref().is_some_and(|open| !open.writes());
        let position = if unmarked { Position::START } else { self.decided };
        let length = self.open.as_ref().map_or(0, |open| open.transcript.len());
        // On followers nothing is limited.
        let limited = is_lead && (self.settings.time_limits || self.open.as_ref().is_some_and(|open| open.limited));
        let slot = self.slot(member);
        // Since it agreed its connection may have been lost, and opened again: then nothing is open there, and a COMMIT would
        // leave a marker without its rows. It gets this transaction from the log.
        if !is_lead && length > 0 && (slot.link.is_none() || slot.cursor.step(length) != Step::Agreed) {
            slot.commit = CommitState::Sent { expects: Expects::Commit };
            self.report(member, Reason::LostConnection, "connection lost before COMMIT".into());
            return;
        }
        // A lead that was never used (possible just behind a change of lead) has nothing to commit.
        let has_something = if is_lead { begun } else { slot.involved() };
        let Some(link) = slot.link.as_mut().filter(|_| has_something) else {
            // A lost link: whether it comes back or the member leaves is being judged; nothing was sent.
            slot.commit =
                if has_something { CommitState::Sent { expects: Expects::Commit } } else { CommitState::None };
            if has_something {
                self.report(member, Reason::LostConnection, "connection lost before COMMIT".into());
            }
            return;
        };
        frames::write_commit(link, table, position, limited);
        slot.commit = CommitState::Sent { expects: Expects::Commit };
        if !is_lead {
            slot.cursor.commit_sent();
        }
    }

    /// Waits until each of these members has committed or has left the view.
    pub(super) async fn committed_on(&mut self, members: &[MemberId], ticket: &Arc<Ticket>) -> Result<(), Trouble> {
        let mut reported = 0_u32;
        poll_fn(|cx| {
            self.poll_background(cx);
            let mut waiting = false;
            let mut one_done = false;
            for member in members {
                match &self.slots[usize::from(member.0)].commit {
                    CommitState::None => {}
                    // One that has left gets it from the log; it may have left before it was sent anything, and be back.
                    CommitState::Sent { .. } => {
                        waiting |= self.view.is_enabled(*member) && ticket.pending_on(*member);
                    }
                    CommitState::Done { outcome, agreed } => {
                        let refused = !agreed;
                        if refused && reported & (1 << member.0) == 0 && !self.lead_certifies(*member) {
                            reported |= 1 << member.0;
                            let detail = format!("COMMIT answered with {}", describe_outcome(outcome));
                            self.report(*member, Reason::Diverged, detail);
                        }
                        one_done |= !refused || self.lead_certifies(*member);
                        // A member that refused must leave before anybody is told.
                        waiting |= refused && !self.lead_certifies(*member);
                    }
                }
            }
            let all: Vec<MemberId> = self.view.members().filter(|m| ticket.commits_on(*m)).collect();
            if let Some(refusal) = self.refused_by_all(&all) {
                return Poll::Ready(Err(Trouble::Answer(refusal)));
            }
            if one_done {
                self.database.faults.at(FaultPoint::CommitFirstAnswer);
                self.limit_commit(members);
            }
            // Decided, so the log will bring the last member to it when that is back; nobody can wait for that here, since it
            // is let in again only when nobody commits any more.
            let last = |m: &MemberId| self.view.is_enabled(*m) && self.view.down;
            if waiting && members.iter().any(|m| last(m) || self.slots[usize::from(m.0)].last_down) {
                self.database.last_member_unsure();
                return Poll::Ready(Err(Trouble::Fatal(SqlError::new(
                    "08007",
                    "transaction resolution unknown: the last member was lost during COMMIT",
                    "Look whether the transaction took effect before you run it again.",
                ))));
            }
            if waiting {
                return Poll::Pending;
            }
            // Found by the simulation (`leaves-unrecorded`). A member that has left lacks this commit, and must be durably out before
            // anybody is told of it; the log that could say so takes nothing more.
            let lacks = |m: &MemberId| !self.view.is_enabled(*m) && ticket.commits_on(*m) && !ticket.done_on(*m);
            if self.database.writes_stopped() && members.iter().any(lacks) {
                return Poll::Ready(Err(super::intent::unknown(
                    "a member was lost during COMMIT, and the log cannot say so",
                )));
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(())
    }

    /// Every member that is left has answered COMMIT with an error: then it is rolled back everywhere.
    fn refused_by_all(&self, members: &[MemberId]) -> Option<Bytes> {
        let mut left = members.iter().filter(|m| self.view.is_enabled(**m)).peekable();
        left.peek()?;
        let mut refusal = None;
        for member in left {
            refusal = Some(self.refused_by(*member)?);
        }
        refusal
    }

    /// The lead may refuse its COMMIT, alone and first ([`OpenTransaction::lead_commits_first`]).
    fn lead_certifies(&self, member: MemberId) -> bool {
        self.open.as_ref().is_some_and(|open| open.lead_commits_first() && open.lead == member)
    }

    /// The first member has committed: the others have `member_timeout` from now.
    pub(super) fn limit_commit(&mut self, members: &[MemberId]) {
        let deadline = Instant::now() + self.database.settings.member_timeout;
        for member in members {
            let slot = self.slot(*member);
            if matches!(slot.commit, CommitState::Sent { .. }) && slot.deadline.is_none() {
                slot.deadline = Some(deadline);
                self.wake_at(deadline);
            }
        }
        let now = Instant::now();
        for member in members {
            let slot = self.slot(*member);
            if matches!(slot.commit, CommitState::Sent { .. }) && slot.deadline.is_some_and(|d| d <= now) && !slot.lost
            {
                self.report(*member, Reason::TimedOut, "no answer to COMMIT".into());
            } else if matches!(slot.commit, CommitState::Sent { .. })
                && let Some(deadline) = slot.deadline.filter(|deadline| now < *deadline)
            {
                // The timer may have fired for something else meanwhile.
                self.wake_at(deadline);
            }
        }
    }

    /// Everybody has committed: settings take effect, the transaction is closed.
    async fn after_commit(&mut self) {
        // The transcript goes together with the cursors: a cursor that starts anew must never see the old transcript,
        // or it would send it again.
        let Some(open) = self.open.take() else { return };
        for slot in &mut self.slots {
            slot.cursor.committed();
            // What became of the connection behind the lead's answer is of no concern to the next transaction.
            slot.lead_cut = false;
            slot.newcomer = false;
            slot.units.clear();
            slot.deadline = None;
        }
        self.database.leave(open.epoch);
        self.names.end_transaction();
        self.hold_cursors(open.lead, open.declared.into_iter().map(|(_, name)| name).collect());
        self.settings_committed(open.settings).await;
        self.temporary_committed(open.temporary, open.until_commit).await;
        if open.sequences_doubted {
            self.database.sequences.doubt();
        }
        if open.meaning_changed {
            self.read_meaning_surely().await;
        }
    }
}

fn describe_outcome(unit: &UnitOutcome) -> String {
    match &unit.error {
        Some((sqlstate, message)) => format!("{}: {message}", String::from_utf8_lossy(sqlstate)),
        None => String::from_utf8_lossy(unit.tag()).into_owned(),
    }
}

fn error_answer(sqlstate: [u8; 5], message: &str) -> Bytes {
    let mut out = bytes::BytesMut::new();
    let sqlstate = String::from_utf8_lossy(&sqlstate).into_owned();
    let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', sqlstate.as_str()), (b'M', message)];
    crate::wire::encode::notice_or_error(&mut out, b'E', &fields);
    out.freeze()
}
