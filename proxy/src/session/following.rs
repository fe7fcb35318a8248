//! A follower works off the transcript of the open transaction, one step behind the lead.
//!
//! **Rule 2 is decided here**: an entry leaves for a follower only when every ticket of its barrier is finished there.
//! **Rule 3**: an undo goes out as soon as what was sent before has ended; what does not end is cancelled.
//! **Rule 4**: a differing answer replays the transcript behind the commits in flight.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::transaction::follower::{Answer, Step};
use tokio::time::Instant;

use super::Session;
use super::frames::{self, Opening, SentUnit};
use super::links::WorkDone;
use super::transaction::{Entry, Payload};
use super::trouble::SqlError;
use crate::members::pg::cancel;
use crate::members::pg::link::{Owner, UnitOutcome};
use crate::virtual_database::in_flight::Ticket;

/// What is doomed may end by itself for this long before it is cancelled (a cancel costs the member a connection).
const DOOMED_GRACE: Duration = Duration::from_millis(5);
/// Entries wait this long for the end of their transaction before they go to the followers.
const FOLLOW_DELAY: Duration = Duration::from_millis(25);
/// So many wait at most, and so many go out as one unit.
const FOLLOW_ENTRIES: usize = 16;
/// Pause before the second replay; doubles with each.
const REPLAY_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause.
const REPLAY_PAUSE_MAX: Duration = Duration::from_millis(200);

impl Session {
    pub(super) fn follower_answered(&mut self, member: MemberId, outcome: UnitOutcome) {
        let slot = &mut self.slots[usize::from(member.0)];
        let unit = slot.units.pop_front().unwrap_or_default();
        let first = slot.cursor.answering();
        let lacks_temporary = slot.lacks_temporary;
        let transcript = self.open.as_ref().map(|open| &open.transcript);
        let agreed = outcome
            .tags
            .iter()
            .skip(unit.hidden_tags)
            .take(unit.entries)
            .zip(first..)
            .take_while(|(tag, index)| {
                // An entry that is not there any more was undone: the machine knows what that means.
                let done = |entry: &&Entry| !(lacks_temporary && entry.temporary);
                let expected = transcript.and_then(|t| t.get(*index)).filter(done).and_then(|entry| entry.tag.as_ref());
                expected.is_none_or(|expected| expected == *tag)
            })
            .count();
        slot.deadline = None;
        // Checked twice: an entry that ran outside a transaction would be committed already.
        let inside = unit.entries == 0 || outcome.status == b'T';
        if outcome.error.is_none() && agreed == unit.entries && inside {
            slot.cursor.answered(Answer::agrees(agreed));
            return;
        }
        let replays = slot.cursor.replays();
        if let Some(link) = slot.link.as_mut() {
            if unit.prepares {
                // For an entry that may not be there any more.
                link.doubt();
            }
            // A Parse in a failed unit did not take place, or did: be sure by closing first.
            for entry in transcript.into_iter().flat_map(|t| t.iter().skip(first).take(unit.entries)) {
                frames::forget_parse(link, entry);
            }
        }
        slot.differed_at = first + agreed;
        let differing = outcome.tags.get(unit.hidden_tags + agreed).cloned();
        slot.difference = Some(UnitOutcome { tags: differing.into_iter().collect(), ..outcome });
        slot.cursor.answered(Answer::differs(agreed));
        if slot.cursor.replays() > replays {
            tracing::debug!(session = %self.handle.id, member = member.0, difference = ?slot.difference, "replay");
            self.database.counters.replays.add();
        }
    }

    pub(super) fn follower_step(&self, member: MemberId) -> Step {
        let length = match &self.open {
            Some(open) if open.lead != member => open.transcript.len(),
            _ => 0,
        };
        self.slots[usize::from(member.0)].cursor.step(length)
    }

    /// One step of the follower machine. True if something happened.
    pub(super) fn step_follower(&mut self, member: MemberId, cx: &mut Context<'_>) -> bool {
        if !self.view.is_enabled(member)
            || self.open.as_ref().is_some_and(|open| open.lead == member && open.lead_begun)
            || self.ticket.as_ref().is_some_and(|ticket| !ticket.commits_on(member))
        {
            // The last: it came into the view behind the decision, and gets this transaction from the log.
            return false;
        }
        match self.follower_step(member) {
            Step::Send { index, begin } => self.follow_now(index) && self.send_entries(member, index, begin),
            // A cancel that is on its way must not hit the rollback.
            Step::Rollback { .. } if self.slot(member).work.is_some() => false,
            Step::Rollback { savepoint } => {
                self.send_rollback(member, savepoint.as_deref());
                true
            }
            Step::Await { doomed } => {
                self.watch_deadline(member, doomed, cx);
                false
            }
            Step::Settle { attempt } => self.settle(member, attempt),
            Step::Agreed | Step::Diverged => false,
        }
    }

    /// Whether what stands from `index` on goes out now. Entries are held back for a moment, so that a short transaction goes
    /// out as a whole (also where nobody else is at work: less work is faster than work side by side); whoever waits for
    /// the followers does not wait for that.
    fn follow_now(&mut self, index: usize) -> bool {
        let Some(open) = self.open.as_ref() else { return true };
        if open.held {
            return false;
        }
        let Some(entry) = open.transcript.get(index) else { return true };
        let due = entry.answered_at + FOLLOW_DELAY;
        let now = self.urgent || open.transcript.len() - index >= FOLLOW_ENTRIES || Instant::now() >= due;
        if !now {
            self.wake_at(due);
        }
        now
    }

    fn send_entries(&mut self, member: MemberId, index: usize, begin: bool) -> bool {
        let handle = self.handle.clone();
        let member_timeout = self.database.settings.member_timeout;
        let opening = match (begin, self.settings.time_limits) {
            (false, _) => Opening::None,
            (true, false) if self.plain_defaults() => Opening::PlainBegin,
            (true, false) => Opening::Begin,
            (true, true) => Opening::BeginWithoutLimits,
        };
        let Some(transcript) = self.open.as_ref().map(|open| &open.transcript) else { return false };
        let Some(entry) = transcript.get(index) else { return false };
        // Rule 2, for the first and for each that goes out with it.
        if !barrier_clear(&entry.barrier, member, &handle) {
            return false;
        }
        let slot = &mut self.slots[usize::from(member.0)];
        if slot.units.iter().any(|unit| unit.opens) {
            return false;
        }
        let nothing = nothing_instead();
        let lacks_temporary = slot.lacks_temporary;
        let skipped = |entry: &Entry| lacks_temporary && entry.temporary;
        if matches!(entry.payload, Payload::Copied { .. }) && entry.temporary && !lacks_temporary {
            // They are nowhere but on the connections that had them at once. A new one does without the temporary objects.
            slot.give_up();
            self.handle.wake();
            return false;
        }
        if matches!(entry.payload, Payload::Copied { .. }) && !skipped(entry) {
            if slot.lost {
                return false;
            }
            // A replay reached rows that went through once: they cannot be sent again.
            if slot.newcomer {
                // It has been waited for, in vain (`rejoin::back`). The member is as it should be; this is what goes.
                let error = SqlError::retry("a member has come back while rows of COPY were on their way");
                if let Some(open) = self.open.as_mut().filter(|open| open.doomed.is_none()) {
                    open.doomed = Some(error);
                    self.handle.wake();
                }
                return false;
            }
            // The member has nothing of this transaction, so the log can bring it back.
            let database = self.database.clone();
            let detail = format!("{:?}; a replay is not possible behind COPY", slot.difference);
            slot.work = Some(Box::pin(async move {
                WorkDone::Judged(database.fault(member, Reason::LostConnection, detail).await)
            }));
            slot.lost = true;
            self.handle.wake();
            return false;
        }
        let Some(link) = slot.link.as_mut() else { return false };
        let unit = frames::write_entries(link, opening, |n| {
            let entry = transcript.get(index + n).filter(|_| n < FOLLOW_ENTRIES)?;
            // A setting may change how the text behind it is read: it ends its unit.
            let behind_setting = n > 0 && transcript.get(index + n - 1).is_some_and(|before| before.alone);
            let fits = n == 0 || (!entry.alone && !behind_setting && barrier_clear(&entry.barrier, member, &handle));
            fits.then_some(if skipped(entry) { &nothing } else { entry })
        });
        let took: Duration = transcript.iter().skip(index).take(unit.entries).map(|entry| entry.lead_took).sum();
        slot.cursor.sent(unit.entries);
        slot.units.push_back(unit);
        slot.deadline = Some(Instant::now() + took + member_timeout);
        true
    }

    /// Whether a plain BEGIN opens what followers need: READ COMMITTED, READ WRITE.
    pub(super) fn plain_defaults(&self) -> bool {
        let own_role = self.identity.login.is_none();
        own_role && !self.settings.isolation.lasts() && !self.settings.read_only
    }

    fn send_rollback(&mut self, member: MemberId, savepoint: Option<&str>) {
        let member_timeout = self.database.settings.member_timeout;
        let slot = &mut self.slots[usize::from(member.0)];
        let Some(link) = slot.link.as_mut() else { return };
        match savepoint {
            Some(name) => {
                let name = frames::quote_identifier(name);
                link.simple(&[b"ROLLBACK TO SAVEPOINT ", name.as_bytes()], Owner::Follower);
            }
            None => link.simple(&[b"ROLLBACK"], Owner::Follower),
        }
        slot.units.push_back(SentUnit::default());
        slot.cursor.rollback_sent();
        slot.doomed_since = None;
        slot.deadline = Some(Instant::now() + member_timeout);
    }

    /// Cancels what is doomed and does not end; reports a follower whose time is up.
    fn watch_deadline(&mut self, member: MemberId, doomed: bool, _cx: &mut Context<'_>) {
        let now = Instant::now();
        if doomed {
            let since = *self.slot(member).doomed_since.get_or_insert(now);
            if now < since + DOOMED_GRACE {
                self.wake_at(since + DOOMED_GRACE);
            } else if self.slot(member).work.is_none() {
                let slot = self.slot(member);
                slot.doomed_since = Some(now);
                if let Some(key) = slot.link.as_ref().map(super::super::members::pg::link::Link::cancel_key) {
                    slot.work = Some(Box::pin(async move {
                        cancel::cancel(key).await;
                        WorkDone::Cancelled
                    }));
                    self.wake_at(now + DOOMED_GRACE);
                }
            }
        }
        if let Some(deadline) = self.slot(member).deadline {
            if now < deadline {
                self.wake_at(deadline);
            } else if !self.slot(member).lost {
                self.slot(member).deadline = None;
                self.report(member, Reason::TimedOut, "no answer to a statement of the transcript".into());
            }
        }
    }

    /// Waits for the commits in flight on the member, and a growing pause, then replays.
    fn settle(&mut self, member: MemberId, attempt: u32) -> bool {
        let handle = self.handle.clone();
        if self.slot(member).settling.is_none() {
            // If it has been decided already: whoever was registered behind it waits for it, and never the other way round, or
            // two that replay at the same time would wait for each other. What it has seen was registered before it.
            let own = self.ticket.as_ref().map(|ticket| ticket.seq);
            let mut tickets = self.database.in_flight.all_on(member);
            tickets.retain(|ticket| own.is_none_or(|own| ticket.seq < own));
            let pause = if attempt < 2 {
                Duration::ZERO
            } else {
                (REPLAY_PAUSE * 2_u32.saturating_pow(attempt - 1)).min(REPLAY_PAUSE_MAX)
            };
            let slot = self.slot(member);
            slot.settling = Some(tickets);
            slot.settle_until = Some(Instant::now() + pause);
        }
        let until = self.slot(member).settle_until.unwrap_or_else(Instant::now);
        if Instant::now() < until {
            self.wake_at(until);
            return false;
        }
        let clear = self.slot(member).settling.as_ref().is_none_or(|tickets| barrier_clear(tickets, member, &handle));
        if clear {
            let slot = self.slot(member);
            slot.settling = None;
            slot.settle_until = None;
            slot.cursor.settled();
        }
        clear
    }
}

/// What a connection without the session's temporary objects does in place of what is done to them.
fn nothing_instead() -> Entry {
    Entry::new(Payload::Simple(bytes::Bytes::from_static(b"SELECT")), None)
}

/// Whether no ticket is unfinished on the member; if one is, the session is woken when that changes.
pub(crate) fn barrier_clear(
    tickets: &[Arc<Ticket>],
    member: MemberId,
    session: &Arc<crate::virtual_database::handles::SessionHandle>,
) -> bool {
    for ticket in tickets {
        if ticket.pending_on(member) {
            ticket.watch(session);
            // Finished between the two looks: then nobody would wake us.
            if ticket.pending_on(member) {
                return false;
            }
        }
    }
    true
}
