//! Reads a segment: every record up to its end, with a torn tail cut.
//!
//! | what is found | in the last segment | in another |
//! |---|---|---|
//! | the bytes end after a record, or only zeros follow | the end | the end |
//! | damage, and no intact record of a later batch behind it | torn tail: cut | error |
//! | damage, and an intact record of a later batch behind it | error | error |
//! | an intact record with a position that does not follow | error | error |

use super::record::{self, HEAD_BYTES, Raw};
use super::{Corrupt, CorruptKind, Position, Record, RecordKind, SegmentHeader};

/// Where a segment is in its log.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// Hash of the virtual database that it must belong to.
    pub database: u64,
    /// Position after the last record of the segment before; `None` for the first segment.
    pub follows: Option<Position>,
    /// Whether it is the last one, the only one that may have a torn tail.
    pub is_last: bool,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its header.
    pub header: SegmentHeader,
    /// Its records.
    pub records: Vec<Record>,
    /// Length of header and records in bytes. What follows is to be cut off before anything is appended.
    pub good_bytes: usize,
    /// Bytes of a torn tail, zeros not counted; 0 if the segment ends cleanly.
    pub torn_bytes: usize,
}

impl Segment {
    /// Position of the record that comes after this segment.
    pub fn next(&self) -> Position {
        self.records.last().map_or(self.header.first, |record| record.position.next())
    }
}

/// Reads a segment.
///
/// # Errors
/// [`Corrupt`]: something that is no torn tail; see the table of this module.
pub fn read_segment(bytes: &[u8], place: Place<'_>) -> Result<Segment, Corrupt> {
    let corrupt = |offset, kind| Corrupt { segment: place.name.to_owned(), offset, kind };
    let header = SegmentHeader::decode(bytes).map_err(|kind| corrupt(0, kind))?;
    if header.database != place.database {
        return Err(corrupt(0, CorruptKind::OtherDatabase));
    }
    if let Some(expected) = place.follows.filter(|expected| *expected != header.first) {
        return Err(corrupt(0, CorruptKind::Gap { found: header.first, expected }));
    }
    let mut records = Vec::new();
    let mut offset = SegmentHeader::BYTES;
    let mut expected = header.first;
    while let Some(raw) = record::decode(&bytes[offset..]) {
        if raw.position != expected {
            return Err(corrupt(offset, CorruptKind::Gap { found: raw.position, expected }));
        }
        let kind = RecordKind::from_code(raw.kind);
        let kind = kind.ok_or_else(|| corrupt(offset, CorruptKind::UnknownKind(raw.kind)))?;
        records.push(Record { position: raw.position, kind, payload: raw.payload.to_vec() });
        offset += raw.bytes();
        expected = expected.next();
    }
    let rest = &bytes[offset..];
    let torn_bytes = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if torn_bytes > 0 && (!place.is_last || later_batch_follows(rest, expected)) {
        return Err(corrupt(offset, CorruptKind::DamagedRecord));
    }
    Ok(Segment { header, records, good_bytes: offset, torn_bytes })
}

/// What a part of a segment gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its whole records.
    pub records: Vec<Record>,
    /// Their length in bytes.
    pub bytes: usize,
    /// Length that the part must have for the record behind them to be whole, as far as that can be told.
    pub wants: usize,
}

/// Reads the whole records that a part of a segment begins with. The part begins with the record at `expected`, `offset` bytes behind the segment's beginning.
///
/// # Errors
/// [`Corrupt`]: a record that is there as a whole is damaged, or not the one that follows.
pub fn read_part(bytes: &[u8], name: &str, offset: usize, mut expected: Position) -> Result<Part, Corrupt> {
    let mut part = Part { records: Vec::new(), bytes: 0, wants: HEAD_BYTES };
    loop {
        let rest = &bytes[part.bytes..];
        let length = record::length(rest).unwrap_or(HEAD_BYTES);
        part.wants = part.bytes.saturating_add(length);
        if rest.len() < length || rest.len() < HEAD_BYTES {
            return Ok(part);
        }
        let corrupt = |kind| Corrupt { segment: name.to_owned(), offset: offset + part.bytes, kind };
        let raw = record::decode(rest).ok_or_else(|| corrupt(CorruptKind::DamagedRecord))?;
        if raw.position != expected {
            return Err(corrupt(CorruptKind::Gap { found: raw.position, expected }));
        }
        let kind = RecordKind::from_code(raw.kind).ok_or_else(|| corrupt(CorruptKind::UnknownKind(raw.kind)))?;
        part.records.push(Record { position: raw.position, kind, payload: raw.payload.to_vec() });
        part.bytes += raw.bytes();
        expected = expected.next();
    }
}

/// Whether an intact record behind the damage says that the damaged one, at `position`, had been flushed.
fn later_batch_follows(rest: &[u8], position: Position) -> bool {
    // Each record takes at least a head, which bounds the positions that can follow.
    let positions = u64::try_from(rest.len() / HEAD_BYTES).unwrap_or(u64::MAX);
    let last = Position(position.0.saturating_add(positions));
    let proves = |raw: Raw<'_>| raw.position <= last && raw.batch > position;
    (1..rest.len()).any(|offset| record::decode(&rest[offset..]).is_some_and(proves))
}
