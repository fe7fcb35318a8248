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

/// The virtual database whose log a directory made by [`directory_of`] holds; `None` if it has no such name.
pub fn virtual_database_of(dir: &Path) -> Option<String> {
    let text = dir.file_name()?.to_str()?;
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            name.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok()
}

/// Directories below `log_dir` that hold the log of a virtual database, and whose it is, by name.
///
/// # Errors
/// [`LogError::Io`].
pub fn logs_below(log_dir: &Path) -> Result<Vec<(String, PathBuf)>, LogError> {
    let failed = || LogError::io(format!("list {}", log_dir.display()));
    let mut logs = Vec::new();
    for entry in fs::read_dir(log_dir).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.is_dir() && holds_log(&path)? {
            logs.extend(virtual_database_of(&path).map(|name| (name, path)));
        }
    }
    logs.sort();
    Ok(logs)
}

/// Whether the directory is that of one virtual database's log.
///
/// # Errors
/// [`LogError::Io`].
pub fn holds_log(dir: &Path) -> Result<bool, LogError> {
    Ok(!segment_paths(dir)?.is_empty())
}

/// Segments of the directory, in order.
pub(super) fn segment_paths(dir: &Path) -> Result<Vec<(Position, PathBuf)>, LogError> {
    let mut segments = Vec::new();
    for (name, path) in files(dir)? {
        if let Some(first) = name.strip_suffix(SEGMENT_SUFFIX).and_then(|n| n.parse().ok()) {
            segments.push((Position(first), path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Removes what a crash left half created. Only for the holder of the lock.
pub(super) fn remove_temporary(dir: &Path) -> Result<(), LogError> {
    for (name, path) in files(dir)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            fs::remove_file(&path).map_err(LogError::io(format!("clean up {}", dir.display())))?;
        }
    }
    Ok(())
}

/// Names and paths of what is in the directory.
fn files(dir: &Path) -> Result<Vec<(String, PathBuf)>, LogError> {
    let failed = || LogError::io(format!("list {}", dir.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        files.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(files)
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
            assert_eq!(virtual_database_of(Path::new(expect)).as_deref(), Some(name));
        }
        assert_eq!(virtual_database_of(Path::new("/log/a%2")), None);
        assert_eq!(virtual_database_of(Path::new("/log/a%zz")), None);
    }
}
