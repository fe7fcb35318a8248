//! The recovery log as bytes: segments, records and what the records say about members.
//!
//! Invariant: whatever bytes a crash leaves behind, reading yields exactly the records up to some point
//! at or after the last one that was flushed, or an error that names segment and offset. It never yields
//! a record that was not written, and never skips one. Pure functions over byte slices; files are the
//! business of `raidb::recovery_log`.
//!
//! A log is a sequence of segments of one virtual database. A segment is a [`SegmentHeader`] and records
//! with positions that grow by one; the next segment goes on where the last one ended.

mod adoption;
mod applied;
mod checkpoint;
mod copied_rows;
mod error;
mod intent;
mod member_change;
mod membership;
mod named_checkpoint;
mod outcome;
mod position;
mod prefix;
mod reader;
mod record;
mod retention;
mod segment_header;
mod token;

#[cfg(test)]
mod reader_test;

pub use adoption::Adoption;
pub use applied::Applied;
pub use checkpoint::Checkpoint;
pub use copied_rows::CopiedRows;
pub use error::{Corrupt, CorruptKind};
pub use intent::{Context, Intent, IntentEntry, IntentStatement};
pub use member_change::MemberChange;
pub use membership::Membership;
pub use named_checkpoint::NamedCheckpoint;
pub use outcome::Outcome;
pub use position::Position;
pub use prefix::FinishedPrefix;
pub use reader::{Part, Place, Segment, read_part, read_segment};
pub use record::{PAYLOAD_BYTES_MAX, Record, RecordKind, TooLarge, encode_record};
pub use retention::{Holder, left_behind};
pub use segment_header::{FORMAT_VERSION, SegmentHeader, database_hash};
pub use token::TokenRecord;
