//! Reads segments from the first byte to the last, one in memory at a time, and shows each record to a visitor.
//!
//! It yields exactly the records up to some point, or an error that names segment and offset. In a damaged segment
//! the records before the damage are shown first. It changes nothing on disk.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use raidb_core::log::{Corrupt, CorruptKind, Place, Position, Record, Segment, SegmentHeader, read_segment};

use super::LogError;

/// A record and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Name of its segment.
    pub segment: &'a str,
    /// Offset in bytes from the beginning of the segment.
    pub offset: usize,
    /// The record.
    pub record: &'a Record,
}

/// What a segment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedSegment {
    /// Its file.
    pub path: PathBuf,
    /// Position of its first record.
    pub first: Position,
    /// Position behind its last record.
    pub next: Position,
    /// Length of header and records in bytes.
    pub good_bytes: usize,
    /// Bytes of a torn tail, zeros not counted.
    pub torn_bytes: usize,
    /// Hash of the virtual database that it belongs to.
    pub database: u64,
}

/// Gets each record in order; `Break` ends the reading, an error is reported at the record's place.
pub type Visitor<'v> = dyn FnMut(Seen<'_>) -> Result<ControlFlow<()>, CorruptKind> + 'v;

/// Reads `paths`, a log's segments in order, up to the last one. `database: None` means: that of the first segment.
///
/// # Errors
/// [`LogError::Corrupt`] or [`LogError::Io`].
pub(super) fn scan(
    dir: &Path,
    paths: Vec<(Position, PathBuf)>,
    mut database: Option<u64>,
    visit: &mut Visitor<'_>,
) -> Result<Vec<ScannedSegment>, LogError> {
    let count = paths.len();
    let mut scanned: Vec<ScannedSegment> = Vec::with_capacity(count);
    for (index, (named, path)) in paths.into_iter().enumerate() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = fs::read(&path).map_err(LogError::io(format!("read {}", path.display())))?;
        let own = SegmentHeader::decode(&bytes).map(|header| header.database);
        let place = Place {
            name: &name,
            // A header that cannot be read is reported below, whatever stands here.
            database: *database.get_or_insert(own.unwrap_or_default()),
            follows: scanned.last().map(|segment| segment.next).or(Some(named)),
            is_last: index + 1 == count,
        };
        let flow = read_one(&bytes, place, visit);
        let (segment, flow) = flow.map_err(|corrupt| LogError::Corrupt { dir: dir.to_owned(), corrupt })?;
        scanned.push(ScannedSegment {
            path,
            first: segment.header.first,
            next: segment.next(),
            good_bytes: segment.good_bytes,
            torn_bytes: segment.torn_bytes,
            database: segment.header.database,
        });
        if flow.is_break() {
            break;
        }
    }
    Ok(scanned)
}

fn read_one(bytes: &[u8], place: Place<'_>, visit: &mut Visitor<'_>) -> Result<(Segment, ControlFlow<()>), Corrupt> {
    match read_segment(bytes, place) {
        Ok(segment) => {
            let flow = show(&segment, place.name, visit)?;
            Ok((segment, flow))
        }
        Err(corrupt) => {
            // Up to the damage the segment is whole.
            if let Some(Ok(segment)) = bytes.get(..corrupt.offset).map(|good| read_segment(good, place))
                && show(&segment, place.name, visit)?.is_break()
            {
                return Ok((segment, ControlFlow::Break(())));
            }
            Err(corrupt)
        }
    }
}

fn show(segment: &Segment, name: &str, visit: &mut Visitor<'_>) -> Result<ControlFlow<()>, Corrupt> {
    let mut offset = SegmentHeader::BYTES;
    for record in &segment.records {
        let flow = visit(Seen { segment: name, offset, record });
        if flow.map_err(|kind| Corrupt { segment: name.to_owned(), offset, kind })?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        offset += record.bytes();
    }
    Ok(ControlFlow::Continue(()))
}
