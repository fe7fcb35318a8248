//! What this session has seen of a member, a wrong answer, no answer, a lost connection, is judged by the virtual database; and
//! what becomes of the session's connection then.

use std::task::{Context, Poll};
use std::time::Duration;

use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::transaction::follower::Step;
use tokio::time::Instant;

use super::Session;
use super::links::WorkDone;
use crate::virtual_database::FaultOutcome;

/// Pause before a connection that could not be had is asked for again.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

impl Session {
    /// Has a member taken out for a reason that this session saw.
    pub(crate) fn report(&mut self, member: MemberId, reason: Reason, detail: String) {
        if !self.view.is_enabled(member) {
            // It has left: the log brings it what it lacks.
            return;
        }
        let mut incident = self.database.incident(member, reason);
        let statement = String::from_utf8_lossy(&self.current).into_owned();
        if !statement.is_empty() {
            incident = incident.on_statement(&statement, None);
        }
        incident.answers.push(raidb_core::member::Answer { member: incident.member.clone(), answer: detail });
        let database = self.database.clone();
        let slot = self.slot(member);
        slot.lost = true;
        slot.work = Some(Box::pin(async move { WorkDone::Judged(database.disable(member, incident).await) }));
        self.handle.wake();
    }

    pub(super) fn poll_work(&mut self, member: MemberId, cx: &mut Context<'_>) {
        let Some(work) = self.slot(member).work.as_mut() else { return };
        let Poll::Ready(done) = work.as_mut().poll(cx) else { return };
        self.slot(member).work = None;
        match done {
            WorkDone::Cancelled => {}
            WorkDone::Judged(outcome) => self.judged(member, outcome),
            WorkDone::Opened(result) => match *result {
                Ok(opened) => {
                    self.adopt_link(member, opened);
                }
                Err(error) => {
                    self.slot(member).lost = false;
                    self.link_lost(member, format!("connecting again: {error}"));
                }
            },
        }
        // What follows from it is done in this very poll; adopt_view may have to run first.
        cx.waker().wake_by_ref();
    }

    fn judged(&mut self, member: MemberId, outcome: FaultOutcome) {
        let is_lead = self.open.as_ref().is_some_and(|open| open.lead == member && open.lead_begun);
        let slot = self.slot(member);
        match outcome {
            // The view says the rest.
            FaultOutcome::Disabled | FaultOutcome::Leaving | FaultOutcome::WritesStopped => {}
            FaultOutcome::Last => {
                slot.lost = false;
                slot.last_down = true;
            }
            FaultOutcome::Alive => {
                slot.lost = false;
                if slot.link.is_some() {
                    // The judgement was about an earlier connection.
                } else if is_lead && !slot.commit_elsewhere() {
                    slot.lead_cut = true;
                } else if slot.involved() && !slot.commit_elsewhere() {
                    slot.cursor.reconnected();
                }
            }
        }
    }

    /// A follower that is part of an open transaction needs its connection back.
    pub(super) fn reopen_if_needed(&mut self, member: MemberId, cx: &mut Context<'_>) {
        let needed = {
            let locks = self.lacks_locks(member);
            let wanted = locks || !matches!(self.follower_step(member), Step::Agreed);
            let is_lead = self.open.as_ref().is_none_or(|open| open.lead == member);
            let slot = self.slot(member);
            slot.work.is_none() && !slot.lost && (slot.involved() || !is_lead || locks) && wanted
        };
        if !needed || !self.view.is_enabled(member) {
            return;
        }
        let Ok(opening) = self.opening(member) else {
            // At the limit of connections: look again soon.
            self.wake_at(Instant::now() + REOPEN_PAUSE);
            return;
        };
        self.slot(member).work = Some(Box::pin(async move { WorkDone::Opened(Box::new(opening.await)) }));
        cx.waker().wake_by_ref();
    }
}
