//! Walks the log and hands the applier what a member lacks.

use raidb_core::log::{Applied, Intent, Position, RecordKind};

use super::RejoinError;
use super::applier::{Applier, BATCH_INTENTS_MAX, Decided};
use crate::recovery_log::LogError;
use crate::virtual_database::journal::Journal;

/// Payload bytes that are read from the log at once.
const READ_BYTES: usize = 4 << 20;

/// Where a replay stands.
#[derive(Debug)]
pub struct Replay {
    /// What the member held at the beginning.
    applied: Applied,
    /// Everything up to here was looked at.
    at: Position,
    /// Intents that were applied.
    done: u64,
}

impl Replay {
    /// A replay onto a member that holds this.
    #[must_use]
    pub fn new(applied: Applied) -> Self {
        let at = applied.floor();
        Replay { applied, at, done: 0 }
    }

    /// Everything up to here is on the member.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at
    }

    /// Intents that were applied.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Applies everything up to `to` that the member lacks, except what was aborted and what `others` says that somebody
    /// else brings. `progress` is told after every step how far all is done. All intents up to `to` must be finished.
    ///
    /// # Errors
    /// [`RejoinError`].
    #[expect(clippy::too_many_arguments, reason = "where to, from what, by whom, and who is told")]
    pub async fn run_to(
        &mut self,
        to: Position,
        journal: &Journal,
        applier: &mut Applier<'_>,
        table: u8,
        others: impl Fn(&Intent) -> bool,
        progress: impl Fn(Position),
    ) -> Result<(), RejoinError> {
        while self.at < to {
            let (before, from) = (self.at, self.at.next());
            let records = match journal.read(from, READ_BYTES).await {
                Err(LogError::Gone { .. }) => return Err(RejoinError::Behind { needed: from }),
                other => other?,
            };
            let mut batch: Vec<Decided> = Vec::new();
            let mut seen = self.at;
            for record in records {
                if record.position > to {
                    break;
                }
                seen = record.position;
                if record.kind == RecordKind::Intent
                    && self.applied.holds(record.position)
                    && journal.is_aborted(record.position)
                {
                    // It committed what all others refused, and was lost before it could say so.
                    return Err(RejoinError::Uncertified { position: record.position });
                }
                let wanted = record.kind == RecordKind::Intent
                    && !self.applied.holds(record.position)
                    && !journal.is_aborted(record.position);
                if wanted {
                    let intent = Intent::decode(&record.payload)?;
                    if !others(&intent) {
                        batch.push(Decided { position: record.position, intent });
                    }
                }
                if batch.len() >= BATCH_INTENTS_MAX {
                    self.step(&mut batch, seen, applier, table, &progress).await?;
                }
            }
            // (Not what is left of the batch: the last record may just have filled one.)
            if seen == before {
                return Err(RejoinError::Behind { needed: from });
            }
            self.step(&mut batch, seen, applier, table, &progress).await?;
        }
        Ok(())
    }

    async fn step(
        &mut self,
        batch: &mut Vec<Decided>,
        seen: Position,
        applier: &mut Applier<'_>,
        table: u8,
        progress: &impl Fn(Position),
    ) -> Result<(), RejoinError> {
        if !batch.is_empty() {
            applier.apply(batch, table).await?;
            self.done += batch.len() as u64;
            batch.clear();
        }
        self.at = seen;
        progress(seen);
        Ok(())
    }
}
