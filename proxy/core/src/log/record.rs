//! One record as bytes.
//!
//! | bytes | field (little endian) |
//! |---|---|
//! | 0-3 | length of the payload |
//! | 4-7 | CRC32C of all other bytes of the record |
//! | 8-15 | position |
//! | 16-23 | position of the first record of its batch: records before it were flushed when this one was written |
//! | 24 | kind |
//! | 25-27 | zero |
//! | 28- | payload |
//!
//! The batch tells a torn tail from damage: a group commit writes several records before one flush, and a
//! power failure may leave the later ones intact and an earlier one not. None of them was acknowledged.

use super::Position;
use super::segment_header::{u32_at, u64_at};

/// Longest payload, in bytes: a statement of the longest wire message, with room for its frame.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// Length of what comes before the payload.
pub(super) const HEAD_BYTES: usize = 28;

/// What a record holds. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A transcript; once durable, its transaction is decided: [`super::Intent`].
    Intent = 1,
    /// What came of an intent, if not plain success: [`super::Outcome`].
    Outcome = 2,
    /// A member's new state: [`super::MemberChange`].
    MemberChange = 3,
    /// All members' states: [`super::Checkpoint`].
    Checkpoint = 4,
    /// Values of sequences that are used up. Reserved: payload not defined yet.
    SequenceHighWater = 5,
    /// Rows of a COPY, as they came; an intent names the records that are its own.
    CopyRows = 6,
    /// What is known of clients' tokens: [`super::TokenRecord`].
    Token = 7,
    /// A place that an operator has named: [`super::NamedCheckpoint`].
    NamedCheckpoint = 16,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// What it holds.
    pub kind: RecordKind,
    /// In the form of its kind.
    pub payload: Vec<u8>,
}

impl Record {
    /// Length in its segment, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEAD_BYTES + self.payload.len()
    }
}

/// The payload is longer than [`PAYLOAD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {0} bytes is longer than the recovery log allows ({PAYLOAD_BYTES_MAX})")]
pub struct TooLarge(pub usize);

impl RecordKind {
    /// The kind of this number.
    pub fn from_code(code: u8) -> Option<Self> {
        [
            Self::Intent,
            Self::Outcome,
            Self::MemberChange,
            Self::Checkpoint,
            Self::SequenceHighWater,
            Self::CopyRows,
            Self::Token,
            Self::NamedCheckpoint,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == code)
    }
}

/// Appends a record to `out`. `batch` is the position of the first record that goes out with the same flush.
///
/// # Errors
/// [`TooLarge`]; `out` is unchanged.
pub fn encode_record(
    out: &mut Vec<u8>,
    position: Position,
    batch: Position,
    kind: RecordKind,
    payload: &[u8],
) -> Result<(), TooLarge> {
    debug_assert!(batch <= position && batch > Position::START, "a batch begins with its first record");
    let too_large = TooLarge(payload.len());
    let length = u32::try_from(payload.len()).map_err(|_| too_large)?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(too_large);
    }
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[8..16].copy_from_slice(&position.0.to_le_bytes());
    head[16..24].copy_from_slice(&batch.0.to_le_bytes());
    head[24] = kind as u8;
    let crc = checksum(&head, payload);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    Ok(())
}

/// Length of the record that begins with `bytes`, as it says itself; `None`: too few bytes to tell.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    usize::try_from(u32_at(head, 0)).ok()?.checked_add(HEAD_BYTES)
}

/// An intact record, not yet copied out of its segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub(super) position: Position,
    pub(super) batch: Position,
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
}

impl Raw<'_> {
    /// Length of the whole record in bytes.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.payload.len()
    }
}

/// The record at the beginning of `bytes`, if there is an intact one.
pub(super) fn decode(bytes: &[u8]) -> Option<Raw<'_>> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    let length = usize::try_from(u32_at(head, 0)).ok().filter(|length| *length <= PAYLOAD_BYTES_MAX)?;
    let payload = bytes.get(HEAD_BYTES..HEAD_BYTES + length)?;
    let (position, batch) = (Position(u64_at(head, 8)), Position(u64_at(head, 16)));
    // Cheap tests first: the reader also looks for records where there are none.
    let plausible = head[25..] == [0; 3] && Position::START < batch && batch <= position;
    let intact = plausible && checksum(head, payload) == u32_at(head, 4);
    intact.then_some(Raw { position, batch, kind: head[24], payload })
}

fn checksum(head: &[u8; HEAD_BYTES], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..4]), &head[8..]);
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, Position(9), Position(8), RecordKind::Intent, b"payload").unwrap();
        let raw = decode(&bytes).unwrap();
        assert_eq!((raw.position, raw.batch, raw.kind), (Position(9), Position(8), 1));
        assert_eq!((raw.payload, raw.bytes()), (b"payload".as_slice(), bytes.len()));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "cut at {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn kinds_and_their_numbers() {
        for code in 0..=u8::MAX {
            let known = matches!(code, 1..=7 | 16);
            assert_eq!(RecordKind::from_code(code).map(|kind| kind as u8), known.then_some(code));
        }
    }

    #[test]
    fn refuses_what_is_too_large() {
        let mut out = Vec::new();
        let payload = vec![0; PAYLOAD_BYTES_MAX + 1];
        let result = encode_record(&mut out, Position(1), Position(1), RecordKind::Intent, &payload);
        assert_eq!((result, out.len()), (Err(TooLarge(payload.len())), 0));
    }
}
