//! What the log needs of a file system, so that a test can make it fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::directory;

/// A file system.
pub(crate) trait Disk: Send {
    /// Creates a segment with `header` as its content. When it returns, name and content are durable.
    fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>>;

    /// Opens a segment for appending and cuts it to `length`. When it returns, the cut is durable.
    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>>;

    /// Removes a segment. When it returns, the removal is durable.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A segment that is appended to.
pub(crate) trait SegmentFile: Send {
    /// Writes at the end. After an error any part of it may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable.
    fn flush(&mut self) -> io::Result<()>;

    /// Cuts to `length`; the next append goes there.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// The real one.
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        // Under another name first: a segment that exists has a whole header.
        let temporary = path.with_extension(&directory::TEMPORARY_SUFFIX[1..]);
        let mut file = File::create(&temporary)?;
        file.write_all(header)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        directory::sync(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        SegmentFile::cut(&mut file, length)?;
        file.sync_all()?;
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        directory::sync(path.parent().unwrap_or(Path::new(".")))
    }
}

impl SegmentFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}
