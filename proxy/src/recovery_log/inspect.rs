//! Reading a log that may belong to a running proxy: without its lock, changing nothing.
//!
//! What is not yet flushed may be seen, and a record that is just being written looks like a torn tail. Segments may
//! vanish (truncation), and in a full disk's moment bytes may be cut and written anew while they are read: both are
//! read again before they count.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use raidb_core::log::{CorruptKind, Position};

use super::LogError;
use super::directory::segment_paths;
use super::scan::{ScannedSegment, Seen, scan};

/// How often a log is read before damage, or a vanished segment, counts.
const ATTEMPTS_MAX: u32 = 3;

/// Pause before the log is read again.
const PAUSE: Duration = Duration::from_millis(50);

/// Shows every record from `from` on to `visit`, each once, in order, and returns the segments that were read.
/// Blocks on the disk: reads every byte of every segment that holds such a record.
///
/// # Errors
/// [`LogError::Missing`], [`LogError::Corrupt`] (records before the damage were shown), [`LogError::Gone`] if `from`
/// was truncated away, [`LogError::Io`].
pub fn inspect(
    dir: &Path,
    from: Position,
    visit: &mut dyn FnMut(Seen<'_>) -> Result<ControlFlow<()>, CorruptKind>,
) -> Result<Vec<ScannedSegment>, LogError> {
    let mut next = from;
    for _ in 1..ATTEMPTS_MAX {
        match inspect_once(dir, from, &mut next, visit) {
            Err(LogError::Corrupt { .. }) => {}
            Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::NotFound && dir.is_dir() => {}
            other => return other,
        }
        sleep(PAUSE);
    }
    inspect_once(dir, from, &mut next, visit)
}

/// One attempt; shows records from `next` on and moves it behind them.
pub(super) fn inspect_once(
    dir: &Path,
    from: Position,
    next: &mut Position,
    visit: &mut dyn FnMut(Seen<'_>) -> Result<ControlFlow<()>, CorruptKind>,
) -> Result<Vec<ScannedSegment>, LogError> {
    let mut paths = segment_paths(dir)?;
    let first = paths.first().ok_or_else(|| LogError::Missing(dir.to_owned()))?.0;
    // 0 and 1 mean "from the beginning", wherever that is by now.
    if *next > Position::START.next() && *next < first {
        return Err(LogError::Gone { from: *next, first });
    }
    let start = paths.partition_point(|(named, _)| *named <= from).saturating_sub(1);
    scan(dir, paths.split_off(start), None, &mut |seen| {
        if seen.record.position < *next {
            return Ok(ControlFlow::Continue(()));
        }
        *next = seen.record.position.next();
        visit(seen)
    })
}
