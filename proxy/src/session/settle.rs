//! Agreement: every follower has done what the lead did, and the lead still has the transaction.

use std::future::poll_fn;
use std::task::Poll;

use raidb_core::ids::MemberId;
use raidb_core::transaction::follower::Step;

use super::Session;
use super::following::barrier_clear;
use super::transaction::Entry;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Link;

impl Session {
    /// Waits until every enabled follower has executed the whole transcript with the lead's outcome.
    ///
    /// # Errors
    /// 40001 if the verdict is against the lead, 40P01 if the cycle breaker hit, [`Trouble::LeadChanged`].
    pub(crate) async fn settle_followers(&mut self) -> Result<(), Trouble> {
        self.urgent = true;
        let settled = self.try_settle().await;
        self.urgent = false;
        settled
    }

    async fn try_settle(&mut self) -> Result<(), Trouble> {
        loop {
            let diverged = poll_fn(|cx| {
                self.poll_background(cx);
                if let Err(trouble) = self.check_lead() {
                    return Poll::Ready(Err(trouble));
                }
                self.followers_state().map(Ok)
            })
            .await?;
            if diverged.is_empty() {
                return Ok(());
            }
            self.judge(&diverged).await?;
        }
    }

    /// Ready when each follower has agreed or diverged; the diverged ones.
    pub(crate) fn followers_state(&self) -> Poll<Vec<MemberId>> {
        let Some(open) = &self.open else { return Poll::Ready(Vec::new()) };
        let mut diverged = Vec::new();
        for member in self.view.members().filter(|m| *m != open.lead) {
            let slot = &self.slots[usize::from(member.0)];
            match slot.cursor.step(open.transcript.len()) {
                Step::Agreed if !slot.lost || !slot.involved() => {}
                Step::Diverged => diverged.push(member),
                _ => return Poll::Pending,
            }
        }
        Poll::Ready(diverged)
    }

    /// What must interrupt every wait that concerns the lead.
    pub(crate) fn check_lead(&mut self) -> Result<(), Trouble> {
        if self.handle.take_break() && self.open.is_some() {
            self.database.counters.cycle_breaks.add();
            return Err(SqlError::new(
                "40P01",
                "deadlock across members detected",
                "Run the transaction again. Please report this: it should not happen.",
            )
            .into());
        }
        if self.handle.take_told_aborted() {
            self.check_token()?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(error) = self.slots.iter_mut().find_map(|slot| slot.refused.take()) {
            return Err(error.into());
        }
        if let Some(error) = open.doomed.take() {
            return Err(error.into());
        }
        let (lead, begun, epoch) = (open.lead, open.lead_begun, open.epoch);
        if self.view.lead_epoch != epoch {
            return Err(Trouble::LeadChanged);
        }
        let slot = &mut self.slots[usize::from(lead.0)];
        if slot.last_down {
            slot.last_down = false;
            slot.lost = false;
            return Err(SqlError::no_member().into());
        }
        if slot.lead_cut && begun {
            slot.lead_cut = false;
            return Err(SqlError::retry("its connection to the lead was cut, and with it its locks").into());
        }
        Ok(())
    }

    /// Waits until, as far as this session can know, the lead still has the transaction, and that it has what this one has seen there. Call
    /// right before the registration of its ticket, with nothing awaited in between.
    ///
    /// A connection that is lost takes its locks with it, whoever waited for them goes on, and nothing orders the two any
    /// more: so while it is judged whether a lost connection's lead lives, nothing is decided. And a commit that was sent to
    /// the lead, and seen there, may be lost with *its* connection: it is waited for here, until it has answered or the
    /// lead has left (then see `change_lead`).
    ///
    /// # Errors
    /// As [`Session::check_lead`].
    pub(super) async fn lead_holds(&mut self) -> Result<(), Trouble> {
        poll_fn(|cx| {
            self.poll_background(cx);
            self.poll_lead_holds()
        })
        .await
    }

    /// One look; behind [`Session::poll_background`].
    pub(super) fn poll_lead_holds(&mut self) -> Poll<Result<(), Trouble>> {
        self.check_lead()?;
        if self.view.down {
            return Poll::Ready(Err(SqlError::no_member().into()));
        }
        let Some(open) = &self.open else { return Poll::Ready(Ok(())) };
        // While it owes an answer (to the end of a probe), nobody knows whether it will still take COMMIT.
        let owes = |link: &Link| link.busy();
        let lost = open.lead_begun && self.slots[usize::from(open.lead.0)].link.as_ref().is_none_or(owes);
        let clear = |entry: &Entry| barrier_clear(&entry.barrier, open.lead, &self.handle);
        if lost || !open.transcript.iter().all(clear) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// A cancel that is on its way must not hit COMMIT.
    pub(super) async fn cancels_done(&mut self) {
        poll_fn(|cx| {
            self.poll_background(cx);
            let delivering = self.slots.iter().any(|slot| slot.work.is_some() && !slot.lost);
            if self.handle.cancels() > 0 || delivering { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}
