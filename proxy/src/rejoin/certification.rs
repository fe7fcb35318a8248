//! What a lead's COMMIT was to decide, and did not: taken back before anything is redone.
//!
//! Under SERIALIZABLE the intent is durable before the lead's COMMIT decides (DESIGN.md §3). So such a record says only that all
//! agreed; that it counts shows in the marker that the lead's COMMIT writes. Whoever redoes it without one carries out what the lead
//! may have refused, and what it refused it has unlocked: another transaction may have been acknowledged on the same rows since.
//!
//! **Why nothing acknowledged, and nothing that was read, is taken back.** It is taken back only if the lead that the intent names is
//! among those that were asked, fenced, and does not hold it: then it never committed it, so no follower was sent COMMIT, nobody was
//! told, and nobody has read it. That *others* lack it proves nothing: one that has just joined gets from the log what was
//! acknowledged without it. If the lead was not asked, "decided = durable intent" holds as for any other; if it had refused it, and the
//! outcome was not durable yet, it is carried out nevertheless (docs/adr/0003, known gaps).

use raidb_core::log::{CorruptKind, Intent, Position, Record, RecordKind};

use super::RejoinError;
use super::tables::Told;
use crate::virtual_database::journal::Journal;

/// Intents that a lead was to decide, each with its name, as a walk over the log finds them.
#[derive(Debug, Default)]
pub(super) struct Certified(Vec<(Position, String)>);

impl Certified {
    /// Takes note of a record.
    pub(super) fn record(&mut self, record: &Record) -> Result<(), CorruptKind> {
        if record.kind == RecordKind::Intent
            && let Some(lead) = Intent::decode_certified_by(&record.payload)?
        {
            self.0.push((record.position, lead));
        }
        Ok(())
    }

    /// Those that their lead does not hold are aborted, durably. `asked` are fenced members; call before anything is redone.
    ///
    /// # Errors
    /// The log's.
    pub(super) async fn abort_those_not_held(self, asked: &[&Told], journal: &Journal) -> Result<(), RejoinError> {
        for (position, lead) in self.0 {
            let lead_asked = asked.iter().any(|told| told.name == lead);
            let held = asked.iter().any(|told| told.applied.holds(position));
            if lead_asked && !held && !journal.is_aborted(position) {
                journal.abort(position).await?;
                tracing::info!(%position, lead, "the lead was to decide over a transaction, and does not hold it: aborted");
            }
        }
        Ok(())
    }
}
