//! The recovery log on disk: durable, ordered, and read back whole after any crash.
//!
//! Invariant: a position is told to a caller only after the record, and all before it, were flushed. After
//! a failed flush nothing is appended any more: what the kernel still holds is unknown, and a later
//! success would hide the loss.
//!
//! Who calls it: the write path (intents) and the membership (member changes). It does not know what a
//! payload means, except for member changes, which it folds so that [`RecoveryLog::truncate`] loses none.
//!
//! ```text
//! append ──► queue (APPENDS_QUEUED_MAX) ──► thread: batch ─► write ─► fdatasync ──► replies
//!             full: append waits                     └─ segment full: next one (tmp, fsync, rename, fsync dir)
//! ```
//!
//! One directory for each virtual database: `lock`, and segments named after their first position.

mod directory;
mod disk;
mod error;
mod fault_disk;
mod file_log;
mod inspect;
mod open;
mod scan;
mod segments;
mod writer;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod failing_disk;
#[cfg(test)]
mod file_log_test;

use futures::future::BoxFuture;
use raidb_core::log::{Position, Record, RecordKind};

pub use directory::{directory_of, holds_log, logs_below, virtual_database_of};
#[cfg(test)]
pub(crate) use disk::RealDisk;
pub use error::LogError;
pub use file_log::{FileLog, Opened};
pub use inspect::inspect;
pub use scan::{ScannedSegment, Seen, Visitor};
pub use segments::Extent;

/// An append-only sequence of records.
///
/// # To ensure correctness
/// * Positions grow by one, without holes, also over a restart.
/// * `append` resolves with a position only when this record and all before it are durable.
/// * Records of calls that were queued one after the other get positions in that order.
/// * After an error other than [`LogError::Full`] and [`LogError::TooLarge`] every later append fails.
pub trait RecoveryLog: Send + Sync {
    /// Appends a record; resolves when it is durable.
    ///
    /// # Cancel safety
    /// A future that is dropped may have queued its record; the record is then written all the same.
    fn append(&self, kind: RecordKind, payload: Vec<u8>) -> BoxFuture<'_, Result<Position, LogError>>;

    /// Durable records from `from` on, in order: as many as fit into `bytes_max` of payload, but at least
    /// one if there is one. Empty at the end of the log.
    fn read(&self, from: Position, bytes_max: usize) -> BoxFuture<'_, Result<Vec<Record>, LogError>>;

    /// Permits to forget records before `before`. Keeps the membership: writes a checkpoint first, whose position is
    /// returned; `None`: there was nothing to forget.
    fn truncate(&self, before: Position) -> BoxFuture<'_, Result<Option<Position>, LogError>>;

    /// The next record gets the position behind `last`: members hold markers of an earlier log. Only while the log has
    /// no record.
    fn begin_behind(&self, last: Position) -> BoxFuture<'_, Result<(), LogError>>;

    /// What is left of the log if everything is forgotten that may be when nothing before `before` is needed;
    /// [`Position::START`]: what there is.
    fn extent(&self, before: Position) -> Extent;

    /// Position of the last durable record.
    fn end(&self) -> Position;
}
