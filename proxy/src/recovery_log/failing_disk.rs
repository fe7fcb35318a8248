//! A disk that fails when a test says so.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, RealDisk, SegmentFile};

/// What the next calls do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    /// They succeed.
    #[default]
    None,
    /// A write leaves half of its bytes and says that the disk is full.
    FullAfterHalf,
    /// A flush fails.
    Flush,
    /// A new segment cannot be created.
    Create,
}

/// The switch, shared by test, disk and files.
#[derive(Clone, Debug, Default)]
pub(super) struct Switch(Arc<Mutex<Fault>>);

impl Switch {
    pub(super) fn set(&self, fault: Fault) {
        *self.0.lock() = fault;
    }

    fn is(&self, fault: Fault) -> bool {
        *self.0.lock() == fault
    }
}

/// The real disk behind a switch.
pub(super) struct FailingDisk(pub(super) Switch);

struct FailingFile(Switch, Box<dyn SegmentFile>);

impl Disk for FailingDisk {
    fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        if self.0.is(Fault::Create) {
            return Err(io::Error::other("injected"));
        }
        Ok(Box::new(FailingFile(self.0.clone(), RealDisk.create(path, header)?)))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FailingFile(self.0.clone(), RealDisk.open(path, length)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
}

impl SegmentFile for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.0.is(Fault::FullAfterHalf) {
            self.1.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.append(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.0.is(Fault::Flush) {
            return Err(io::Error::other("injected"));
        }
        self.1.flush()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.1.cut(length)
    }
}
