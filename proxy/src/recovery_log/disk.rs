//! What the log needs of a file system, so that a test can make it fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
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

/// A segment grows by so many bytes at a time, filled with zeros: a flush that does not change the file's length costs the
/// file system no record of its own. Readers take zeros behind the last record for the end.
const GROWTH_BYTES: u64 = 256 << 10;

/// Zeros to grow by.
static ZEROS: [u8; GROWTH_BYTES as usize] = [0; GROWTH_BYTES as usize];

/// A segment on the real disk.
struct RealFile {
    file: File,
    /// Where the next append goes.
    length: u64,
    /// Length of the file.
    grown: u64,
}

impl Disk for RealDisk {
    fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        // Under another name first: a segment that exists has a whole header.
        let temporary = path.with_extension(&directory::TEMPORARY_SUFFIX[1..]);
        let mut file = File::create(&temporary)?;
        file.write_all(header)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        directory::sync(path.parent().unwrap_or(Path::new(".")))?;
        let length = u64::try_from(header.len()).unwrap_or(u64::MAX);
        Ok(Box::new(RealFile { file, length, grown: length }))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().write(true).open(path)?;
        let mut file = RealFile { file, length, grown: length };
        file.cut(length)?;
        file.file.sync_all()?;
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)?;
        directory::sync(path.parent().unwrap_or(Path::new(".")))
    }
}

impl RealFile {
    /// Behind an append that made the file longer. That there is no room is no error yet: what was to be written is there.
    fn grow(&mut self) -> io::Result<()> {
        let rest = self.length % GROWTH_BYTES;
        let zeros = usize::try_from(GROWTH_BYTES - rest).ok().and_then(|count| ZEROS.get(..count)).unwrap_or(&ZEROS);
        self.grown = match self.file.write_all_at(zeros, self.length) {
            Ok(()) => self.length + zeros.len() as u64,
            Err(_no_room) => {
                self.file.set_len(self.length)?;
                self.length
            }
        };
        Ok(())
    }
}

impl SegmentFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        if self.length > self.grown { self.grow() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        (self.length, self.grown) = (length, length);
        Ok(())
    }
}
