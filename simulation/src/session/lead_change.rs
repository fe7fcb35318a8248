//! An open transaction goes on when the lead changes, behind the barrier of DESIGN.md §3: mirrors `session/lead_change.rs`.

use std::task::Poll;

use super::{Foreground, Session, Trouble, retry};
use crate::planted::Planted;
use crate::settings::DRAIN_LIMIT;
use crate::world::World;

impl Session {
    /// Waits until the lead of what has begun is known to have left.
    pub(super) fn lead_left(&mut self, resume_commit: bool, w: &mut World) -> Result<bool, Trouble> {
        match self.check_lead() {
            Err(Trouble::LeadChanged) => {}
            Err(other) => return Err(other),
            Ok(()) => {
                let Some(open) = self.open.as_ref().filter(|open| open.lead_begun) else {
                    self.state = Foreground::Drain { until: w.now + DRAIN_LIMIT, resume_commit };
                    return Ok(true);
                };
                if self.view.down {
                    return Err(Trouble::NoMember);
                }
                let slot = &self.slots[open.lead];
                return if slot.lost || slot.work.is_some() { Ok(false) } else { Err(retry()) };
            }
        }
        self.state = Foreground::Drain { until: w.now + DRAIN_LIMIT, resume_commit };
        Ok(true)
    }

    /// Everything that the old lead had answered completes on all followers.
    pub(super) fn drain(&mut self, until: u64, resume_commit: bool, w: &mut World) -> Result<bool, Trouble> {
        let Some(open) = &self.open else { return Ok(false) };
        let old = open.lead;
        let in_flight = &w.shared.in_flight;
        let lost = |seq: &raidb_core::ids::CommitSeq| in_flight.commits_on(*seq, old) && !in_flight.done_on(*seq, old);
        if open.transcript.iter().any(|entry| entry.barrier.iter().any(lost)) {
            // A commit that it may have seen there did not answer.
            return Err(retry());
        }
        self.urgent = true;
        if w.planted != Planted::NoDrain {
            match self.followers_state() {
                Poll::Ready(diverged) if diverged.is_empty() => {}
                Poll::Ready(_) => return Err(retry()),
                Poll::Pending if w.now >= until => return Err(retry()),
                Poll::Pending => return Ok(false),
            }
        }
        self.urgent = false;
        // Count under the new epoch, and wait for the others to do so.
        let Some(open) = &mut self.open else { return Ok(false) };
        let view = w.shared.membership.migrate(open.epoch);
        (open.epoch, open.lead) = (view.lead_epoch, view.lead);
        open.lead_begun = self.slots[view.lead].cursor.begun();
        // From now on this connection is the lead's.
        self.slots[view.lead].cursor.committed();
        if view.lead == old && !open.transcript.is_empty() && w.planted != Planted::LeadBack {
            // It has come back while the others followed, and leads again: it has nothing of this transaction.
            return Err(retry());
        }
        self.state = Foreground::Older { epoch: view.lead_epoch, resume_commit };
        Ok(true)
    }

    pub(super) fn older(&mut self, epoch: u64, resume_commit: bool, w: &mut World) -> Result<bool, Trouble> {
        if self.view.down {
            return Err(Trouble::NoMember);
        }
        let stale = self.view.lead_epoch > epoch;
        if stale {
            self.state = Foreground::Drain { until: w.now + DRAIN_LIMIT, resume_commit };
            return Ok(true);
        }
        if w.shared.membership.older_active(epoch) {
            return Ok(false);
        }
        // (A COMMIT is an act as well: it begins anew.)
        self.state = Foreground::Act;
        Ok(true)
    }
}
