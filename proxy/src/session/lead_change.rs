//! An open transaction goes on when the lead changes.
//!
//! The barrier of DESIGN.md §3: first everything that the old lead had *answered* completes on all followers (these
//! statements held their locks together on the old lead, so none blocks another); only then does anybody send anything to
//! the new lead. Otherwise a statement that is run again could overtake an answered one.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use raidb_core::ids::MemberId;
use tokio::time::Instant;

use super::Session;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;
use crate::virtual_database::in_flight::Ticket;

/// A change of lead waits this long for a transaction to complete on followers what the old lead had answered; then the
/// transaction is rolled back with 40001. (Locks that died with the old lead could otherwise make it wait for ever.)
pub const DRAIN_LIMIT: Duration = Duration::from_millis(600);

impl Session {
    /// The lead changed under an open transaction: the barrier of DESIGN.md §3, then go on with the new one.
    ///
    /// # Errors
    /// 40001 if the transaction cannot be carried over; it is rolled back by the caller.
    pub(crate) async fn change_lead(&mut self) -> Result<(), Trouble> {
        if self.released {
            return Err(SqlError::retry("the lead was lost while its rows were on their way").into());
        }
        self.lead_left().await?;
        let started = Instant::now();
        loop {
            let Some(open) = &self.open else { return Ok(()) };
            let carried = !open.lead_only_state && (!open.modes.isolation.lasts() || !open.lead_begun);
            if !carried {
                return Err(SqlError::retry("the lead was lost, and with it a snapshot or cursor").into());
            }
            // 1. Everything that the old lead had answered completes on all followers.
            let old = open.lead;
            let lost = |ticket: &std::sync::Arc<Ticket>| ticket.commits_on(old) && !ticket.done_on(old);
            if open.transcript.iter().any(|entry| entry.barrier.iter().any(lost)) {
                // A commit that it may have seen there did not answer: what it has computed may be on top of it, or not.
                return Err(SqlError::retry("the lead was lost together with a commit that this one follows").into());
            }
            self.urgent = true;
            let drained = self.drained(started + DRAIN_LIMIT).await;
            self.urgent = false;
            let diverged = drained?;
            if !diverged.is_empty() {
                return Err(SqlError::retry("the lead was lost before the other members had followed").into());
            }
            // 2. Count under the new epoch, and wait for the others to do so.
            let Some(open) = self.open.as_mut() else { return Ok(()) };
            let view = self.database.migrate(open.epoch);
            open.epoch = view.lead_epoch;
            open.lead = view.lead;
            self.grow_slots();
            let begun = self.slots[usize::from(view.lead.0)].involved();
            if let Some(open) = self.open.as_mut() {
                open.lead_begun = begun;
            }
            // From now on this connection is the lead's: the follower machine has done its part there.
            self.slots[usize::from(view.lead.0)].cursor.committed();
            // Found by the simulation (seed 28254). The old lead has come back while the others followed, and leads again: as the lead of
            // this transaction it was nobody's follower, so it has nothing of what it had answered before it was lost. Going on
            // would commit everywhere but on the lead.
            if view.lead == old && self.open.as_ref().is_some_and(|open| !open.transcript.is_empty()) {
                return Err(SqlError::retry("the lead was lost, and has come back without this transaction").into());
            }
            let epoch = view.lead_epoch;
            poll_fn(|cx| {
                self.poll_background(cx);
                if self.view.down {
                    return Poll::Ready(Err(Trouble::from(SqlError::no_member())));
                }
                let stale = self.view.lead_epoch > epoch;
                if stale || !self.database.older_epoch_active(epoch) { Poll::Ready(Ok(())) } else { Poll::Pending }
            })
            .await?;
            if self.view.lead_epoch <= epoch {
                self.read_only_again(begun);
                return Ok(());
            }
        }
    }

    /// Followers are READ WRITE: what goes on there as the lead's is what the client has asked for. If it fails, the transaction does.
    fn read_only_again(&mut self, begun: bool) {
        let default = self.settings.read_only;
        let Some(open) = self.open.as_ref().filter(|open| begun && open.modes.read_only.unwrap_or(default)) else {
            return;
        };
        let lead = open.lead;
        if let Some(link) = self.link(lead) {
            link.simple(&[b"SET TRANSACTION READ ONLY"], Owner::ProbeEnd);
        }
    }

    /// Waits until the lead of what has begun is known to have left. A connection to it that is missing does not say that: if it
    /// lives, what it had answered on that connection is gone with it, while the followers still have it.
    ///
    /// # Errors
    /// 40001: it has not left.
    async fn lead_left(&mut self) -> Result<(), Trouble> {
        poll_fn(|cx| {
            self.poll_background(cx);
            match self.check_lead() {
                Err(Trouble::LeadChanged) => return Poll::Ready(Ok(())),
                other => other?,
            }
            let Some(open) = self.open.as_ref().filter(|open| open.lead_begun) else { return Poll::Ready(Ok(())) };
            if self.view.down {
                return Poll::Ready(Err(SqlError::no_member().into()));
            }
            self.refuse_if_stopped()?;
            let slot = &self.slots[usize::from(open.lead.0)];
            if slot.lost || slot.work.is_some() {
                // It is being judged.
                return Poll::Pending;
            }
            Poll::Ready(Err(SqlError::retry("its connection to the lead was lost, and with it its locks").into()))
        })
        .await
    }

    async fn drained(&mut self, limit: Instant) -> Result<Vec<MemberId>, Trouble> {
        self.wake_at(limit);
        poll_fn(|cx| {
            self.poll_background(cx);
            if self.handle.take_break() {
                return Poll::Ready(Err(SqlError::retry("deadlock behind a change of lead").into()));
            }
            if let Poll::Ready(diverged) = self.followers_state() {
                return Poll::Ready(Ok(diverged));
            }
            if Instant::now() >= limit {
                return Poll::Ready(Err(SqlError::retry(
                    "the lead was lost, and the other members did not follow in time",
                )
                .into()));
            }
            self.wake_at(limit);
            Poll::Pending
        })
        .await
    }
}
