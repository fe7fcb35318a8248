//! The disk under the recovery log: records in the real form, group commits, and what a crash leaves of them.
//!
//! A batch is encoded with the real codec when its flush begins, and durable when that ends. A crash in between leaves any part
//! of its bytes, perhaps with a hole. It is read back with the real reader, which has to cut what is torn.

use std::collections::BTreeMap;

use raidb_core::log::{
    Corrupt, Place, Position, Record, RecordKind, SegmentHeader, database_hash, encode_record, read_segment,
};

use crate::random::Random;

/// Records after which a batch begins a new segment.
const SEGMENT_RECORDS: usize = 40;
/// Name of the virtual database.
const DATABASE: &str = "simulated";

/// A record on its way.
pub type AppendId = u64;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    Durable(Position),
    /// The disk was full: it was not written, and will not be.
    Full,
    /// The flush failed: nobody knows.
    Failed,
}

/// See the module.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent faults of one disk")]
pub struct Disk {
    segments: Vec<Vec<u8>>,
    in_last: usize,
    waiting: Vec<(AppendId, RecordKind, Vec<u8>)>,
    flushing: Vec<(AppendId, Record)>,
    encoded: Vec<u8>,
    results: BTreeMap<AppendId, Appended>,
    next_id: AppendId,
    /// Durable records, as a reader gets them.
    records: Vec<Record>,
    /// A flush has failed: nothing is written any more until the proxy starts again.
    pub failed: bool,
    /// The next batch finds no room.
    pub full: bool,
    /// The next flush fails.
    pub fails_next: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            segments: vec![header(Position(1))],
            in_last: 0,
            waiting: Vec::new(),
            flushing: Vec::new(),
            encoded: Vec::new(),
            results: BTreeMap::new(),
            next_id: 0,
            records: Vec::new(),
            failed: false,
            full: false,
            fails_next: false,
        }
    }
}

fn header(first: Position) -> Vec<u8> {
    SegmentHeader { database: database_hash(DATABASE), first }.encode().to_vec()
}

impl Disk {
    /// Sends a record; ask [`Disk::take`] what came of it.
    pub fn append(&mut self, kind: RecordKind, payload: Vec<u8>) -> AppendId {
        self.next_id += 1;
        if self.failed {
            self.results.insert(self.next_id, Appended::Failed);
        } else {
            self.waiting.push((self.next_id, kind, payload));
        }
        self.next_id
    }

    /// What came of it; once.
    pub fn take(&mut self, id: AppendId) -> Option<Appended> {
        self.results.remove(&id)
    }

    /// The last durable record.
    #[must_use]
    pub fn end(&self) -> Position {
        self.records.last().map_or(Position::START, |record| record.position)
    }

    /// Durable records from a position on.
    pub fn read(&self, from: Position) -> impl Iterator<Item = &Record> {
        let at = self.records.partition_point(|record| record.position < from);
        self.records[at..].iter()
    }

    /// The disk's turn: a flush begins, or ends. True if something happened.
    pub fn turn(&mut self) -> bool {
        if self.flushing.is_empty() {
            return self.begin_flush();
        }
        let failed = std::mem::take(&mut self.fails_next);
        if failed {
            self.fail();
            return true;
        }
        self.write_encoded();
        for (id, record) in std::mem::take(&mut self.flushing) {
            self.results.insert(id, Appended::Durable(record.position));
            self.records.push(record);
        }
        true
    }

    fn write_encoded(&mut self) {
        let bytes = std::mem::take(&mut self.encoded);
        self.in_last += self.flushing.len();
        if let Some(last) = self.segments.last_mut() {
            last.extend(bytes);
        }
    }

    fn begin_flush(&mut self) -> bool {
        if self.waiting.is_empty() || self.failed {
            return false;
        }
        if std::mem::take(&mut self.full) {
            for (id, ..) in self.waiting.drain(..) {
                self.results.insert(id, Appended::Full);
            }
            return true;
        }
        let first = self.end().next();
        if self.in_last >= SEGMENT_RECORDS {
            self.segments.push(header(first));
            self.in_last = 0;
        }
        let mut position = first;
        for (id, kind, payload) in std::mem::take(&mut self.waiting) {
            if encode_record(&mut self.encoded, position, first, kind, &payload).is_err() {
                continue;
            }
            self.flushing.push((id, Record { position, kind, payload }));
            position = position.next();
        }
        true
    }

    fn fail(&mut self) {
        self.failed = true;
        let flushing = self.flushing.iter().map(|(id, _)| *id);
        let all: Vec<AppendId> = flushing.chain(self.waiting.iter().map(|(id, ..)| *id)).collect();
        self.results.extend(all.into_iter().map(|id| (id, Appended::Failed)));
        self.waiting.clear();
    }

    /// The proxy's process ends, and with it perhaps its machine: of what was not flushed any part may be there.
    ///
    /// # Errors
    /// The real reader refuses what is there: then it is wrong, since nothing here is but torn.
    pub fn restart(&mut self, random: &mut Random) -> Result<&[Record], Corrupt> {
        let mut torn = std::mem::take(&mut self.encoded);
        if !torn.is_empty() {
            torn.truncate(random.index(torn.len() + 1));
            if random.chance(300) && !torn.is_empty() {
                let (from, to) = (random.index(torn.len()), random.index(torn.len() + 1));
                torn[from.min(to)..from.max(to)].fill(0);
            }
            if random.chance(300) {
                torn.resize(torn.len() + random.index(64), 0);
            }
            if let Some(last) = self.segments.last_mut() {
                last.extend(torn);
            }
        }
        self.waiting.clear();
        self.flushing.clear();
        self.results.clear();
        (self.failed, self.full, self.fails_next) = (false, false, false);
        self.read_back()?;
        Ok(&self.records)
    }

    fn read_back(&mut self) -> Result<(), Corrupt> {
        let database = database_hash(DATABASE);
        let mut records = Vec::new();
        let mut follows = None;
        let count = self.segments.len();
        for (n, bytes) in self.segments.iter_mut().enumerate() {
            let segment = read_segment(bytes, Place { name: "segment", database, follows, is_last: n + 1 == count })?;
            follows = Some(segment.next());
            bytes.truncate(segment.good_bytes);
            self.in_last = segment.records.len();
            records.extend(segment.records);
        }
        self.records = records;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(n: u8) -> Vec<u8> {
        vec![n; 40]
    }

    #[test]
    fn what_is_durable_outlives_any_crash() {
        for seed in 0..300 {
            let (mut random, mut disk) = (Random::new(seed), Disk::default());
            let mut durable = 0;
            for n in 0..60 {
                let id = disk.append(RecordKind::Intent, payload(n));
                let other = disk.append(RecordKind::Outcome, payload(n));
                assert!(disk.turn());
                if random.chance(200) {
                    let read = disk.restart(&mut random).unwrap();
                    assert!((durable..=durable + 2).contains(&read.len()), "{durable} {}", read.len());
                    durable = read.len();
                    continue;
                }
                assert!(disk.turn());
                durable += 2;
                assert_eq!(disk.take(other), Some(Appended::Durable(Position(durable as u64))));
                assert!(disk.take(id).is_some() && disk.take(id).is_none());
            }
            assert_eq!(disk.restart(&mut random).unwrap().len(), durable);
        }
    }

    #[test]
    fn a_failed_flush_stops_it() {
        let (mut random, mut disk) = (Random::new(1), Disk::default());
        disk.fails_next = true;
        let id = disk.append(RecordKind::Intent, payload(1));
        assert!(disk.turn() && disk.turn());
        assert_eq!(disk.take(id), Some(Appended::Failed));
        let id = disk.append(RecordKind::Intent, payload(2));
        disk.turn();
        assert_eq!(disk.take(id), Some(Appended::Failed));
        disk.restart(&mut random).unwrap();
        disk.full = true;
        let id = disk.append(RecordKind::Intent, payload(2));
        assert!(disk.turn());
        assert_eq!(disk.take(id), Some(Appended::Full));
    }
}
