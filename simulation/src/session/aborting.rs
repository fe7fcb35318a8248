//! How a transaction ends that is rolled back, or has nothing to commit: mirrors `session/rollback.rs`.

use super::{Foreground, Owed, Session, Slot, Told};
use crate::member::Command;
use crate::world::World;

impl Session {
    /// Rolls back what is open, everywhere.
    pub(super) fn roll_back(&mut self, told: Told, w: &mut World) {
        self.token_ended(told, w);
        let Some(open) = &mut self.open else {
            self.state = Foreground::Idle { until: w.now };
            return;
        };
        let undo = open.transcript.clear();
        let (lead, begun, epoch) = (open.lead, open.lead_begun, open.epoch);
        for member in self.followers() {
            self.slots[member].cursor.undo(&undo);
        }
        let owes = self.slots[lead].owed.contains(&Owed::Foreground);
        self.state = Foreground::Ending { told };
        if begun && self.view.lead_epoch == epoch && self.slots[lead].connection.is_some() && !owes {
            self.answer = None;
            self.send(lead, vec![Command::Rollback], Owed::Foreground, w);
        } else {
            if begun {
                // The former lead may still have it open: drop the connection.
                self.reset(lead, w);
            }
            self.state = Foreground::Cleaning { told };
        }
    }

    /// Commits what holds locks and has changed nothing: the lead alone has something to commit.
    pub(super) fn commit_locks_only(&mut self, w: &mut World) {
        let Some(open) = &mut self.open else { return };
        let undo = open.transcript.clear();
        let (lead, begun) = (open.lead, open.lead_begun);
        for member in self.followers() {
            self.slots[member].cursor.undo(&undo);
        }
        self.state = Foreground::Ending { told: Told::Committed };
        if begun && self.slots[lead].connection.is_some() {
            self.answer = None;
            self.send(lead, vec![Command::Commit], Owed::Foreground, w);
        } else {
            self.state = Foreground::Cleaning { told: Told::Committed };
        }
    }

    /// The lead's answer, if it still comes.
    pub(super) fn ending(&mut self, told: Told, w: &mut World) -> bool {
        let Some(open) = &self.open else { return false };
        let lead = open.lead;
        let owed = self.slots[lead].owed.contains(&Owed::Foreground);
        if self.answer.take().is_none() && self.view.is_enabled(lead) && owed && !self.view.down {
            return false;
        }
        if owed {
            self.reset(lead, w);
        }
        self.state = Foreground::Cleaning { told };
        true
    }

    /// Nothing of it may be left on the followers' connections.
    pub(super) fn cleaning(&mut self, told: Told, w: &mut World) -> bool {
        let clean = |m: usize| self.slots[m].cursor.clean();
        if !self.view.down && !self.view.members().all(clean) {
            return false;
        }
        self.close(told, w);
        true
    }

    /// The transaction is over; the client is told.
    pub(super) fn close(&mut self, told: Told, w: &mut World) {
        let Some(open) = self.open.take() else { return };
        w.shared.membership.leave(open.epoch);
        for slot in &mut self.slots {
            slot.lead_cut = false;
        }
        w.tell(self.id, open.origin, told);
        self.client.ended();
        self.state = Foreground::Idle { until: w.now + u64::from(w.random.below(w.settings.think)) };
    }

    /// Nobody knows what became of it: the session ends.
    pub(super) fn fatal(&mut self, w: &mut World) {
        if let Some(open) = self.open.take() {
            w.shared.membership.leave(open.epoch);
            w.tell(self.id, open.origin, Told::Unknown);
        }
        for member in 0..self.slots.len() {
            if let Some(connection) = self.slots[member].connection.take() {
                w.abandon(member, connection);
            }
            self.slots[member] = Slot::default();
        }
        self.client.ended();
        // It connects again.
        self.state = Foreground::Idle { until: w.now + 50 };
    }
}
