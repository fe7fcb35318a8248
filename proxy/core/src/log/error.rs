//! Why a log cannot be read.

use super::Position;

/// A place in the log that is not what was written. Reading stops; an operator decides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("recovery log segment {segment}, offset {offset}: {kind}")]
pub struct Corrupt {
    /// Name of the segment.
    pub segment: String,
    /// Offset in bytes from the beginning of the segment.
    pub offset: usize,
    /// What is wrong there.
    pub kind: CorruptKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorruptKind {
    /// The segment does not begin with a whole and intact header.
    #[error("the segment header is damaged")]
    Header,
    /// The segment was written by another version.
    #[error("the segment has format version {found}, this program reads version {expected}")]
    Version {
        /// In the header.
        found: u32,
        /// Of this program.
        expected: u32,
    },
    /// The segment belongs to another virtual database.
    #[error("the segment belongs to another virtual database")]
    OtherDatabase,
    /// The positions do not go on where they should.
    #[error("found {found} where {expected} should be")]
    Gap {
        /// In the log.
        found: Position,
        /// After the record before it.
        expected: Position,
    },
    /// A record is damaged, and a flushed record or another segment follows: it is no torn tail.
    #[error("a damaged record before an intact one; something changed the file after it was flushed")]
    DamagedRecord,
    /// An intact record of a kind that this program does not know.
    #[error("the record has the unknown kind {0}; it was written by a newer version")]
    UnknownKind(u8),
    /// An intact record whose payload does not have the form of its kind.
    #[error("the payload does not have the form of its kind: {0}")]
    Payload(String),
}
