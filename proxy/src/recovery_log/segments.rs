//! Which segments there are and how far each is durable: written by the log's thread, read by readers.
//!
//! A read costs what it returns: each segment has an index of places, one for every [`PLACE_EVERY`] bytes, and nothing is
//! read before the last place in front of the position that is asked for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use raidb_core::log::{Corrupt, CorruptKind, Part, Position, Record, SegmentHeader, read_part};

use super::LogError;

/// Bytes between two places of the index: the most that a read passes over, but for the records of one flush. 16 bytes of
/// memory for each.
const PLACE_EVERY: u64 = 1 << 20;

/// Bytes that are read from a file at once, unless a record is longer.
const READ_BYTES: u64 = 256 << 10;

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct SegmentInfo {
    /// Position of its first record.
    pub(super) first: Position,
    /// Its file.
    pub(super) path: PathBuf,
    /// Its durable length.
    pub(super) bytes: u64,
}

/// A segment, and where some of its records begin.
#[derive(Clone, Debug)]
struct Indexed {
    info: SegmentInfo,
    places: Places,
}

/// Positions of some records of a segment and the offsets of their first bytes, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Vec<(Position, u64)>);

impl Places {
    /// A record begins here. Kept if the last place is far enough away.
    pub(super) fn note(&mut self, position: Position, offset: u64) {
        let last = self.0.last().map_or(SegmentHeader::BYTES as u64, |(_, offset)| *offset);
        if offset >= last.saturating_add(PLACE_EVERY) {
            self.0.push((position, offset));
        }
    }

    /// The last place that is not behind `from`; `first` begins the segment.
    fn before(&self, from: Position, first: Position) -> (Position, u64) {
        let behind = self.0.partition_point(|(position, _)| *position <= from);
        behind
            .checked_sub(1)
            .and_then(|index| self.0.get(index))
            .copied()
            .unwrap_or((first, SegmentHeader::BYTES as u64))
    }
}

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Position of its first record, or of the next one if it has none.
    pub first: Position,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// All segments, oldest first, never empty, and the last durable position.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    database: u64,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    segments: Vec<Indexed>,
    end: Position,
}

impl Segments {
    /// `places` are those of `segments`, in the same order.
    pub(super) fn new(
        dir: &Path,
        database: u64,
        segments: Vec<SegmentInfo>,
        places: Vec<Places>,
        end: Position,
    ) -> Self {
        let places = places.into_iter().chain(std::iter::repeat_with(Places::default));
        let segments = segments.into_iter().zip(places).map(|(info, places)| Indexed { info, places }).collect();
        Self { dir: dir.to_owned(), database, shared: Mutex::new(Shared { segments, end }) }
    }

    /// The last durable position.
    pub(super) fn end(&self) -> Position {
        self.shared.lock().end
    }

    /// The directory of the log.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Header of a segment that begins at `first`.
    pub(super) fn header(&self, first: Position) -> [u8; SegmentHeader::BYTES] {
        SegmentHeader { database: self.database, first }.encode()
    }

    /// A new segment is the one that is appended to.
    pub(super) fn push(&self, segment: SegmentInfo) {
        self.shared.lock().segments.push(Indexed { info: segment, places: Places::default() });
    }

    /// The last segment is durable up to `bytes`, the log up to `end`.
    pub(super) fn flushed(&self, bytes: u64, end: Position) {
        let mut shared = self.shared.lock();
        let next = shared.end.next();
        if let Some(last) = shared.segments.last_mut() {
            if bytes > last.info.bytes {
                last.places.note(next, last.info.bytes);
            }
            last.info.bytes = bytes;
        }
        shared.end = end;
    }

    /// Segments that hold only records before `before`; never the last.
    pub(super) fn removable(&self, before: Position) -> Vec<SegmentInfo> {
        let shared = self.shared.lock();
        shared.segments.iter().take(shared.removable(before)).map(|segment| segment.info.clone()).collect()
    }

    /// The segment, if there is exactly one.
    pub(super) fn only(&self) -> Option<SegmentInfo> {
        let shared = self.shared.lock();
        shared.segments.first().filter(|_| shared.segments.len() == 1).map(|segment| segment.info.clone())
    }

    /// The oldest segment is gone.
    pub(super) fn pop_oldest(&self) {
        self.shared.lock().segments.remove(0);
    }

    /// What is left if everything is forgotten that may be when nothing before `before` is needed.
    pub(super) fn extent(&self, before: Position) -> Extent {
        let shared = self.shared.lock();
        let mut left = shared.segments.iter().skip(shared.removable(before)).peekable();
        let first = left.peek().map_or(shared.end.next(), |segment| segment.info.first);
        Extent { first, bytes: left.map(|segment| segment.info.bytes).sum() }
    }

    /// Durable records from `from` on. Blocks on the disk.
    pub(super) fn read(&self, from: Position, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let mut next = from.max(Position::START.next());
        let (mut records, mut left) = (Vec::new(), bytes_max);
        while let Some(segment) = self.segment_of(next)? {
            let read = match self.read_one(&segment, next, left, records.is_empty()) {
                // Truncated meanwhile: what was read before stands.
                Err(LogError::Gone { .. }) if !records.is_empty() => return Ok(records),
                other => other?,
            };
            let Some(last) = read.last() else { return Ok(records) };
            next = last.position.next();
            left = left.saturating_sub(read.iter().map(|record| record.payload.len()).sum());
            records.extend(read);
            if left == 0 {
                break;
            }
        }
        Ok(records)
    }

    /// The segment of a position, as far as it is durable; `None`: the log ends before it.
    fn segment_of(&self, position: Position) -> Result<Option<Indexed>, LogError> {
        let shared = self.shared.lock();
        if position > shared.end {
            return Ok(None);
        }
        let behind = shared.segments.partition_point(|segment| segment.info.first <= position);
        match behind.checked_sub(1).and_then(|index| shared.segments.get(index)) {
            Some(segment) => Ok(Some(segment.clone())),
            None => Err(shared.gone(position)),
        }
    }

    /// Records of one segment from `from` on, up to `bytes_max` bytes of payload; `at_least_one`: even if that is longer.
    /// Empty: the next one is too long, or the segment ends.
    fn read_one(
        &self,
        segment: &Indexed,
        from: Position,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Vec<Record>, LogError> {
        let Indexed { info: segment, places } = segment;
        let failed = || LogError::io(format!("read {}", segment.path.display()));
        let file = match File::open(&segment.path) {
            // Truncated between the look at the list and this.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.shared.lock().gone(from));
            }
            other => other.map_err(failed())?,
        };
        let name = segment.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let corrupt = |corrupt| LogError::Corrupt { dir: self.dir.clone(), corrupt };
        let damaged = |offset: u64, kind| {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            corrupt(Corrupt { segment: name.clone(), offset, kind })
        };
        let mut header = [0; SegmentHeader::BYTES];
        file.read_exact_at(&mut header, 0).map_err(failed())?;
        let header = SegmentHeader::decode(&header).map_err(|kind| damaged(0, kind))?;
        if header.database != self.database {
            return Err(damaged(0, CorruptKind::OtherDatabase));
        }
        if header.first != segment.first {
            return Err(damaged(0, CorruptKind::Gap { found: header.first, expected: segment.first }));
        }
        let (mut position, mut offset) = places.before(from, segment.first);
        let (mut records, mut left): (Vec<Record>, usize) = (Vec::new(), bytes_max);
        let mut content: Vec<u8> = Vec::new();
        let mut wants = READ_BYTES;
        // Not further than what is durable: behind it the log's thread is writing.
        while offset < segment.bytes {
            let rest = segment.bytes - offset;
            if content.len() as u64 >= rest {
                return Err(damaged(offset, CorruptKind::DamagedRecord));
            }
            let known = content.len();
            let length = wants.max(known as u64 + READ_BYTES).min(rest);
            content.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            file.read_exact_at(&mut content[known..], offset + known as u64).map_err(failed())?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let part: Part = read_part(&content, &name, start, position).map_err(corrupt)?;
            if (part.bytes as u64) < rest && part.wants as u64 > rest {
                return Err(damaged(offset + part.bytes as u64, CorruptKind::DamagedRecord));
            }
            for record in part.records {
                position = record.position.next();
                if record.position < from {
                    continue;
                }
                let first = at_least_one && records.is_empty();
                if record.payload.len() > left && !first {
                    return Ok(records);
                }
                left = left.saturating_sub(record.payload.len());
                records.push(record);
            }
            content.drain(..part.bytes);
            offset += part.bytes as u64;
            wants = (part.wants - part.bytes) as u64;
            if left == 0 && !records.is_empty() {
                break;
            }
        }
        Ok(records)
    }
}

impl Shared {
    /// How many of the oldest segments hold only records before `before`; never the last.
    fn removable(&self, before: Position) -> usize {
        self.segments.windows(2).take_while(|pair| pair[1].info.first <= before).count()
    }

    fn gone(&self, from: Position) -> LogError {
        LogError::Gone { from, first: self.segments.first().map_or(from, |segment| segment.info.first) }
    }
}
