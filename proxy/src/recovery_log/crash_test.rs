//! Every write boundary of the log: for each operation on the disk that a long script of appends, new segments, truncations
//! and moves of an empty log makes, the process dies there, before, within (every byte of a write) or behind it, or the
//! operation fails. Opened again on a disk that works, the log holds every record that was told durable, at its
//! position, and nothing that nobody appended.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use raidb_core::log::{MemberChange, Position, Record, RecordKind};
use raidb_core::member::MemberState;
use tempfile::TempDir;

use super::directory::segment_paths;
use super::disk::{Disk, SegmentFile};
use super::{FileLog, LogError, Opened, RecoveryLog};

/// Small segments, so that the script begins several.
const SEGMENT_BYTES: u64 = 200;
/// Of writes before this operation every byte is torn, of those behind it one in [`BYTES_STEP`].
const EVERY_BYTE_OF: usize = 14;
const BYTES_STEP: usize = 11;
/// Where the positions of the empty log are moved to.
const BEGIN_BEHIND: Position = Position(40);

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The process dies before it.
    DieBefore,
    /// The process dies in it: so many bytes are on the disk.
    DieWithin(usize),
    /// The process dies behind it, before anybody learns of it.
    DieBehind,
    /// It fails, and has done nothing.
    Error,
    /// It finds the disk full; of a write, so many bytes are there.
    Full(usize),
}

/// The file system without a flush: the machine goes on, only the process dies, and thousands of flushes take minutes.
struct QuickDisk;

/// Grows by zeros, as the real one does.
struct QuickFile {
    file: File,
    length: u64,
}

impl Disk for QuickDisk {
    fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        let mut file = QuickFile { file: File::create(path)?, length: 0 };
        file.append(header)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        let mut file = QuickFile { file: File::options().write(true).open(path)?, length };
        file.cut(length)?;
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

impl SegmentFile for QuickFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        self.file.write_all_at(&[0; 200], self.length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        self.file.set_len(length)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Operations so far.
    count: usize,
    /// The operation that the fault meets.
    chosen: Option<(usize, Fault)>,
    /// The process is dead: nothing reaches the disk any more.
    dead: bool,
    /// Kind and length of each operation, for the enumeration.
    seen: Vec<(&'static str, usize)>,
}

#[derive(Clone, Default)]
struct CrashingDisk(Arc<Mutex<State>>);

struct CrashingFile(CrashingDisk, Box<dyn SegmentFile>);

impl CrashingDisk {
    /// The fault that meets this operation, if one does.
    fn next(&self, kind: &'static str, length: usize) -> io::Result<Option<Fault>> {
        let mut state = self.0.lock();
        if state.dead {
            return Err(io::Error::other("dead"));
        }
        let number = state.count;
        state.count += 1;
        state.seen.push((kind, length));
        let fault = state.chosen.filter(|(chosen, _)| *chosen == number).map(|(_, fault)| fault);
        state.dead = matches!(fault, Some(Fault::DieBefore | Fault::DieWithin(_) | Fault::DieBehind));
        Ok(fault)
    }

    fn run<T>(
        &self,
        kind: &'static str,
        length: usize,
        part: impl FnOnce(usize) -> io::Result<()>,
        whole: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let dies = || io::Error::other("dies");
        match self.next(kind, length)? {
            None => whole(),
            Some(Fault::DieBefore) => Err(dies()),
            Some(Fault::DieWithin(bytes)) => part(bytes.min(length)).and_then(|()| Err(dies())),
            Some(Fault::DieBehind) => whole().and_then(|_| Err(dies())),
            Some(Fault::Error) => Err(io::Error::other("fails")),
            Some(Fault::Full(bytes)) => part(bytes.min(length)).and_then(|()| Err(io::ErrorKind::StorageFull.into())),
        }
    }
}

impl Disk for CrashingDisk {
    fn create(&self, path: &Path, header: &[u8]) -> io::Result<Box<dyn SegmentFile>> {
        // Within: the file has its other name, with a part of its content or all of it.
        let part = |bytes: usize| fs::write(path.with_extension("tmp"), &header[..bytes]);
        let file = self.run("create", header.len(), part, || QuickDisk.create(path, header))?;
        Ok(Box::new(CrashingFile(self.clone(), file)))
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<Box<dyn SegmentFile>> {
        let file = self.run("open", 0, |_| Ok(()), || QuickDisk.open(path, length))?;
        Ok(Box::new(CrashingFile(self.clone(), file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run("remove", 0, |_| Ok(()), || QuickDisk.remove(path))
    }
}

impl SegmentFile for CrashingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = std::cell::RefCell::new(&mut self.1);
        let part = |length: usize| file.borrow_mut().append(&bytes[..length]);
        self.0.run("append", bytes.len(), part, || file.borrow_mut().append(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.run("flush", 0, |_| Ok(()), || self.1.flush())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.run("cut", 0, |_| Ok(()), || self.1.cut(length))
    }
}

/// What the script knows when it ends.
#[derive(Debug, Default)]
struct Told {
    /// Records that were told durable.
    durable: Vec<Record>,
    /// Everything that was asked to be appended.
    asked: Vec<Vec<u8>>,
    /// Nothing before this is asked for any more.
    truncated: Position,
    /// The log said that it takes nothing more, and then took something.
    broken_promise: bool,
    /// An operation answered that the disk is full.
    full: usize,
    /// The member change that was told durable last.
    change: Option<MemberChange>,
}

fn change(epoch: u64) -> MemberChange {
    let change = MemberState::Enabled;
    MemberChange { member: "pg2".into(), change, epoch, when_unix_ms: 0, incident: None }
}

/// Appends records of several lengths, three at a time in between; changes members; truncates twice.
async fn script(dir: &Path, disk: CrashingDisk) -> Told {
    let mut told = Told::default();
    let Ok(Opened { log, .. }) = FileLog::open_on(dir, "bench", SEGMENT_BYTES, Box::new(disk)) else { return told };
    let moved = log.begin_behind(BEGIN_BEHIND).await;
    let mut poisoned = matches!(moved, Err(LogError::Poisoned(_)));
    for step in 1..=24_u8 {
        let kind = if step % 6 == 0 { RecordKind::MemberChange } else { RecordKind::Intent };
        let payload = |n: u8| match kind {
            RecordKind::MemberChange => change(u64::from(step)).encode(),
            _ => vec![step * 3 + n; usize::from(step) * 2 + usize::from(n)],
        };
        let together = if step % 5 == 0 { 3 } else { 1 };
        let payloads: Vec<Vec<u8>> = (0..together).map(payload).collect();
        told.asked.extend(payloads.iter().cloned());
        let appends = payloads.iter().map(|payload| log.append(kind, payload.clone()));
        for (result, payload) in futures::future::join_all(appends).await.into_iter().zip(payloads) {
            match result {
                Ok(position) => {
                    told.broken_promise |= poisoned;
                    told.durable.push(Record { position, kind, payload });
                    if kind == RecordKind::MemberChange {
                        told.change = Some(change(u64::from(step)));
                    }
                }
                Err(LogError::Full) => told.full += 1,
                Err(_) => poisoned = true,
            }
        }
        if step % 10 == 0 {
            let before = told.durable.get(told.durable.len() / 2).map_or(Position::START, |record| record.position);
            // What a truncation that failed has removed, it was allowed to remove.
            told.truncated = told.truncated.max(before);
            match log.truncate(before).await {
                Ok(Some(_)) => told.broken_promise |= poisoned,
                Ok(None) => {}
                Err(LogError::Full) => told.full += 1,
                Err(_) => poisoned = true,
            }
        }
    }
    told
}

/// Opens the log on a disk that works and compares.
async fn check(dir: &Path, told: &Told, what: &str) {
    let Opened { log, membership, .. } = FileLog::open_on(dir, "bench", SEGMENT_BYTES, Box::new(QuickDisk))
        .unwrap_or_else(|error| panic!("{what}: the log does not open: {error}"));
    assert!(!told.broken_promise, "{what}: the log had stopped, and took a record");
    let first = match log.read(Position(1), 1).await {
        Err(LogError::Gone { first, .. }) => first,
        other => other.unwrap().first().map_or(Position(1), |record| record.position),
    };
    let found = log.read(first, usize::MAX).await.unwrap();
    let positions: Vec<u64> = found.iter().map(|record| record.position.0).collect();
    let expected: Vec<u64> = (first.0..).take(found.len()).collect();
    assert_eq!(positions, expected, "{what}: a hole");
    for record in told.durable.iter().filter(|record| record.position >= told.truncated) {
        assert!(found.contains(record), "{what}: {} was told durable and is not there", record.position);
    }
    for record in found.iter().filter(|record| record.kind != RecordKind::Checkpoint) {
        assert!(told.asked.contains(&record.payload), "{what}: {} was appended by nobody", record.position);
        let other = |durable: &&Record| durable.position == record.position && *durable != record;
        assert_eq!(told.durable.iter().find(other), None, "{what}: another record at a position that was told");
    }
    let epoch = membership.changes().map(|change| change.epoch).max().unwrap_or_default();
    let told_epoch = told.change.as_ref().map_or(0, |change| change.epoch);
    assert!(epoch >= told_epoch, "{what}: the member change of epoch {told_epoch} is forgotten: {epoch}");
    // It goes on, behind all that was told.
    let position = log.append(RecordKind::Intent, b"on".to_vec()).await.unwrap();
    assert!(told.durable.iter().all(|record| record.position < position), "{what}: a position is used again");
    drop(log);
    let again = FileLog::open_on(dir, "bench", SEGMENT_BYTES, Box::new(QuickDisk)).unwrap();
    assert_eq!((again.log.end(), again.torn_bytes), (position, 0), "{what}: not clean behind a second start");
}

/// Runs the script with a fault at one operation.
/// How records that are queued at the same time are written together differs from run to run: kind and length of the operation
/// are those of this run.
async fn run(number: usize, fault: Fault) -> (Told, PathBuf, TempDir, (&'static str, usize)) {
    let home = TempDir::new().unwrap();
    let dir = home.path().join("log");
    let disk = CrashingDisk::default();
    disk.0.lock().chosen = Some((number, fault));
    let told = script(&dir, disk.clone()).await;
    let met = disk.0.lock().seen.get(number).copied().unwrap_or_default();
    (told, dir, home, met)
}

/// The operations of the script when nothing fails.
async fn operations() -> Vec<(&'static str, usize)> {
    let home = TempDir::new().unwrap();
    let disk = CrashingDisk::default();
    let told = script(&home.path().join("log"), disk.clone()).await;
    check(&home.path().join("log"), &told, "without a fault").await;
    let seen = disk.0.lock().seen.clone();
    let count = |kind| seen.iter().filter(|(other, _)| *other == kind).count();
    assert!(count("create") > 5 && count("remove") > 2 && count("append") > 20, "{seen:?}");
    seen
}

#[tokio::test]
async fn a_crash_before_and_behind_every_operation() {
    for (number, (_, length)) in operations().await.into_iter().enumerate() {
        let half = Fault::DieWithin(length / 2);
        for fault in [Fault::DieBefore, half, Fault::DieWithin(usize::MAX), Fault::DieBehind] {
            let (told, dir, _home, (kind, _)) = run(number, fault).await;
            check(&dir, &told, &format!("operation {number} ({kind}), {fault:?}")).await;
        }
    }
}

/// The last write ends at any of its bytes; of later writes, which are like the earlier ones, at some.
#[tokio::test]
async fn a_crash_at_every_byte_of_every_write() {
    for number in 0..operations().await.len() {
        let (told, dir, home, (kind, length)) = run(number, Fault::DieWithin(usize::MAX)).await;
        if kind != "append" {
            continue;
        }
        let (_, last) = segment_paths(&dir).unwrap().pop().unwrap();
        let whole = fs::read(&last).unwrap();
        let step = if number < EVERY_BYTE_OF { 1 } else { BYTES_STEP };
        for bytes in (0..length).step_by(step) {
            let torn = home.path().join(bytes.to_string());
            fs::create_dir(&torn).unwrap();
            for (_, path) in segment_paths(&dir).unwrap() {
                fs::copy(&path, torn.join(path.file_name().unwrap())).unwrap();
            }
            let kept = &whole[..whole.len() - length + bytes];
            fs::write(torn.join(last.file_name().unwrap()), kept).unwrap();
            check(&torn, &told, &format!("operation {number}, cut behind {bytes} of {length} bytes")).await;
        }
    }
}

#[tokio::test]
async fn an_error_at_every_operation() {
    for number in 0..operations().await.len() {
        let (told, dir, _home, (kind, _)) = run(number, Fault::Error).await;
        check(&dir, &told, &format!("operation {number} ({kind}) fails")).await;
    }
}

/// A disk that is full for a moment loses nothing but the records that were refused; those behind them are taken.
#[tokio::test]
async fn a_full_disk_at_every_write() {
    for (number, (_, length)) in operations().await.into_iter().enumerate() {
        for bytes in [0, length / 2, usize::MAX] {
            let (told, dir, _home, (kind, _)) = run(number, Fault::Full(bytes)).await;
            if !["create", "append"].contains(&kind) {
                continue;
            }
            let what = format!("operation {number} ({kind}), full behind {bytes} bytes");
            check(&dir, &told, &what).await;
            // The first segment is created before the log is open.
            if number > 0 && told.full > 0 {
                assert!(told.durable.len() > told.asked.len() / 2, "{what}: the log stopped for good");
            }
        }
    }
}
