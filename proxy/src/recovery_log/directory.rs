//! Names in the log's directory, and the lock that keeps a second proxy out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use raidb_core::log::Position;

use super::LogError;

const SEGMENT_SUFFIX: &str = ".seg";

/// Suffix of a segment that is being created; found at a start, it is removed.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Directory of one virtual database's log below `log.dir`. Everything but ASCII letters, digits, `_` and
/// `-` is written as `%` and two hex digits, so that no name leaves the directory.
pub fn directory_of(log_dir: &Path, virtual_database: &str) -> PathBuf {
    let mut name = String::with_capacity(virtual_database.len());
    for byte in virtual_database.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    log_dir.join(name)
}

/// File of the segment that begins at `first`; names sort like positions.
pub(super) fn segment_path(dir: &Path, first: Position) -> PathBuf {
    dir.join(format!("{:020}{SEGMENT_SUFFIX}", first.0))
}

/// Segments of the directory, in order. Removes what a crash left half created.
pub(super) fn segment_paths(dir: &Path) -> Result<Vec<(Position, PathBuf)>, LogError> {
    let failed = |what: &str| LogError::io(format!("{what} {}", dir.display()));
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("list"))? {
        let path = entry.map_err(failed("list"))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if name.ends_with(TEMPORARY_SUFFIX) {
            fs::remove_file(&path).map_err(failed("clean up"))?;
        } else if let Some(first) = name.strip_suffix(SEGMENT_SUFFIX).and_then(|n| n.parse().ok()) {
            segments.push((Position(first), path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Creates the directory durably, with its parents.
pub(super) fn create(dir: &Path) -> Result<(), LogError> {
    let failed = || LogError::io(format!("create {}", dir.display()));
    fs::create_dir_all(dir).map_err(failed())?;
    // Each new name is durable only when the directory that holds it is.
    for parent in dir.ancestors().skip(1).filter(|parent| parent.is_dir()) {
        sync(parent).map_err(failed())?;
    }
    Ok(())
}

/// Makes creations, renames and removals in a directory durable.
pub(super) fn sync(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the directory for this process. The lock ends with the file that is returned, also in a crash.
pub(super) fn lock(dir: &Path) -> Result<File, LogError> {
    let failed = || LogError::io(format!("lock {}", dir.display()));
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(dir.join("lock"));
    let file = file.map_err(failed())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed()(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_directory() {
        let dir = Path::new("/log");
        for (name, expect) in
            [("bench-1_B", "/log/bench-1_B"), ("..", "/log/%2e%2e"), ("a/b", "/log/a%2fb"), ("é", "/log/%c3%a9")]
        {
            assert_eq!(directory_of(dir, name), PathBuf::from(expect));
        }
    }
}
