//! How a transaction, or a statement of it, is undone: on the lead, and at once on the followers (rule 3).

use std::future::poll_fn;
use std::task::Poll;

use raidb_core::ids::MemberId;

use super::Session;
use super::trouble::Trouble;

impl Session {
    /// Forgets the open transaction; nothing of it is left on the lead.
    pub(crate) fn close_transaction(&mut self) {
        if let Some(open) = self.open.take() {
            self.database.leave(open.epoch);
            if open.temporary.is_some() {
                // Its names may mean again what they meant before.
                self.names.renew();
            }
        }
        self.names.end_transaction();
        self.none_left();
        let lead_slots = self.slots.iter_mut();
        for slot in lead_slots {
            slot.lead_cut = false;
            slot.newcomer = false;
        }
    }

    /// Rolls back what is open, everywhere. The lead's answer is awaited, followers do it in the background.
    pub(crate) async fn rollback(&mut self) {
        self.token_aborted();
        self.notices.clear();
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
            if self.lead_rollback().await.is_err() {
                // Whatever went wrong, nothing of the transaction may stay open there.
                self.slot(lead).reset();
            }
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

    /// Commits a transaction that holds locks and has changed nothing: the lead alone has something to commit, the others are
    /// undone at once, as by a rollback. Nothing of it goes into the log.
    ///
    /// # Errors
    /// As [`Session::lead_command`].
    pub(super) async fn commit_locks_only(&mut self) -> Result<(), Trouble> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        // Before the lead: whoever gets a lock there may have to be served before the lead's answer comes, or never does.
        let undo = open.transcript.clear();
        let (lead, lead_decides) = (open.lead, open.lead_commits_first());
        for member in self.view.members().filter(|m| *m != lead) {
            self.slot(member).cursor.undo(&undo);
        }
        self.take_notice_place();
        match self.lead_commit().await {
            // It has ended with its lead, and there is nothing that another one could have to commit.
            Ok(()) => {}
            Err(Trouble::LeadChanged) if !lead_decides => {}
            Err(other) => return Err(other),
        }
        self.followers_clean().await;
        // Time limits that it has set are no entries of its transcript.
        self.close_committed().await;
        Ok(())
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
        open.cursors_undone(undo.length);
        self.notices.undo(undo.length);
        let lead = open.lead;
        for member in self.view.members().filter(|m| *m != lead) {
            self.slot(member).cursor.undo(&undo);
        }
    }
}
