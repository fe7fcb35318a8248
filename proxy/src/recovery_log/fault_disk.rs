//! The log on a disk that fails where a test says so; without the feature `fault-points`, on the real one.

use super::{FileLog, LogError, Opened};

#[cfg(not(feature = "fault-points"))]
impl FileLog {
    /// As [`FileLog::open`].
    ///
    /// # Errors
    /// As [`FileLog::open`].
    pub fn open_with(
        dir: &std::path::Path,
        virtual_database: &str,
        _faults: &crate::fault_points::FaultPoints,
    ) -> Result<Opened, LogError> {
        Self::open(dir, virtual_database)
    }
}

#[cfg(feature = "fault-points")]
mod failing {
    use std::io;
    use std::path::Path;

    use super::super::disk::{Disk, RealDisk, SegmentFile};
    use super::super::file_log::SEGMENT_BYTES_MAX;
    use super::{FileLog, LogError, Opened};
    use crate::fault_points::{Action, FaultPoint, FaultPoints, crash};

    impl FileLog {
        /// As [`FileLog::open`], with the faults and the segment length that a test asks for.
        ///
        /// # Errors
        /// As [`FileLog::open`].
        pub fn open_with(dir: &Path, virtual_database: &str, faults: &FaultPoints) -> Result<Opened, LogError> {
            let disk = FaultDisk(faults.clone());
            Self::open_on(dir, virtual_database, faults.segment_bytes(SEGMENT_BYTES_MAX), Box::new(disk))
        }
    }

    struct FaultDisk(FaultPoints);

    struct FaultFile(FaultPoints, Box<dyn SegmentFile>);

    /// What a test asks for at this point; `short` writes a half before the error.
    fn reach(faults: &FaultPoints, point: FaultPoint, mut short: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        for action in faults.hit(point).unwrap_or_default() {
            match action {
                Action::Crash => crash(point),
                Action::Full => {
                    short()?;
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Action::FsyncError => return Err(io::Error::other("injected by a test")),
                Action::ShortWrite => {
                    short()?;
                    return Err(io::Error::other("injected by a test: a short write"));
                }
                Action::Pause(time) => std::thread::sleep(*time),
                Action::CutFollowers | Action::CutLead | Action::CutMember(_) => {}
            }
        }
        Ok(())
    }

    impl Disk for FaultDisk {
        fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
            reach(&self.0, FaultPoint::LogCreate, || Ok(()))?;
            Ok(Box::new(FaultFile(self.0.clone(), RealDisk.create(path, header)?)))
        }

        fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>> {
            Ok(Box::new(FaultFile(self.0.clone(), RealDisk.open(path, length)?)))
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            reach(&self.0, FaultPoint::LogRemove, || Ok(()))?;
            RealDisk.remove(path)
        }
    }

    impl SegmentFile for FaultFile {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let file = &mut self.1;
            reach(&self.0, FaultPoint::LogAppend, || file.append(&bytes[..bytes.len() / 2]))?;
            self.1.append(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            reach(&self.0, FaultPoint::LogFlush, || Ok(()))?;
            self.1.flush()
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.1.cut(length)
        }
    }
}
