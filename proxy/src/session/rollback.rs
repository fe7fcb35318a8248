//! How a transaction, or a statement of it, is undone: on the lead, and at once on the followers (rule 3).

use std::future::poll_fn;
use std::task::Poll;

use raidb_core::ids::MemberId;

use super::Session;
use crate::wire::decode;

impl Session {
    /// Forgets the open transaction; nothing of it is left on the lead.
    pub(crate) fn close_transaction(&mut self) {
        if let Some(open) = self.open.take() {
            self.database.leave(open.epoch);
        }
        self.names.end_transaction();
        let lead_slots = self.slots.iter_mut();
        for slot in lead_slots {
            slot.lead_cut = false;
            slot.newcomer = false;
        }
    }

    /// Rolls back what is open, everywhere. The lead's answer is awaited, followers do it in the background.
    pub(crate) async fn rollback(&mut self) {
        self.token_aborted();
        let Some(open) = self.open.as_mut() else { return };
        let undo = open.transcript.clear();
        let (lead, begun, epoch) = (open.lead, open.lead_begun, open.epoch);
        let written = self.any_follower_involved();
        for member in self.view.members().filter(|m| *m != lead) {
            let slot = self.slot(member);
            slot.cursor.undo(&undo);
        }
        if written {
            self.database.counters.aborts.add();
        }
        if begun && self.view.lead_epoch == epoch && self.link(lead).is_some() {
            let mark = self.staged.len();
            if self.lead_command("ROLLBACK").await.is_err() {
                // Whatever went wrong, nothing of the transaction may stay open there.
                self.slot(lead).reset();
            }
            // Behind a message that the lead could not read, BEGIN included, it warns that there is nothing to roll back: that is for us.
            let said = self.staged.split_off(mark.min(self.staged.len()));
            self.staged.extend_from_slice(&decode::reports(&said));
        } else if begun {
            // The former lead may still have it open (it was cut off, not changed by us): drop the connection.
            self.slot(lead).reset();
        }
        self.followers_clean().await;
        let meaning_changed = self.open.as_ref().is_some_and(|open| open.meaning_changed);
        self.close_transaction();
        if meaning_changed {
            self.read_meaning_surely().await;
        }
    }

    /// Waits until nothing of a transaction is left on the followers' connections. Whatever is sent there next (a read, a
    /// setting) would otherwise run inside what is being rolled back, see it, or be undone with it.
    async fn followers_clean(&mut self) {
        poll_fn(|cx| {
            self.poll_background(cx);
            let clean = |m: MemberId| self.slots[usize::from(m.0)].cursor.clean();
            if self.view.down || self.view.members().all(clean) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// A statement failed: undo on followers what it (or its subtransaction) left there, at once (rule 3).
    pub(crate) fn undo_failed(&mut self) {
        let Some(open) = self.open.as_mut() else { return };
        let undo = open.transcript.failed();
        open.seen.roughly();
        open.settings.retain(|s| s.at <= undo.length);
        let lead = open.lead;
        for member in self.view.members().filter(|m| *m != lead) {
            self.slot(member).cursor.undo(&undo);
        }
    }
}
