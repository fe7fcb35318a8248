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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use raidb_core::log::Applied;

    use super::*;
    use crate::recovery_log::FileLog;

    fn told(name: &str, held: &[Position]) -> Told {
        let applied = Applied::new(Position::START, held.iter().copied());
        Told { database: "bench".into(), name: name.into(), epoch: 1, applied }
    }

    /// Whether an intent that `lead` was to decide is aborted when these members were asked.
    async fn aborted(asked: &[(&str, bool)]) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(Arc::new(FileLog::open(dir.path(), "bench").unwrap().log), 0);
        let position =
            journal.intent(&Intent { certified_by: Some("lead".into()), ..Intent::default() }).await.unwrap();
        let mut certified = Certified::default();
        journal.read(position, 1 << 20).await.unwrap().iter().for_each(|record| certified.record(record).unwrap());
        let asked: Vec<Told> = asked
            .iter()
            .map(|(name, holds)| told(name, if *holds { std::slice::from_ref(&position) } else { &[] }))
            .collect();
        certified.abort_those_not_held(&asked.iter().collect::<Vec<_>>(), &journal).await.unwrap();
        let last = journal.read(journal.end(), 1 << 20).await.unwrap();
        assert_eq!(
            journal.is_aborted(position),
            last.iter().any(|record| record.kind == RecordKind::Outcome),
            "durably"
        );
        journal.is_aborted(position)
    }

    #[tokio::test]
    async fn the_leads_own_lack_says_that_it_was_never_carried_out() {
        assert!(aborted(&[("lead", false), ("other", false)]).await);
    }

    /// Acknowledged writes would be lost: a member that has just joined lacks what the log was about to bring it.
    #[tokio::test]
    async fn that_others_lack_it_says_nothing() {
        assert!(!aborted(&[("joined", false)]).await);
        assert!(!aborted(&[("joined", false), ("other", false)]).await);
        assert!(!aborted(&[("lead", true), ("joined", false)]).await);
        assert!(!aborted(&[("lead", false), ("rebuilt", true)]).await);
    }
}
