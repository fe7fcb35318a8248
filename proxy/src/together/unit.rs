//! Several transactions as one unit of the extended protocol.
//!
//! * All are decided, and all their statements do all or nothing (INSERTs): statements, markers, Sync. What stands before a Sync
//!   is one implicit transaction; without an error it has done all that was asked.
//! * Others (an UPDATE may find no row; an intent is on its way to the disk): BEGIN, statements, Flush. The answers are
//!   compared, the decisions awaited, and only then markers and COMMIT follow, or ROLLBACK.

use std::collections::{HashMap, HashSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Job, Statement};
use crate::members::pg::link::{Link, Owner, UnitOutcome};
use crate::rejoin::tables::TABLES;
use crate::session::transaction::Payload;
use crate::wire::encode;

/// Statements prepared on a line; others are parsed each time.
const PREPARED_MAX: usize = 256;
/// Texts that are remembered as unfit for parameters; at the limit all are forgotten.
const UNFIT_MAX: usize = 256;
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
    controls: bool,
    /// Texts with parameters that were refused, and not without: they are not used any more.
    unfit: HashSet<Bytes>,
    /// DDL that had ended when the first of it was prepared.
    ddl: u64,
}

impl Known {
    /// After an error nobody knows which Parse took place. Whatever is open is rolled back, and all names are dropped on the
    /// member, as units of their own.
    pub(super) fn forget(&mut self, link: &mut Link) {
        link.simple(&[b"ROLLBACK"], Owner::Discarded);
        link.simple(&[b"DEALLOCATE ALL"], Owner::Discarded);
        let unfit = std::mem::take(&mut self.unfit);
        *self = Known { next: self.next, unfit, ddl: self.ddl, ..Known::default() };
    }

    /// The types of open parameters are found once, when a statement is prepared; DDL may have changed them since: a text that
    /// is read as a date loses its time, though the column is a timestamp now. A statement is answered on the lead only
    /// under the catalog of the DDL that has ended, so this is looked at behind that.
    pub(super) fn under(&mut self, ddl: u64, link: &mut Link) {
        if self.ddl != ddl {
            self.forget(link);
            self.ddl = ddl;
        }
    }

    /// Does without parameters from now on in the statements of this transaction. False: there are none.
    pub(super) fn plainly(&mut self, job: &Job) -> bool {
        if self.unfit.len() >= UNFIT_MAX {
            self.unfit.clear();
        }
        let shapes = job.whole.statements.iter().filter_map(|statement| statement.shape.as_ref());
        let added: Vec<bool> = shapes.map(|shape| self.unfit.insert(shape.text.clone())).collect();
        added.contains(&true)
    }

    /// They were not what was refused.
    pub(super) fn fit(&mut self, job: &Job) {
        let shapes = job.whole.statements.iter().filter_map(|statement| statement.shape.as_ref());
        shapes.for_each(|shape| drop(self.unfit.take(&shape.text)));
    }
}

/// What was sent of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it.
    Whole,
    /// Its statements: so many command tags are to be looked at before [`finish`].
    Asked(usize),
}

/// Transaction control in the extended protocol, by name and text. Followers always run READ COMMITTED.
const CONTROLS: [(&[u8], &[u8]); 3] = [
    (b"raidb_begin", b"BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"),
    (b"raidb_commit", b"COMMIT"),
    (b"raidb_rollback", b"ROLLBACK"),
];

/// Runs one of [`CONTROLS`].
fn control(link: &mut Link, which: usize) {
    encode::bind_empty(link.out(), b"", CONTROLS[which].0);
    encode::execute(link.out(), b"", 0);
}

/// Writes these transactions as one unit, as far as can be known now.
pub(super) fn write(link: &mut Link, known: &mut Known, jobs: &[Job]) -> Written {
    link.unit(Owner::Follower);
    let whole = count(jobs) && jobs.iter().all(|job| job.whole.all_or_nothing);
    if !whole {
        if !std::mem::replace(&mut known.controls, true) {
            for (name, text) in CONTROLS {
                encode::parse(link.out(), name, &[text], &[0, 0]);
            }
        }
        control(link, 0);
    }
    let mut tags = 1;
    for Statement { payload, shape, .. } in jobs.iter().flat_map(|job| &job.whole.statements) {
        tags += 1;
        if let Some(shape) = shape.as_ref().filter(|shape| !known.unfit.contains(&shape.text)) {
            let name = prepare(link, known, &shape.text, &shape.types);
            encode::bind(link.out(), b"", &name, &shape.tail);
            encode::execute(link.out(), b"", 0);
            continue;
        }
        match payload {
            Payload::Simple(sql) => {
                encode::parse(link.out(), b"", &[sql], &[0, 0]);
                encode::bind_empty(link.out(), b"", b"");
                encode::execute(link.out(), b"", 0);
            }
            Payload::Extended { prepared, tail } => {
                let name = prepare(link, known, &prepared.text, &prepared.types);
                encode::bind(link.out(), b"", &name, tail);
                encode::execute(link.out(), b"", 0);
            }
            // A session does not send these whole.
            Payload::Execute { .. } | Payload::Copied { .. } => {}
        }
    }
    if whole {
        marks(link, known, jobs);
        encode::bare(link.out(), b'S');
        return Written::Whole;
    }
    encode::bare(link.out(), b'H');
    Written::Asked(tags)
}

/// Whether all of them are decided. Once yes it stays so.
pub(super) fn count(jobs: &[Job]) -> bool {
    jobs.iter().all(|job| job.whole.decision.mark().is_some())
}

/// Ends a unit whose statements were [`Written::Asked`]. It commits if it was answered alike, and all of it counts (invariant 2:
/// no COMMIT before a durable intent).
pub(super) fn finish(link: &mut Link, known: &mut Known, jobs: &[Job], counts: bool) {
    if counts {
        marks(link, known, jobs);
        control(link, 1);
    } else {
        control(link, 2);
    }
    encode::bare(link.out(), b'S');
}

fn marks(link: &mut Link, known: &mut Known, jobs: &[Job]) {
    for table in 0..TABLES {
        write_marks(link, known, table, jobs);
    }
}

fn prepare(link: &mut Link, known: &mut Known, text: &Bytes, types: &Bytes) -> Bytes {
    let key = (text.clone(), types.clone());
    if let Some(name) = known.statements.get(&key) {
        return name.clone();
    }
    if known.statements.len() >= PREPARED_MAX {
        encode::parse(link.out(), b"", &[text], types);
        return Bytes::new();
    }
    let name = Bytes::from(format!("raidb_t{}", known.next));
    known.next += 1;
    encode::parse(link.out(), &name, &[text], types);
    known.statements.insert(key, name.clone());
    name
}

/// All markers of one table as one statement.
fn write_marks(link: &mut Link, known: &mut Known, table: u8, jobs: &[Job]) {
    let marks = || jobs.iter().filter_map(|job| job.whole.decision.mark());
    let positions = || marks().filter(|mark| mark.table == table).map(|mark| mark.position.0);
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

/// Whether the statements were answered as the lead did, as far as they were.
pub(super) fn alike(jobs: &[Job], written: Written, outcome: &UnitOutcome) -> bool {
    let begin = usize::from(written != Written::Whole);
    let mut tags = outcome.tags.iter().skip(begin);
    let mut expected = jobs.iter().flat_map(|job| &job.whole.statements).map(|statement| &statement.tag);
    outcome.error.is_none() && expected.all(|tag| tags.next() == Some(tag))
}

/// What a unit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The member did all that was asked.
    Committed,
    /// It did nothing.
    RolledBack,
    /// It did something else, and committed that.
    Differently,
}

/// What this answer says.
pub(super) fn ended(jobs: &[Job], written: Written, outcome: &UnitOutcome) -> Ended {
    let alike = alike(jobs, written, outcome);
    match written {
        _ if outcome.error.is_some() || outcome.status != b'I' => Ended::RolledBack,
        Written::Asked(_) if alike && outcome.tag() == b"COMMIT" => Ended::Committed,
        Written::Asked(_) => Ended::RolledBack,
        Written::Whole if alike => Ended::Committed,
        // Its INSERTs did not fail, and did not insert what they name (a trigger that was made there, say).
        Written::Whole => Ended::Differently,
    }
}
