//! Opening a log: lock, read every segment, cut a torn tail.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raidb_core::log::{Membership, Place, Position, SegmentHeader, database_hash, read_segment};

use super::LogError;
use super::directory::{self, segment_path, segment_paths};
use super::disk::Disk;
use super::scan::scan;
use super::segments::{Places, SegmentInfo, Segments};
use super::writer::Writer;

/// Everything that was read, and the writer that goes on behind it.
pub(super) struct OpenedFiles {
    pub(super) writer: Writer,
    pub(super) segments: Arc<Segments>,
    pub(super) membership: Membership,
    pub(super) torn_bytes: usize,
}

/// What the segments hold together.
#[derive(Default)]
struct Contents {
    infos: Vec<SegmentInfo>,
    places: Vec<Places>,
    membership: Membership,
    next: Option<Position>,
    torn_bytes: usize,
}

/// Opens the log in `dir`, or begins one.
pub(super) fn open(
    dir: &Path,
    virtual_database: &str,
    segment_bytes_max: u64,
    disk: Box<dyn Disk>,
) -> Result<OpenedFiles, LogError> {
    directory::create(dir)?;
    let lock = directory::lock(dir)?;
    let database = database_hash(virtual_database);
    let mut contents = read_all(dir, database)?;
    let next = contents.next.unwrap_or(Position::START.next());
    let end = Position(next.0.saturating_sub(1));
    let file = match contents.infos.last() {
        Some(last) => disk.open(&last.path, last.bytes),
        None => begin(dir, database, &mut contents.infos, disk.as_ref()),
    };
    let file = file.map_err(LogError::io(format!("open the last segment in {}", dir.display())))?;
    let file_bytes = contents.infos.last().map_or(0, |last| last.bytes);
    let segments = Arc::new(Segments::new(dir, database, contents.infos, contents.places, end));
    let writer = Writer {
        disk,
        file,
        file_bytes,
        segment_bytes_max,
        segments: Arc::clone(&segments),
        membership: contents.membership.clone(),
        poisoned: None,
        _lock: lock,
    };
    Ok(OpenedFiles { writer, segments, membership: contents.membership, torn_bytes: contents.torn_bytes })
}

fn begin(
    dir: &Path,
    database: u64,
    infos: &mut Vec<SegmentInfo>,
    disk: &dyn Disk,
) -> std::io::Result<Box<dyn super::disk::SegmentFile>> {
    let first = Position::START.next();
    let header = SegmentHeader { database, first }.encode();
    let path = segment_path(dir, first);
    let file = disk.create(&path, &header)?;
    infos.push(SegmentInfo { first, path, bytes: SegmentHeader::BYTES as u64 });
    Ok(file)
}

/// A crash while the positions of an empty log were moved (`begin_behind`) leaves the old first segment beside the new one, both
/// without a record: the old one goes. A gap before a record is never mended.
fn finish_move(segments: Vec<(Position, PathBuf)>, database: u64) -> Result<Vec<(Position, PathBuf)>, LogError> {
    let [(first, old), (_, new)] = segments.as_slice() else { return Ok(segments) };
    if *first != Position::START.next() || !is_empty(old, database)? || !is_empty(new, database)? {
        return Ok(segments);
    }
    fs::remove_file(old).map_err(LogError::io(format!("remove {}", old.display())))?;
    directory::sync(old.parent().unwrap_or(Path::new("."))).map_err(LogError::io("make a removal durable"))?;
    Ok(segments.into_iter().skip(1).collect())
}

/// Whether a segment has a header and nothing else.
fn is_empty(path: &Path, database: u64) -> Result<bool, LogError> {
    let bytes = fs::read(path).map_err(LogError::io(format!("read {}", path.display())))?;
    let place = Place { name: "", database, follows: None, is_last: true };
    Ok(read_segment(&bytes, place).is_ok_and(|segment| segment.records.is_empty() && segment.torn_bytes == 0))
}

/// Reads all segments, one in memory at a time.
fn read_all(dir: &Path, database: u64) -> Result<Contents, LogError> {
    directory::remove_temporary(dir)?;
    let mut contents = Contents::default();
    let scanned = scan(dir, finish_move(segment_paths(dir)?, database)?, Some(database), &mut |seen| {
        contents.membership.apply(seen.record)?;
        if seen.offset == SegmentHeader::BYTES {
            contents.places.push(Places::default());
        }
        if let Some(places) = contents.places.last_mut() {
            places.note(seen.record.position, seen.offset as u64);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for segment in scanned {
        contents.next = Some(segment.next);
        contents.torn_bytes += segment.torn_bytes;
        let bytes = u64::try_from(segment.good_bytes).unwrap_or(0);
        contents.infos.push(SegmentInfo { first: segment.first, path: segment.path, bytes });
    }
    Ok(contents)
}
