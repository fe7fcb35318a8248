//! The recovery log as the write path uses it: intents, what came of them, and how far all is finished.
//!
//! **Decided = durable intent** (DESIGN.md §5). [`Journal::intent`] resolves when the record is durable; only then may
//! COMMIT leave for any member. An intent is *finished* when every enabled member has committed it, or when a durable
//! outcome says that it was aborted. Up to [`Journal::settled`] every intent is finished: so much of the log is the
//! same on all enabled members, and may be applied to one that comes back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use raidb_core::log::{CopiedRows, FinishedPrefix, Intent, Membership, Outcome, Position, Record, RecordKind};
use tokio::sync::Notify;

use crate::recovery_log::{Extent, LogError, RecoveryLog};

/// See the module.
pub struct Journal {
    log: Arc<dyn RecoveryLog>,
    state: Mutex<State>,
    /// The settled position has moved.
    moved: Notify,
    /// Transactions whose rows of COPY are in the log.
    copied: Arc<Mutex<CopiedRows>>,
    /// See [`Journal::epoch`].
    epoch: AtomicU64,
}

/// The rows that a transaction has copied into the log are kept while this lives, and behind that as long as its intent.
pub struct RowsHeld {
    log: Arc<dyn RecoveryLog>,
    copied: Arc<Mutex<CopiedRows>>,
    transaction: u64,
}

impl std::fmt::Debug for RowsHeld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rows of copying transaction {}", self.transaction)
    }
}

impl Drop for RowsHeld {
    fn drop(&mut self) {
        // The transaction is over: its intent is durable, or there is none.
        self.copied.lock().close(self.transaction, self.log.end());
    }
}

#[derive(Default)]
struct State {
    prefix: FinishedPrefix,
    aborted: HashSet<Position>,
}

impl Journal {
    /// A journal on a log whose records are all finished (see [`Journal::recovered`]), with the epoch that they tell.
    #[must_use]
    pub fn new(log: Arc<dyn RecoveryLog>, epoch: u64) -> Self {
        let prefix = FinishedPrefix::new(log.end());
        Journal {
            log,
            state: Mutex::new(State { prefix, aborted: HashSet::new() }),
            moved: Notify::new(),
            copied: Arc::default(),
            epoch: AtomicU64::new(epoch),
        }
    }

    /// What the log said at the start about intents that were aborted, and about rows of COPY.
    pub fn recovered(&self, aborted: HashSet<Position>, copied: CopiedRows) {
        self.state.lock().aborted.extend(aborted);
        *self.copied.lock() = copied;
    }

    /// A transaction is about to write rows of a COPY into the log: call before the first.
    #[must_use]
    pub fn hold_rows(&self) -> RowsHeld {
        // A truncation that does not see this yet does not reach behind the present end, where the rows will be.
        let transaction = self.copied.lock().open(self.log.end());
        RowsHeld { log: self.log.clone(), copied: self.copied.clone(), transaction }
    }

    /// What is left of the log behind [`Journal::truncate`]; [`Position::START`]: what there is.
    #[must_use]
    pub fn extent(&self, before: Position) -> Extent {
        self.log.extent(self.needed(before))
    }

    /// The first position that somebody may need who needs no intent before `before`.
    fn needed(&self, before: Position) -> Position {
        self.copied.lock().held(before).map_or(before, |rows| rows.min(before))
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
        let epoch = Membership::epoch_in(kind, &payload);
        let position = self.log.append(kind, payload).await?;
        self.epoch.fetch_max(epoch, Ordering::SeqCst);
        self.finish(position);
        Ok(position)
    }

    /// The newest epoch of the membership that is durable. Members are told no newer one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
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
        let outcome = self.log.append(RecordKind::Outcome, Outcome { aborted: position }.encode()).await?;
        // Not before: whoever tries again behind an error must not take it for durable. Nobody asks about it before it is finished.
        self.state.lock().aborted.insert(position);
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

    /// Forgets what stands before `before`, but no rows of a COPY whose intent stands behind it.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn truncate(&self, before: Position) -> Result<(), LogError> {
        let before = self.needed(before);
        if let Some(checkpoint) = self.log.truncate(before).await? {
            self.finish(checkpoint);
            self.state.lock().aborted.retain(|p| *p >= before);
            self.copied.lock().forget(before);
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
    use crate::recovery_log::{FileLog, RealDisk};

    /// A journal with a segment for every few records.
    fn journal(dir: &tempfile::TempDir) -> Journal {
        let log = FileLog::open_on(dir.path(), "bench", 1024, Box::new(RealDisk)).unwrap().log;
        Journal::new(Arc::new(log), 0)
    }

    async fn fill(journal: &Journal) -> Position {
        for _ in 0..20 {
            journal.note(RecordKind::Token, vec![0; 100]).await.unwrap();
        }
        journal.end()
    }

    #[tokio::test]
    async fn rows_of_an_open_copy_are_not_truncated() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = journal(&dir);
        let before = fill(&journal).await;
        let held = journal.hold_rows();
        let rows = journal.note(RecordKind::CopyRows, b"rows".to_vec()).await.unwrap();
        let end = fill(&journal).await;
        let told = journal.extent(end.next());
        journal.truncate(end.next()).await.unwrap();
        assert!(matches!(journal.read(before.min(Position(1)), 1).await, Err(LogError::Gone { .. })));
        assert_eq!(journal.read(rows, 1).await.unwrap()[0].payload, b"rows");
        assert_eq!(journal.extent(Position::START).first, told.first, "what was foretold");

        // Its intent comes, and the transaction is over; a member that holds less than the intent needs the rows.
        let intent = journal.intent(&Intent::default()).await.unwrap();
        drop(held);
        fill(&journal).await;
        journal.truncate(intent).await.unwrap();
        assert_eq!(journal.read(rows, 1).await.unwrap()[0].payload, b"rows");
        let end = fill(&journal).await;
        journal.truncate(end).await.unwrap();
        assert!(matches!(journal.read(rows, 1).await, Err(LogError::Gone { .. })));
    }

    #[tokio::test]
    async fn rows_that_an_earlier_proxy_has_copied_are_kept_too() {
        let dir = tempfile::TempDir::new().unwrap();
        let journal = journal(&dir);
        let rows = journal.note(RecordKind::CopyRows, b"rows".to_vec()).await.unwrap();
        let intent = fill(&journal).await;
        let statement = raidb_core::log::IntentStatement::Copy { text: Vec::new(), rows: vec![rows] };
        let entry = raidb_core::log::IntentEntry { statement, tag: None, alone: false };
        let mut copied = CopiedRows::default();
        copied.found(intent, &Intent { entries: vec![entry], ..Intent::default() });
        journal.recovered(HashSet::new(), copied);
        fill(&journal).await;
        journal.truncate(intent).await.unwrap();
        assert_eq!(journal.read(rows, 1).await.unwrap()[0].position, rows);
        journal.truncate(intent.next()).await.unwrap();
        assert!(matches!(journal.read(rows, 1).await, Err(LogError::Gone { .. })));
    }

    #[tokio::test]
    async fn a_log_is_empty_until_its_first_record_wherever_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Journal::new(Arc::new(FileLog::open(dir.path(), "bench").unwrap().log), 0);
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
