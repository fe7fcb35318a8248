//! Opening a log: lock, read every segment, cut a torn tail.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use raidb_core::log::{Membership, Position, SegmentHeader, database_hash};

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

/// Reads all segments, one in memory at a time.
fn read_all(dir: &Path, database: u64) -> Result<Contents, LogError> {
    directory::remove_temporary(dir)?;
    let mut contents = Contents::default();
    let scanned = scan(dir, segment_paths(dir)?, Some(database), &mut |seen| {
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
