//! A follower works off the transcript: mirrors `session/following.rs`, around the real [`FollowerCursor`].
//!
//! [`FollowerCursor`]: raidb_core::transaction::follower::FollowerCursor

use raidb_core::member::Reason;
use raidb_core::transaction::follower::{Answer as Followed, Step};
use raidb_core::verdict::Outcome;

use super::{Owed, Session};
use crate::member::{Answer, Command};
use crate::planted::Planted;
use crate::proxy::in_flight::Member;
use crate::settings::{FOLLOW_ENTRIES, MEMBER_TIMEOUT};
use crate::world::World;

impl Session {
    pub(super) fn follower_step(&self, member: Member) -> Step {
        let length = match &self.open {
            Some(open) if open.lead != member => open.transcript.len(),
            _ => 0,
        };
        self.slots[member].cursor.step(length)
    }

    pub(super) fn step_follower(&mut self, member: Member, w: &mut World) -> bool {
        if !self.view.is_enabled(member)
            || self.leads(member)
            || self.ticket.is_some_and(|ticket| !w.shared.in_flight.commits_on(ticket, member))
        {
            return false;
        }
        match self.follower_step(member) {
            Step::Send { index, begin } => self.follow_now(index, w) && self.send_entries(member, index, begin, w),
            Step::Rollback { savepoint } => {
                let command = savepoint.map_or(Command::Rollback, |name| Command::RollbackTo(savepoint_number(&name)));
                if self.send(member, vec![command], Owed::Follower { entries: 0, opens: false }, w) {
                    let slot = &mut self.slots[member];
                    slot.cursor.rollback_sent();
                    slot.doomed_since = None;
                    slot.deadline = Some(w.now + MEMBER_TIMEOUT);
                }
                true
            }
            Step::Await { doomed } => self.watch_deadline(member, doomed, w),
            Step::Settle { attempt } => self.settle(member, attempt, w),
            Step::Agreed | Step::Diverged => false,
        }
    }

    fn follow_now(&self, index: usize, w: &World) -> bool {
        let Some(open) = &self.open else { return true };
        let Some(entry) = open.transcript.get(index) else { return true };
        self.urgent || open.transcript.len() - index >= FOLLOW_ENTRIES || w.now >= entry.at + w.settings.follow_delay
    }

    fn send_entries(&mut self, member: Member, index: usize, begin: bool, w: &mut World) -> bool {
        let Some(open) = &self.open else { return false };
        let opening = |owed: &Owed| matches!(owed, Owed::Follower { opens: true, .. });
        if self.slots[member].owed.iter().any(opening) {
            return false;
        }
        // Rule 2, for the first and for each that goes out with it.
        let no_barrier = w.planted == Planted::NoBarrier;
        let clear = |barrier: &[_]| no_barrier || w.shared.in_flight.clear_on(barrier, member);
        let entries: Vec<Command> = open
            .transcript
            .iter()
            .skip(index)
            .take(FOLLOW_ENTRIES)
            .take_while(|entry| clear(&entry.barrier))
            .map(|entry| entry.command)
            .collect();
        if entries.is_empty() {
            return false;
        }
        let count = entries.len();
        let unit = begin.then_some(Command::Begin).into_iter().chain(entries).collect();
        if self.send(member, unit, Owed::Follower { entries: count, opens: begin }, w) {
            let slot = &mut self.slots[member];
            slot.cursor.sent(count);
            slot.deadline = Some(w.now + MEMBER_TIMEOUT);
        }
        true
    }

    pub(super) fn follower_answered(
        &mut self,
        member: Member,
        answer: &Answer,
        entries: usize,
        opens: bool,
        w: &mut World,
    ) {
        let slot = &mut self.slots[member];
        let first = slot.cursor.answering();
        let transcript = self.open.as_ref().map(|open| &open.transcript);
        let hidden = usize::from(opens);
        let agreed = answer
            .tags
            .iter()
            .skip(hidden)
            .take(entries)
            .zip(first..)
            .take_while(|(tag, index)| {
                // An entry that is not there any more was undone: the machine knows what that means.
                transcript.and_then(|t| t.get(*index)).is_none_or(|entry| entry.tag == **tag)
            })
            .count();
        slot.deadline = None;
        let inside = entries == 0 || answer.status == b'T';
        if answer.error.is_none() && agreed == entries && inside {
            slot.cursor.answered(Followed::agrees(agreed));
            return;
        }
        let replays = slot.cursor.replays();
        slot.differed_at = first + agreed;
        let differing = answer.tags.get(hidden + agreed).map_or(String::new(), ToString::to_string);
        slot.difference = Some(match answer.error {
            Some(sqlstate) => Outcome::SqlError { sqlstate },
            None => Outcome::from_tag(&differing),
        });
        slot.cursor.answered(Followed::differs(agreed));
        if slot.cursor.replays() > replays {
            w.counts.replays += 1;
            w.trace
                .add(w.now, "replay", [self.id, member as u64, 0], || format!("{:?}", self.slots[member].difference));
        }
    }

    /// Waits for the commits in flight on the member, and a growing pause, then replays.
    fn settle(&mut self, member: Member, attempt: u32, w: &mut World) -> bool {
        let own = self.ticket;
        let slot = &mut self.slots[member];
        let in_flight = &w.shared.in_flight;
        let (tickets, until) = slot.settling.get_or_insert_with(|| {
            let mut tickets = in_flight.all_on(member);
            tickets.retain(|ticket| own.is_none_or(|own| *ticket < own));
            let pause = if attempt < 2 { 0 } else { (4 << attempt.min(10)).min(400) };
            (tickets, w.now + pause)
        });
        let clear = w.now >= *until && in_flight.clear_on(tickets, member);
        if clear {
            slot.settling = None;
            slot.cursor.settled();
        }
        clear
    }

    /// A follower that does not come to an end while a COMMIT is waited for.
    pub(super) fn commit_late(&mut self, member: Member, w: &mut World) {
        self.slots[member].deadline = None;
        w.timed_out(member, "COMMIT");
        self.report(member, Reason::TimedOut);
    }
}

/// Savepoints of clients are called `s0`, `s1` and so on.
pub(super) fn savepoint_number(name: &str) -> u8 {
    name.trim_start_matches('s').parse().unwrap_or(u8::MAX)
}
