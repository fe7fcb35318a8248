//! Which segments there are and how far each is durable: written by the log's thread, read by readers.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use raidb_core::log::{Place, Position, Record, SegmentHeader, read_segment};

use super::LogError;

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

/// All segments, oldest first, never empty, and the last durable position.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    database: u64,
    shared: Mutex<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    segments: Vec<SegmentInfo>,
    end: Position,
}

impl Segments {
    pub(super) fn new(dir: &Path, database: u64, segments: Vec<SegmentInfo>, end: Position) -> Self {
        let shared = Mutex::new(Shared { segments, end });
        Self { dir: dir.to_owned(), database, shared }
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
        self.shared.lock().segments.push(segment);
    }

    /// The last segment is durable up to `bytes`, the log up to `end`.
    pub(super) fn flushed(&self, bytes: u64, end: Position) {
        let mut shared = self.shared.lock();
        if let Some(last) = shared.segments.last_mut() {
            last.bytes = bytes;
        }
        shared.end = end;
    }

    /// Segments that hold only records before `before`; never the last.
    pub(super) fn removable(&self, before: Position) -> Vec<SegmentInfo> {
        let shared = self.shared.lock();
        let pairs = shared.segments.windows(2).take_while(|pair| pair[1].first <= before);
        pairs.map(|pair| pair[0].clone()).collect()
    }

    /// The segment, if there is exactly one.
    pub(super) fn only(&self) -> Option<SegmentInfo> {
        let shared = self.shared.lock();
        shared.segments.first().filter(|_| shared.segments.len() == 1).cloned()
    }

    /// The oldest segment is gone.
    pub(super) fn pop_oldest(&self) {
        self.shared.lock().segments.remove(0);
    }

    /// Durable records from `from` on. Blocks on the disk: reads whole segments.
    pub(super) fn read(&self, from: Position, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let Shared { segments, end } = self.shared.lock().clone();
        let from = from.max(Position(1));
        if from > end {
            return Ok(Vec::new());
        }
        let first = segments.first().map_or(from, |segment| segment.first);
        let start = segments.partition_point(|segment| segment.first <= from);
        let Some(start) = start.checked_sub(1) else {
            return Err(LogError::Gone { from, first });
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        for segment in &segments[start..] {
            for record in self.read_one(segment, from)? {
                bytes += record.payload.len();
                if bytes > bytes_max && !records.is_empty() {
                    return Ok(records);
                }
                records.push(record);
            }
        }
        Ok(records)
    }

    fn read_one(&self, segment: &SegmentInfo, from: Position) -> Result<Vec<Record>, LogError> {
        let failed = || LogError::io(format!("read {}", segment.path.display()));
        let mut content = Vec::with_capacity(usize::try_from(segment.bytes).unwrap_or(0));
        let file = match File::open(&segment.path) {
            // Truncated between the look at the list and this.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let first = self.shared.lock().segments.first().map_or(from, |segment| segment.first);
                return Err(LogError::Gone { from, first });
            }
            other => other.map_err(failed())?,
        };
        // Not further than what is durable: behind it the log's thread is writing.
        file.take(segment.bytes).read_to_end(&mut content).map_err(failed())?;
        let name = segment.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let place = Place {
            name: &name.unwrap_or_default(),
            database: self.database,
            follows: Some(segment.first),
            is_last: false,
        };
        let segment = read_segment(&content, place);
        let mut records = segment.map_err(|corrupt| LogError::Corrupt { dir: self.dir.clone(), corrupt })?.records;
        records.retain(|record| record.position >= from);
        Ok(records)
    }
}
