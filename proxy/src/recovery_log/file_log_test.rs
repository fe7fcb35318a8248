//! The log in real files: order, restart, truncation, damage, full disk, failed flush, second proxy.

use std::fs;
use std::path::{Path, PathBuf};

use raidb_core::log::{CorruptKind, MemberChange, Position, Record, RecordKind};
use raidb_core::member::MemberState;
use tempfile::TempDir;

use super::disk::RealDisk;
use super::failing_disk::{FailingDisk, Fault, Switch};
use super::{Extent, FileLog, LogError, Opened, RecoveryLog};

const SMALL: u64 = 256;

fn open(dir: &Path) -> Result<Opened, LogError> {
    FileLog::open_on(dir, "bench", SMALL, Box::new(RealDisk))
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    paths.sort();
    paths
}

async fn append(log: &FileLog, payload: &[u8]) -> Result<Position, LogError> {
    log.append(RecordKind::Intent, payload.to_vec()).await
}

async fn payloads(log: &FileLog, from: u64) -> Vec<Vec<u8>> {
    let records = log.read(Position(from), usize::MAX).await.unwrap();
    records.into_iter().map(|record| record.payload).collect()
}

fn change(member: &str, state: MemberState, epoch: u64) -> MemberChange {
    MemberChange { member: member.into(), change: state, epoch, when_unix_ms: 0, incident: None }
}

#[tokio::test]
async fn keeps_order_over_restarts_and_segments() {
    let dir = TempDir::new().unwrap();
    let expect: Vec<Vec<u8>> = (1..=60u8).map(|n| vec![n; usize::from(n)]).collect();
    for part in expect.chunks(20) {
        let Opened { log, torn_bytes, .. } = open(dir.path()).unwrap();
        assert_eq!(torn_bytes, 0);
        for payload in part {
            let position = append(&log, payload).await.unwrap();
            assert_eq!(position, Position(u64::from(payload[0])));
            assert_eq!(log.end(), position);
        }
    }
    assert!(segments(dir.path()).len() > 5);
    let log = open(dir.path()).unwrap().log;
    assert_eq!(payloads(&log, 0).await, expect);
    assert_eq!(payloads(&log, 31).await, expect[30..]);
    assert_eq!(payloads(&log, 61).await, Vec::<Vec<u8>>::new());
    let limited = log.read(Position(40), 100).await.unwrap();
    assert_eq!(limited.len(), 2, "40 and 41 bytes fit into 100");
    assert_eq!(log.read(Position(40), 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn appends_at_the_same_time_get_different_positions() {
    let dir = TempDir::new().unwrap();
    let log = FileLog::open(dir.path(), "bench").unwrap().log;
    let appends = (0..2000u32).map(|n| log.append(RecordKind::Intent, n.to_le_bytes().to_vec()));
    let positions = futures::future::join_all(appends).await;
    let mut positions: Vec<u64> = positions.into_iter().map(|position| position.unwrap().0).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=2000).collect::<Vec<_>>());
    assert_eq!(payloads(&log, 1).await.len(), 2000);
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_any_byte() {
    let dir = TempDir::new().unwrap();
    let log = FileLog::open(dir.path(), "bench").unwrap().log;
    append(&log, b"first").await.unwrap();
    append(&log, b"second").await.unwrap();
    drop(log);
    let path = segments(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let second = whole.len() - 28 - 6;
    for length in second..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let Opened { log, torn_bytes, .. } = FileLog::open(dir.path(), "bench").unwrap();
        assert!(torn_bytes <= length - second);
        assert_eq!(append(&log, b"third").await.unwrap(), Position(2), "cut at {length}");
        drop(log);
        let log = FileLog::open(dir.path(), "bench").unwrap().log;
        assert_eq!(payloads(&log, 1).await, [b"first".to_vec(), b"third".to_vec()]);
    }
}

#[tokio::test]
async fn damage_that_is_no_torn_tail_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap().log;
    for n in 0..20 {
        append(&log, &[n; 30]).await.unwrap();
    }
    drop(log);
    let paths = segments(dir.path());
    let middle = fs::read(&paths[1]).unwrap();
    let refused = |expect: fn(&CorruptKind) -> bool| {
        let LogError::Corrupt { corrupt, .. } = open(dir.path()).unwrap_err() else { panic!("another error") };
        assert!(expect(&corrupt.kind), "{corrupt}");
        assert!(corrupt.segment.ends_with(".seg"));
    };
    let mut flipped = middle.clone();
    flipped[70] ^= 1;
    fs::write(&paths[1], &flipped).unwrap();
    refused(|kind| *kind == CorruptKind::DamagedRecord);
    fs::write(&paths[1], &middle[..10]).unwrap();
    refused(|kind| *kind == CorruptKind::Header);
    fs::remove_file(&paths[1]).unwrap();
    refused(|kind| matches!(kind, CorruptKind::Gap { .. }));
    fs::write(&paths[1], &middle).unwrap();
    assert_eq!(payloads(&open(dir.path()).unwrap().log, 1).await.len(), 20);
    let other = FileLog::open(dir.path(), "other").unwrap_err();
    assert!(other.to_string().contains("another virtual database"), "{other}");
}

#[tokio::test]
async fn truncation_keeps_the_membership() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap().log;
    let change = change("pg2", MemberState::Draining, 7);
    log.append(RecordKind::MemberChange, change.encode()).await.unwrap();
    for n in 0..20 {
        append(&log, &[n; 30]).await.unwrap();
    }
    let before = segments(dir.path()).len();
    log.truncate(Position(15)).await.unwrap();
    assert!(segments(dir.path()).len() < before);
    assert!(matches!(log.read(Position(1), 1).await, Err(LogError::Gone { .. })));
    assert_eq!(log.read(Position(15), 1).await.unwrap()[0].position, Position(15));
    log.truncate(Position(3)).await.unwrap();
    let end = log.end();
    drop(log);
    let Opened { log, membership, .. } = open(dir.path()).unwrap();
    assert_eq!(membership.changes().collect::<Vec<_>>(), [&change]);
    assert_eq!(append(&log, b"on").await.unwrap(), end.next());
}

#[tokio::test]
async fn one_proxy_for_one_directory() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).unwrap().log;
    assert!(matches!(open(dir.path()), Err(LogError::Locked(_))));
    drop(first);
    drop(open(dir.path()).unwrap());
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_a_failed_flush_stops_the_log() {
    let dir = TempDir::new().unwrap();
    let switch = Switch::default();
    let disk = FailingDisk(switch.clone());
    let log = FileLog::open_on(dir.path(), "bench", SMALL, Box::new(disk)).unwrap().log;
    append(&log, b"one").await.unwrap();
    switch.set(Fault::FullAfterHalf);
    assert!(matches!(append(&log, b"lost").await, Err(LogError::Full)));
    assert_eq!(log.end(), Position(1));
    switch.set(Fault::None);
    assert_eq!(append(&log, b"two").await.unwrap(), Position(2));
    assert_eq!(payloads(&log, 1).await, [b"one".to_vec(), b"two".to_vec()]);

    switch.set(Fault::Flush);
    assert!(matches!(append(&log, b"unknown").await, Err(LogError::Poisoned(_))));
    switch.set(Fault::None);
    assert!(matches!(append(&log, b"never").await, Err(LogError::Poisoned(_))));
    assert_eq!((log.end(), payloads(&log, 1).await.len()), (Position(2), 2));
    drop(log);
    // What was not acknowledged may be there or not; what was, is.
    let log = open(dir.path()).unwrap().log;
    assert_eq!(payloads(&log, 1).await[..2], [b"one".to_vec(), b"two".to_vec()]);
}

#[tokio::test]
async fn a_segment_that_cannot_begin_stops_the_log() {
    let dir = TempDir::new().unwrap();
    let switch = Switch::default();
    let disk = FailingDisk(switch.clone());
    let log = FileLog::open_on(dir.path(), "bench", SMALL, Box::new(disk)).unwrap().log;
    append(&log, &[1; 200]).await.unwrap();
    switch.set(Fault::Create);
    assert!(matches!(append(&log, &[2; 200]).await, Err(LogError::Poisoned(_))));
    drop(log);
    fs::write(dir.path().join("00000000000000000002.tmp"), b"half").unwrap();
    let log = open(dir.path()).unwrap().log;
    assert_eq!(append(&log, &[2; 200]).await.unwrap(), Position(2));
    assert!(!dir.path().join("00000000000000000002.tmp").exists());
}

/// What reading must give, from the records themselves.
fn model(records: &[Record], from: u64, bytes_max: usize) -> Vec<Record> {
    let mut bytes = 0;
    let rest = records.iter().filter(|record| record.position >= Position(from));
    let fits = |(index, record): &(usize, &Record)| {
        bytes += record.payload.len();
        bytes <= bytes_max || *index == 0
    };
    rest.enumerate().take_while(fits).map(|(_, record)| record.clone()).collect()
}

#[tokio::test]
async fn reads_from_any_position_up_to_any_length() {
    let dir = TempDir::new().unwrap();
    // Segments of several places of the index, records shorter and longer than what is read at once.
    let open = || FileLog::open_on(dir.path(), "bench", 4 << 20, Box::new(RealDisk)).unwrap().log;
    let lengths = [0, 1, 100, 70_000, 255 << 10, 256 << 10, 3 << 20, 5, 40_000, 900_000];
    let mut records = Vec::new();
    let mut log = open();
    for number in 0..80_u8 {
        let payload = vec![number; lengths[usize::from(number) % lengths.len()]];
        let position = append(&log, &payload).await.unwrap();
        records.push(Record { position, kind: RecordKind::Intent, payload });
    }
    for again in [false, true] {
        if again {
            drop(log);
            log = open();
        }
        for from in (1..=81).step_by(5) {
            for bytes_max in [0, 1, 50_000, 4 << 20] {
                let read = log.read(Position(from), bytes_max).await.unwrap();
                assert_eq!(read.len(), model(&records, from, bytes_max).len(), "from {from}, {bytes_max} bytes");
                assert!(read == model(&records, from, bytes_max), "from {from}, {bytes_max} bytes");
            }
        }
    }
}

#[tokio::test]
async fn a_read_costs_what_it_returns() {
    let dir = TempDir::new().unwrap();
    let log = FileLog::open(dir.path(), "bench").unwrap().log;
    for number in 0..160_u8 {
        append(&log, &vec![number; 50_000]).await.unwrap();
    }
    // A damaged record concerns those who read it: if others do not notice, they have not read so far.
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let place = 32 + 150 * 50_028 + 40;
    bytes[place] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for from in [1, 75, 120] {
        assert_eq!(log.read(Position(from), 100_000).await.unwrap().len(), 2);
    }
    let LogError::Corrupt { corrupt, .. } = log.read(Position(151), 1).await.unwrap_err() else {
        panic!("damage is not found")
    };
    assert_eq!((corrupt.offset, corrupt.kind), (32 + 150 * 50_028, CorruptKind::DamagedRecord));
}

#[tokio::test]
async fn tells_how_much_there_is() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap().log;
    assert_eq!(log.extent(Position::START), Extent { first: Position(1), bytes: 32 });
    for n in 0..20 {
        append(&log, &[n; 30]).await.unwrap();
    }
    // Without the zeros by which the last one has grown in advance.
    let used =
        |path: &PathBuf| fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
    let on_disk = || segments(dir.path()).iter().map(used).sum::<u64>();
    assert_eq!(log.extent(Position::START).bytes, on_disk());
    let told = log.extent(Position(15));
    let checkpoint = log.truncate(Position(15)).await.unwrap().unwrap();
    let left = log.extent(Position::START);
    assert_eq!((left.first, left.bytes), (told.first, on_disk()));
    assert!(told.first <= Position(15) && told.bytes < left.bytes, "a checkpoint was added at {checkpoint}");
    // The last segment stays.
    assert!(log.extent(Position(1000)).bytes > 0);
}

#[tokio::test]
async fn an_empty_log_may_begin_behind_another_one() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path()).unwrap().log;
    log.begin_behind(Position(41)).await.unwrap();
    assert_eq!((log.end(), log.extent(Position::START).first), (Position(41), Position(42)));
    assert_eq!(append(&log, b"first").await.unwrap(), Position(42));
    assert!(matches!(log.read(Position(41), 1).await, Err(LogError::Gone { first: Position(42), .. })));
    assert!(log.begin_behind(Position(99)).await.is_err(), "it has a record");
    drop(log);
    let log = open(dir.path()).unwrap().log;
    assert_eq!((log.end(), payloads(&log, 42).await), (Position(42), vec![b"first".to_vec()]));
}
