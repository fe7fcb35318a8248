//! The recovery log as the write path uses it: intents, what came of them, and how far all is finished.
//!
//! **Decided = durable intent** (DESIGN.md §5). [`Journal::intent`] resolves when the record is durable; only then may
//! COMMIT leave for any member. An intent is *finished* when every enabled member has committed it, or when a durable
//! outcome says that it was aborted. Up to [`Journal::settled`] every intent is finished: so much of the log is the
//! same on all enabled members, and may be applied to one that comes back.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use raidb_core::log::{FinishedPrefix, Intent, Outcome, Position, Record, RecordKind};
use tokio::sync::Notify;

use crate::recovery_log::{LogError, RecoveryLog};

/// See the module.
pub struct Journal {
    log: Arc<dyn RecoveryLog>,
    state: Mutex<State>,
    /// The settled position has moved.
    moved: Notify,
}

#[derive(Default)]
struct State {
    prefix: FinishedPrefix,
    aborted: HashSet<Position>,
}

impl Journal {
    /// A journal on a log whose records are all finished (see [`Journal::recovered`]).
    #[must_use]
    pub fn new(log: Arc<dyn RecoveryLog>) -> Self {
        let prefix = FinishedPrefix::new(log.end());
        Journal { log, state: Mutex::new(State { prefix, aborted: HashSet::new() }), moved: Notify::new() }
    }

    /// What the log said at the start about intents that were aborted.
    pub fn recovered(&self, aborted: HashSet<Position>) {
        self.state.lock().aborted.extend(aborted);
    }

    /// Makes an intent durable. From then on its transaction is decided.
    ///
    /// # Errors
    /// [`LogError`]: it may be durable nevertheless, unless it is [`LogError::Full`] or [`LogError::TooLarge`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call leaves a position that is never finished.
    pub async fn intent(&self, intent: &Intent) -> Result<Position, LogError> {
        self.log.append(RecordKind::Intent, intent.encode()).await
    }

    /// Makes another record durable; it is finished at once.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn note(&self, kind: RecordKind, payload: Vec<u8>) -> Result<Position, LogError> {
        let position = self.log.append(kind, payload).await?;
        self.finish(position);
        Ok(position)
    }

    /// The intent took effect on every member that is left.
    pub fn finish(&self, position: Position) {
        self.state.lock().prefix.finish(position);
        self.moved.notify_waiters();
    }

    /// Every intent up to here took effect on every member that is left.
    pub fn finish_all(&self, end: Position) {
        self.state.lock().prefix.raise(end);
        self.moved.notify_waiters();
    }

    /// The intent was not carried out on any member that is left. Resolves when that is durable: only then may the
    /// client be told.
    ///
    /// # Errors
    /// [`LogError`]: the outcome is unknown.
    pub async fn abort(&self, position: Position) -> Result<(), LogError> {
        self.state.lock().aborted.insert(position);
        let outcome = self.log.append(RecordKind::Outcome, Outcome { aborted: position }.encode()).await?;
        self.finish(outcome);
        self.finish(position);
        Ok(())
    }

    /// Whether the intent at this position was aborted.
    #[must_use]
    pub fn is_aborted(&self, position: Position) -> bool {
        self.state.lock().aborted.contains(&position)
    }

    /// Everything up to here is finished.
    #[must_use]
    pub fn settled(&self) -> Position {
        self.state.lock().prefix.end()
    }

    /// Waits until everything up to `position` is finished.
    pub async fn settled_to(&self, position: Position) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.settled() >= position {
                return;
            }
            moved.await;
        }
    }

    /// The last durable record.
    #[must_use]
    pub fn end(&self) -> Position {
        self.log.end()
    }

    /// Records from `from` on; see [`RecoveryLog::read`].
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn read(&self, from: Position, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        self.log.read(from, bytes_max).await
    }

    /// Forgets what stands before `before`.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn truncate(&self, before: Position) -> Result<(), LogError> {
        if let Some(checkpoint) = self.log.truncate(before).await? {
            self.finish(checkpoint);
            self.state.lock().aborted.retain(|p| *p >= before);
        }
        Ok(())
    }

    /// Whether the log has no record, so that it says nothing about members. (Its end may have been moved.)
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn is_empty(&self) -> Result<bool, LogError> {
        match self.log.read(self.log.end(), 1).await {
            Ok(records) => Ok(records.is_empty()),
            Err(LogError::Gone { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Lets the positions of an empty log begin behind `last`.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn begin_behind(&self, last: Position) -> Result<(), LogError> {
        self.log.begin_behind(last).await?;
        self.state.lock().prefix = FinishedPrefix::new(self.log.end());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery_log::FileLog;

    #[tokio::test]
    async fn a_log_is_empty_until_its_first_record_wherever_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::new(Arc::new(FileLog::open(dir.path(), "bench").unwrap().log));
        let journal = open();
        assert!(journal.is_empty().await.unwrap());
        journal.begin_behind(Position(41)).await.unwrap();
        assert!(journal.is_empty().await.unwrap());
        drop(journal);
        // A start that was cut off before the first record does the same again.
        let journal = open();
        assert!(journal.is_empty().await.unwrap());
        journal.begin_behind(Position(41)).await.unwrap();
        let first = journal.note(RecordKind::SequenceHighWater, Vec::new()).await.unwrap();
        assert_eq!((first, journal.is_empty().await.unwrap()), (Position(42), false));
        assert_eq!(journal.settled(), Position(42));
    }
}
