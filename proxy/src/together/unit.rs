//! Several transactions as one unit of the extended protocol: their statements, their markers, one Sync.
//!
//! What stands before a Sync is one implicit transaction on the member: all of it commits, or nothing. All statements are
//! INSERTs, which insert all their rows or fail; so a unit without an error has done all that was asked.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::Job;
use crate::members::pg::link::{Link, Owner, UnitOutcome};
use crate::rejoin::tables::TABLES;
use crate::session::prepared::Prepared;
use crate::session::transaction::Payload;
use crate::wire::encode;

/// Statements prepared on a line; others are parsed each time.
const PREPARED_MAX: usize = 256;
/// Parameter types of a marker statement: one, bigint[].
const MARK_TYPES: [u8; 6] = [0, 1, 0, 0, 0x03, 0xf8];
/// Oid of bigint.
const BIGINT: u32 = 20;

/// What is prepared on a line's connection.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Text and types → name.
    statements: HashMap<(Bytes, Bytes), Bytes>,
    /// Number of the next name; none is used twice on a connection.
    next: u64,
    marks: [bool; TABLES as usize],
}

impl Known {
    /// After an error nobody knows which Parse took place. All names are dropped on the member, as a unit of their own.
    pub(super) fn forget(&mut self, link: &mut Link) {
        link.simple(&[b"DEALLOCATE ALL"], Owner::Discarded);
        self.statements.clear();
        self.marks = Default::default();
    }
}

/// Writes these transactions as one unit.
pub(super) fn write(link: &mut Link, known: &mut Known, jobs: &[Job]) {
    for (payload, _) in jobs.iter().flat_map(|job| &job.decided.statements) {
        match payload {
            Payload::Simple(sql) => {
                encode::parse(link.out(), b"", &[sql], &[0, 0]);
                encode::bind_empty(link.out(), b"", b"");
                encode::execute(link.out(), b"", 0);
            }
            Payload::Extended { prepared, tail } => {
                let name = prepare(link, known, prepared);
                encode::bind(link.out(), b"", &name, tail);
                encode::execute(link.out(), b"", 0);
            }
            // Never all or nothing, so never here.
            Payload::Copied { .. } => {}
        }
    }
    for table in 0..TABLES {
        write_marks(link, known, table, jobs);
    }
    encode::bare(link.out(), b'S');
    link.unit(Owner::Follower);
}

fn prepare(link: &mut Link, known: &mut Known, prepared: &Prepared) -> Bytes {
    let key = (prepared.text.clone(), prepared.types.clone());
    if let Some(name) = known.statements.get(&key) {
        return name.clone();
    }
    if known.statements.len() >= PREPARED_MAX {
        encode::parse(link.out(), b"", &[&prepared.text], &prepared.types);
        return Bytes::new();
    }
    let name = Bytes::from(format!("raidb_t{}", known.next));
    known.next += 1;
    encode::parse(link.out(), &name, &[&prepared.text], &prepared.types);
    known.statements.insert(key, name.clone());
    name
}

/// All markers of one table as one statement.
fn write_marks(link: &mut Link, known: &mut Known, table: u8, jobs: &[Job]) {
    let positions = || jobs.iter().filter(|job| job.decided.table == table).map(|job| job.decided.position.0);
    let count = u32::try_from(positions().count()).unwrap_or(u32::MAX);
    let Some(parsed) = known.marks.get_mut(usize::from(table)).filter(|_| count > 0) else { return };
    let name = format!("raidb_marks_{table}");
    if !std::mem::replace(parsed, true) {
        let text = format!("INSERT INTO raidb.applied_{table} (position) SELECT pg_catalog.unnest($1)");
        encode::parse(link.out(), name.as_bytes(), &[text.as_bytes()], &MARK_TYPES);
    }
    encode::bind(link.out(), b"", name.as_bytes(), &array(count, positions()));
    encode::execute(link.out(), b"", 0);
}

/// The rest of a Bind with one parameter, an array of bigint in the binary format.
fn array(count: u32, positions: impl Iterator<Item = u64>) -> BytesMut {
    let mut tail = BytesMut::with_capacity(34 + 12 * count as usize);
    tail.put_slice(&[0, 1, 0, 1, 0, 1]);
    tail.put_u32(20 + 12 * count);
    // Dimensions, no nulls, element type, length, lower bound.
    for word in [1, 0, BIGINT, count, 1] {
        tail.put_u32(word);
    }
    for position in positions {
        tail.put_u32(8);
        tail.put_u64(position);
    }
    tail.put_u16(0);
    tail
}

/// Whether the member did all that was asked; otherwise it did nothing.
pub(super) fn agreed(jobs: &[Job], outcome: &UnitOutcome) -> bool {
    let mut tags = outcome.tags.iter();
    let mut expected = jobs.iter().flat_map(|job| &job.decided.statements).map(|(_, tag)| tag);
    outcome.error.is_none() && outcome.status == b'I' && expected.all(|tag| tags.next() == Some(tag))
}
