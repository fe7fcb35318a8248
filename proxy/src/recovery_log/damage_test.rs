//! Every bit flipped, every byte cut, in a log of several segments, batches and all kinds of records: what comes out is
//! exactly what the table in `raidb_core::log`'s reader promises, and never a wrong or a skipped record.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use raidb_core::log::{
    Checkpoint, CorruptKind, MemberChange, NamedCheckpoint, Position, Record, RecordKind, SegmentHeader, database_hash,
    encode_record,
};
use raidb_core::member::{MemberState, Reason};
use tempfile::TempDir;

use super::directory::segment_path;
use super::inspect::inspect_once;
use super::{FileLog, LogError, RecoveryLog, ScannedSegment};

/// For each segment, for each of its records: position of the first record of its batch.
const BATCHES: [&[u64]; 3] = [&[1, 2, 3, 3], &[5, 5, 7, 8], &[9, 10, 10, 12, 12]];

/// Every how many bits the log is also opened for writing, which flushes.
const OPENED_EVERY: usize = 131;

/// Seed of the chance-driven part.
const SEED: u64 = 0x5eed;

/// A log on disk and what is in it.
struct Sample {
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
    segments: Vec<SampleSegment>,
    records: Vec<Record>,
}

struct SampleSegment {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Offset of each record, and of the end.
    offsets: Vec<usize>,
    batches: &'static [u64],
    first: u64,
}

/// What reading gave: the records, and the segments or what is wrong.
type Outcome = (Vec<Record>, Result<Vec<ScannedSegment>, (String, usize, CorruptKind)>);

fn payload(kind: RecordKind, number: usize) -> Vec<u8> {
    let change = MemberChange {
        member: "pg2".into(),
        change: MemberState::Disabled { reason: Reason::Diverged, position: Position(2) },
        epoch: 1,
        when_unix_ms: 5,
        incident: None,
    };
    match kind {
        RecordKind::MemberChange => change.encode(),
        RecordKind::Checkpoint => Checkpoint { members: vec![change], complete: true }.encode(),
        RecordKind::NamedCheckpoint => NamedCheckpoint { name: "n".into(), when_unix_ms: 5 }.encode(),
        // Some empty, some only zeros: what could be taken for a clean end.
        _ => vec![[0, 0xff, 7][number % 3]; number % 5],
    }
}

impl Sample {
    fn new() -> Self {
        let kinds: Vec<RecordKind> = (0..=u8::MAX).filter_map(RecordKind::from_code).collect();
        let dir = TempDir::new().unwrap();
        let (mut segments, mut records) = (Vec::new(), Vec::new());
        for batches in BATCHES {
            let first = u64::try_from(records.len()).unwrap() + 1;
            let header = SegmentHeader { database: database_hash("bench"), first: Position(first) };
            let (mut bytes, mut offsets) = (header.encode().to_vec(), Vec::new());
            for batch in batches {
                offsets.push(bytes.len());
                let position = Position(u64::try_from(records.len()).unwrap() + 1);
                let kind = kinds[records.len() % kinds.len()];
                let payload = payload(kind, records.len());
                encode_record(&mut bytes, position, Position(*batch), kind, &payload).unwrap();
                records.push(Record { position, kind, payload });
            }
            offsets.push(bytes.len());
            let path = segment_path(dir.path(), Position(first));
            fs::write(&path, &bytes).unwrap();
            segments.push(SampleSegment { path, bytes, offsets, batches, first });
        }
        assert!(records.len() >= kinds.len(), "every kind is there");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { dir, runtime, segments, records }
    }

    fn read(&self) -> Outcome {
        let mut records = Vec::new();
        let read = inspect_once(self.dir.path(), Position::START, &mut { Position::START }, &mut |seen| {
            records.push(seen.record.clone());
            Ok(ControlFlow::Continue(()))
        });
        let read = read.map_err(|error| match error {
            LogError::Corrupt { corrupt, .. } => (corrupt.segment, corrupt.offset, corrupt.kind),
            other => panic!("{other}"),
        });
        (records, read)
    }

    /// Reads with `bytes` in place of a segment.
    fn read_with(&self, segment: usize, bytes: &[u8]) -> Outcome {
        fs::write(&self.segments[segment].path, bytes).unwrap();
        self.read()
    }

    fn restore(&self, segment: usize) {
        fs::write(&self.segments[segment].path, &self.segments[segment].bytes).unwrap();
    }

    fn is_last(&self, segment: usize) -> bool {
        segment + 1 == self.segments.len()
    }

    /// Records before record `index` of a segment.
    fn before(&self, segment: usize, index: usize) -> &[Record] {
        &self.records[..usize::try_from(self.segments[segment].first).unwrap() - 1 + index]
    }

    fn name(&self, segment: usize) -> String {
        self.segments[segment].path.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// Opening for writing agrees with reading.
    fn assert_opens_alike(&self, (records, read): &Outcome, what: &str) {
        match (FileLog::open(self.dir.path(), "bench"), read) {
            (Ok(opened), Ok(_)) => {
                let found = self.runtime.block_on(async { opened.log.read(Position(1), usize::MAX).await }).unwrap();
                assert_eq!(&found, records, "{what}");
            }
            (Err(LogError::Corrupt { corrupt, .. }), Err((segment, offset, kind))) => {
                assert_eq!((&corrupt.segment, &corrupt.offset, &corrupt.kind), (segment, offset, kind), "{what}");
            }
            (opened, _) => panic!("{what}: {opened:?}"),
        }
    }
}

impl SampleSegment {
    /// Whether a record behind record `index` says that it had been flushed.
    fn flushed_before_another(&self, index: usize) -> bool {
        let position = self.first + u64::try_from(index).unwrap();
        self.batches[index + 1..].iter().any(|batch| *batch > position)
    }

    /// The record that a byte belongs to; `None` in the header.
    fn record_at(&self, byte: usize) -> Option<usize> {
        self.offsets.iter().rposition(|offset| *offset <= byte)
    }
}

#[test]
fn the_sample_is_whole() {
    let sample = Sample::new();
    let (records, read) = sample.read();
    assert_eq!(records, sample.records);
    let read = read.unwrap();
    assert_eq!((read.len(), read.iter().map(|segment| segment.torn_bytes).sum::<usize>()), (3, 0));
    sample.assert_opens_alike(&sample.read(), "untouched");
}

#[test]
fn every_flipped_bit_is_found() {
    let sample = Sample::new();
    let mut torn = 0;
    for (number, segment) in sample.segments.iter().enumerate() {
        for bit in 0..segment.bytes.len() * 8 {
            let mut bytes = segment.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let outcome = sample.read_with(number, &bytes);
            let what = format!("segment {number}, bit {bit}");
            let (records, read) = &outcome;
            match segment.record_at(bit / 8) {
                None => {
                    assert_eq!(records, sample.before(number, 0), "{what}");
                    assert_eq!(read, &Err((sample.name(number), 0, CorruptKind::Header)), "{what}");
                }
                Some(index) => {
                    assert_eq!(records, sample.before(number, index), "{what}");
                    if sample.is_last(number) && !segment.flushed_before_another(index) {
                        let last = read.as_ref().unwrap().last().unwrap();
                        assert_eq!(last.good_bytes, segment.offsets[index], "{what}");
                        assert!(last.torn_bytes > 0, "{what}");
                        torn += 1;
                    } else {
                        let place = (sample.name(number), segment.offsets[index], CorruptKind::DamagedRecord);
                        assert_eq!(read, &Err(place), "{what}");
                    }
                }
            }
            if bit % OPENED_EVERY == 0 {
                sample.assert_opens_alike(&outcome, &what);
            }
        }
        sample.restore(number);
    }
    let last = sample.segments.last().unwrap();
    assert_eq!(torn, (last.bytes.len() - last.offsets[3]) * 8, "only the last batch can look like a torn tail");
}

#[test]
fn every_cut_is_a_torn_tail_of_the_last_segment_or_an_error() {
    let sample = Sample::new();
    for (number, segment) in sample.segments.iter().enumerate() {
        for length in 0..segment.bytes.len() {
            // Zeros behind the cut are what a file system may leave.
            for padding in [0, 1, 40] {
                let mut bytes = segment.bytes[..length].to_vec();
                bytes.resize(length + padding, 0);
                let outcome = sample.read_with(number, &bytes);
                let what = format!("segment {number} cut at {length} with {padding} zeros");
                assert_cut(&sample, number, &bytes, &outcome, &what);
                if padding == 0 && length % OPENED_EVERY == 0 {
                    sample.assert_opens_alike(&outcome, &what);
                }
            }
        }
        sample.restore(number);
    }
}

/// What may come of a segment that is now `bytes`: a beginning of what it was, and zeros.
fn assert_cut(sample: &Sample, number: usize, bytes: &[u8], (records, read): &Outcome, what: &str) {
    let segment = &sample.segments[number];
    let header_bytes = segment.offsets[0];
    if bytes.len() < header_bytes || bytes[..header_bytes] != segment.bytes[..header_bytes] {
        assert_eq!(records, sample.before(number, 0), "{what}");
        assert_eq!(read, &Err((sample.name(number), 0, CorruptKind::Header)), "{what}");
        return;
    }
    // Records whose bytes are all there: zeros that were cut off may be back as padding.
    let ends = &segment.offsets[1..];
    let whole = ends.iter().take_while(|end| bytes.get(..**end) == Some(&segment.bytes[..**end])).count();
    let good = segment.offsets[whole];
    let torn = bytes[good..].iter().any(|byte| *byte != 0);
    if sample.is_last(number) {
        assert_eq!(records, sample.before(number, whole), "{what}");
        let last = read.as_ref().unwrap().last().unwrap();
        assert_eq!((last.good_bytes, last.torn_bytes > 0), (good, torn), "{what}");
        return;
    }
    assert_eq!(records, sample.before(number, whole), "{what}");
    let expect = if torn {
        (sample.name(number), good, CorruptKind::DamagedRecord)
    } else if whole == ends.len() {
        unreachable!("nothing but padding was cut: {what}")
    } else {
        let found = Position(sample.segments[number + 1].first);
        let expected = Position(segment.first + u64::try_from(whole).unwrap());
        (sample.name(number + 1), 0, CorruptKind::Gap { found, expected })
    };
    assert_eq!(read, &Err(expect), "{what}");
}

#[test]
fn whatever_is_overwritten_no_wrong_record_comes_out() {
    let sample = Sample::new();
    let mut state = SEED;
    let mut chance = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..4000 {
        let number = chance(sample.segments.len());
        let whole = &sample.segments[number].bytes;
        let mut bytes = whole.clone();
        let (start, length) = (chance(bytes.len()), 1 + chance(64));
        let end = bytes.len().min(start + length);
        // Noise, zeros, or a piece of the same file: a page that went to the wrong place.
        match chance(3) {
            0 => bytes[start..end].iter_mut().for_each(|byte| *byte = u8::try_from(chance(256)).unwrap()),
            1 => bytes[start..end].fill(0),
            _ => {
                let from = chance(whole.len() - (end - start) + 1);
                bytes[start..end].copy_from_slice(&whole[from..from + (end - start)]);
            }
        }
        let (records, read) = sample.read_with(number, &bytes);
        sample.restore(number);
        let what = format!("seed {SEED:#x}, round {round}");
        assert!(sample.records.starts_with(&records), "{what}");
        let first_damaged = whole.iter().zip(&bytes).position(|(was, is)| was != is);
        match first_damaged {
            None => assert_eq!(records.len(), sample.records.len(), "{what}"),
            Some(byte) => {
                let index = sample.segments[number].record_at(byte).unwrap_or(0);
                assert_eq!(records, sample.before(number, index), "{what}");
                assert!(sample.is_last(number) || read.is_err(), "{what}");
            }
        }
    }
}

#[test]
fn segments_that_are_missing_or_exchanged_are_found() {
    let sample = Sample::new();
    for number in [0, 1] {
        fs::remove_file(&sample.segments[number].path).unwrap();
        let (records, read) = sample.read();
        if number == 0 {
            // As after a truncation: the log begins later.
            assert_eq!((records.as_slice(), read.is_ok()), (&sample.records[4..], true));
        } else {
            let gap = CorruptKind::Gap { found: Position(9), expected: Position(5) };
            assert_eq!((records.as_slice(), read), (&sample.records[..4], Err((sample.name(2), 0, gap))));
        }
        sample.restore(number);
    }
    let (records, read) = sample.read_with(1, &sample.segments[0].bytes);
    let gap = CorruptKind::Gap { found: Position(1), expected: Position(5) };
    assert_eq!((records.as_slice(), read), (&sample.records[..4], Err((sample.name(1), 0, gap))));
}

#[test]
fn reading_beside_a_writer_needs_no_lock_and_takes_a_torn_tail() {
    let dir = TempDir::new().unwrap();
    let opened = FileLog::open(dir.path(), "bench").unwrap();
    let append = |payload: Vec<u8>| futures::executor::block_on(opened.log.append(RecordKind::Intent, payload));
    for number in 0..5 {
        append(vec![number; 9]).unwrap();
    }
    let mut positions = Vec::new();
    let mut visit = |from| {
        positions.clear();
        let segments = super::inspect(dir.path(), from, &mut |seen| {
            positions.push(seen.record.position.0);
            Ok(ControlFlow::Continue(()))
        });
        (positions.clone(), segments.unwrap()[0].torn_bytes)
    };
    assert_eq!(visit(Position(4)), (vec![4, 5], 0));
    let path = segment_path(dir.path(), Position(1));
    let mut bytes = fs::read(&path).unwrap();
    // Where the next record would go: behind it the file has grown in advance.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end..end + 13].fill(7);
    fs::write(&path, bytes).unwrap();
    assert_eq!(visit(Position(0)), (vec![1, 2, 3, 4, 5], 13));
    let missing = TempDir::new().unwrap();
    let nothing = super::inspect(missing.path(), Position(0), &mut |_| Ok(ControlFlow::Continue(())));
    assert!(matches!(nothing, Err(LogError::Missing(_))));
}
