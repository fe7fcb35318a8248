//! The moment at which a transaction takes its place among the others, and the proof that it had one.
//!
//! Between the lead's answer and the ticket only the lead's locks keep the order. They go with the connection, and whoever
//! waited for them goes on, perhaps before this session has heard of it. So a transaction is decided only if its locks
//! were still held when its ticket was registered: whoever got its rows later was answered later, and has the ticket in his
//! barrier. That is known in one of two ways:
//! * its footprint names rows, and nobody has registered a commit on them since the lead answered
//!   ([`raidb_core::transaction::overtaking`]); or whoever comes second is told 40001 there;
//! * the lead says, *behind* the registration, that the transaction is still open. It is asked beside the log's flush.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use raidb_core::ids::MemberId;

use super::Session;
use super::commit_at_once::Submitted;
use super::intent::unknown;
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::members::pg::link::Owner;
use crate::virtual_database::in_flight::{Candidate, Registration, Ticket};
use crate::wire::encode;

/// What the lead says of the open transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It was not asked, and need not be.
    #[default]
    NotNeeded,
    /// It was asked.
    Asked,
    /// The transaction was still open behind its registration.
    Held,
    /// It was not.
    Gone,
}

impl Session {
    /// From here on others wait for this commit where they must (see `in_flight`). `None`: not yet; look at everything again when
    /// the session was woken ([`Session::woken`]). Call right behind [`Session::lead_holds`], with nothing awaited in between.
    ///
    /// # Errors
    /// [`Trouble::ViewChanged`]: what it decides by must be looked at again. 40001: its locks are lost.
    pub(super) fn register_commit(&mut self) -> Result<Option<Arc<Ticket>>, Trouble> {
        self.database.faults.at(FaultPoint::CommitRegistering);
        let Some(open) = &self.open else { return Err(Trouble::ViewChanged) };
        let (lead, begun, lead_first) = (open.lead, open.lead_begun, open.lead_commits_first());
        let candidate = Candidate {
            footprint: open.footprint.clone(),
            seen: &open.seen,
            members: self.view.enabled,
            provisional: self.early,
            certified: lead_first,
        };
        let current = || self.database.view_version() == self.view.version;
        match self.database.in_flight.register(candidate, &self.handle, current) {
            Registration::Registered { ticket, order_kept } => {
                self.early = None;
                self.ticket = Some(ticket.clone());
                self.take_notice_place();
                // Advisory locks of the session may be why nobody else touches the rows: they, too, must be held still.
                // Where the lead's COMMIT comes first, it says it.
                let ask = (!order_kept || !self.locks.is_empty()) && begun && !lead_first;
                self.slot(lead).proof = if ask { Proof::Asked } else { Proof::NotNeeded };
                if ask && let Some(link) = self.link(lead) {
                    encode::bare(link.out(), b'S');
                    link.unit(Owner::Proof);
                }
                Ok(Some(ticket))
            }
            Registration::OldView => Err(Trouble::ViewChanged),
            Registration::Waits => Ok(None),
            Registration::Overtaken => {
                Err(SqlError::retry("its connection to the lead was lost, and others have changed the same rows since")
                    .into())
            }
        }
    }

    /// Waits until something has woken the session.
    pub(super) async fn woken(&mut self) {
        let mut first = true;
        poll_fn(|cx| {
            self.poll_background(cx);
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Makes the intent durable, waits for the lead's proof if it was asked for, for the proofs of others on the same rows, and for
    /// its turn among those that readers must see in one order. Behind it COMMIT may leave.
    ///
    /// # Errors
    /// As `write_intent`; and if the proof did not come: nothing has left for any member, so the intent is taken back, and
    /// either the transaction goes on with another lead ([`Trouble::LeadChanged`]) or it is rolled back (40001).
    /// `early`: the statements are on their way already. They go back if it is not this commit's turn yet: those before it may stand
    /// behind them.
    pub(super) async fn decided_behind_proof(
        &mut self,
        lead: MemberId,
        ticket: &Ticket,
        early: &mut Option<Submitted>,
    ) -> Result<(), Trouble> {
        // A lead that leaves takes its answer with it.
        let asked = self.slots[usize::from(lead.0)].proof != Proof::NotNeeded;
        self.write_intent().await?;
        let mut doubts = self.database.in_flight.doubts(ticket);
        let proved = poll_fn(|cx| {
            self.poll_background(cx);
            if self.database.writes_stopped() {
                // An intent that could not be withdrawn stands, and may be one of those: behind a restart it would be on top.
                return Poll::Ready(Err(unknown("the recovery log failed at the decision")));
            }
            let proof = self.slots[usize::from(lead.0)].proof;
            let held = !asked || proof == Proof::Held;
            if held && self.database.in_flight.settled(&mut doubts, &self.handle) {
                let alone = self.view.members().count() < 2;
                if self.database.in_flight.leave(ticket, &self.handle, alone) {
                    return Poll::Ready(Ok(()));
                }
                drop(early.take());
            }
            self.check_lead()?;
            if self.view.down {
                return Poll::Ready(Err(SqlError::no_member().into()));
            }
            // A lost connection is being judged.
            if proof == Proof::Gone { Poll::Ready(Err(gone())) } else { Poll::Pending }
        })
        .await;
        match proved {
            // Under a token nobody may be told "aborted" of what is tried again.
            Err(Trouble::LeadChanged) if self.transaction_token().is_some() => Err(gone()),
            other => other,
        }
    }
}

fn gone() -> Trouble {
    SqlError::retry("its connection to the lead was lost, and with it its locks").into()
}
