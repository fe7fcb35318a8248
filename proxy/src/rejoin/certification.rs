//! What the lead alone was to decide, and did not: taken back before anything is redone.
//!
//! Under SERIALIZABLE the intent is durable before the lead's COMMIT decides (DESIGN.md §3). So such a record says only that all
//! agreed; that it counts shows in a marker, which the lead's COMMIT writes. Whoever redoes it without one carries out what the lead
//! may have refused, and what it refused it has unlocked: another transaction may have been acknowledged on the same rows since.
//!
//! **Why nothing acknowledged is taken back.** A client is told of a commit only when every enabled member has it. At a start, and
//! when the last member is back, each member that is asked was enabled until the end, or was given by the log all that is settled:
//! it holds every transaction that was acknowledged. What none of them holds nobody was told of; a lead that is not among them and
//! did carry it out is rebuilt when it is back ([`super::RejoinError::Uncertified`]).

use raidb_core::log::{CorruptKind, Intent, Position, Record, RecordKind};

use super::RejoinError;
use crate::virtual_database::journal::Journal;

/// Intents that a lead was to decide, as a walk over the log finds them.
#[derive(Debug, Default)]
pub(super) struct Certified(Vec<Position>);

impl Certified {
    /// Takes note of a record.
    pub(super) fn record(&mut self, record: &Record) -> Result<(), CorruptKind> {
        if record.kind == RecordKind::Intent && Intent::decode_certified(&record.payload)? {
            self.0.push(record.position);
        }
        Ok(())
    }

    /// Those that no member holds are aborted, durably. Call before anything is redone, with all members fenced.
    ///
    /// # Errors
    /// The log's.
    pub(super) async fn abort_those_not(
        self,
        held: impl Fn(Position) -> bool,
        journal: &Journal,
    ) -> Result<(), RejoinError> {
        for position in self.0 {
            if !journal.is_aborted(position) && !held(position) {
                journal.abort(position).await?;
                tracing::info!(%position, "a transaction of which the lead's COMMIT was to decide is on no member: aborted");
            }
        }
        Ok(())
    }
}
