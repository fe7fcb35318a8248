//! One statement on one member, in small steps: what it sees, what it waits for, what it does. READ COMMITTED.
//!
//! As in PostgreSQL: which rows match is looked at once, at the beginning; each is then locked, and looked at again when that
//! took place (EvalPlanQual). A unique key waits for whoever has written the same and not committed. A foreign key locks the parent.

use raidb_core::verdict::SqlState;

use super::locks::{Mode, lock};
use super::rows::{ENTERED, RowId, Rows, indexes, key};
use super::transactions::{Transaction, TxId};
use crate::statement::{Op, Table, Values};

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It goes on.
    Progress,
    /// The statement has done all.
    Done,
    /// Others have to end first.
    Blocked,
    /// The statement fails.
    Failed(SqlState),
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Start,
    Row,
    Arbiter,
    Conflict(RowId),
    Unique(RowId, u8),
    ForeignKey(RowId),
    Children(u32),
}

/// A statement that runs.
#[derive(Clone, Debug)]
pub struct Execution {
    op: Op,
    phase: Phase,
    candidates: Vec<RowId>,
    next: usize,
    /// The rows that it touched, as they are now.
    pub touched: Vec<Values>,
}

fn state(code: &str) -> SqlState {
    SqlState::parse(code.as_bytes()).unwrap_or(SqlState::INTERNAL_ERROR)
}

/// What stands in the way of a key.
enum Obstacle {
    None,
    /// It may or may not be there.
    InProgress(TxId),
    There(RowId),
}

impl Execution {
    pub fn new(op: Op) -> Self {
        Execution { op, phase: Phase::Start, candidates: Vec::new(), next: 0, touched: Vec::new() }
    }

    /// One step. `blocked_on` says who has to end if it is blocked.
    pub fn advance(&mut self, rows: &mut Rows, tx: &mut Transaction, blocked_on: &mut Vec<TxId>) -> Advance {
        match self.phase {
            Phase::Start => self.start(rows, tx),
            Phase::Row => self.row(rows, tx, blocked_on),
            Phase::Arbiter => self.arbiter(rows, tx, blocked_on),
            Phase::Conflict(row) => self.conflict(row, rows, tx, blocked_on),
            Phase::Unique(row, index) => self.unique(row, index, rows, tx, blocked_on),
            Phase::ForeignKey(row) => self.foreign_key(row, rows, tx, blocked_on),
            Phase::Children(id) => self.children(id, rows, tx, blocked_on),
        }
    }

    fn start(&mut self, rows: &mut Rows, tx: &mut Transaction) -> Advance {
        match self.op {
            Op::Insert(table, values) => self.insert(table, values, rows, tx),
            Op::InsertIgnore(..) | Op::Upsert(..) | Op::UpsertU(_) => self.phase = Phase::Arbiter,
            op => {
                let seen = rows.of(op.table()).map(|(row, _)| row);
                self.candidates =
                    seen.filter(|row| rows.visible(*row, tx.id).is_some_and(|values| matches(op, values))).collect();
                self.phase = Phase::Row;
            }
        }
        Advance::Progress
    }

    fn insert(&mut self, table: Table, values: Values, rows: &mut Rows, tx: &mut Transaction) {
        let row = rows.insert(tx, table, values);
        self.touched.push(values);
        self.phase = Phase::Unique(row, 0);
    }

    fn row(&mut self, rows: &mut Rows, tx: &mut Transaction, blocked_on: &mut Vec<TxId>) -> Advance {
        let Some(row) = self.candidates.get(self.next).copied() else { return Advance::Done };
        if !lock(rows, tx, row, mode(self.op), blocked_on) {
            return Advance::Blocked;
        }
        self.next += 1;
        // It may be another one by now.
        let Some(before) = rows.visible(row, tx.id).filter(|values| matches(self.op, *values)) else {
            return Advance::Progress;
        };
        if let Op::Lock(..) = self.op {
            self.touched.push(before);
            return Advance::Progress;
        }
        let now = changed(self.op, before);
        let same_keys = now.is_some_and(|now| (now.id, now.u) == (before.id, before.u));
        rows.write(tx, row, now, if same_keys { ENTERED } else { 0 });
        self.touched.push(now.unwrap_or(before));
        self.phase = match now {
            None if row.table == Table::Parent => Phase::Children(before.id),
            None => Phase::Row,
            Some(_) if !same_keys => Phase::Unique(row, 0),
            Some(now) if now.pid != before.pid => Phase::ForeignKey(row),
            Some(_) => Phase::Row,
        };
        Advance::Progress
    }

    fn unique(
        &mut self,
        row: RowId,
        index: u8,
        rows: &mut Rows,
        tx: &mut Transaction,
        blocked_on: &mut Vec<TxId>,
    ) -> Advance {
        let Some(values) = rows.visible(row, tx.id) else { return Advance::Failed(SqlState::INTERNAL_ERROR) };
        if index == indexes(row.table) {
            self.phase = Phase::ForeignKey(row);
            return Advance::Progress;
        }
        match key(index, values).map_or(Obstacle::None, |wanted| obstacle(rows, tx.id, row, index, wanted)) {
            Obstacle::InProgress(other) => {
                blocked_on.clear();
                blocked_on.push(other);
                return Advance::Blocked;
            }
            Obstacle::There(_) => return Advance::Failed(state("23505")),
            Obstacle::None => rows.enter(row, index),
        }
        self.phase = Phase::Unique(row, index + 1);
        Advance::Progress
    }

    fn arbiter(&mut self, rows: &mut Rows, tx: &mut Transaction, blocked_on: &mut Vec<TxId>) -> Advance {
        let (values, wanted) = match self.op {
            Op::InsertIgnore(table, values) => (values, 0..indexes(table)),
            Op::UpsertU(values) => (values, 1..2),
            Op::Upsert(_, values) => (values, 0..1),
            _ => return Advance::Done,
        };
        let table = self.op.table();
        let nothing = RowId { table, slot: usize::MAX, generation: 0 };
        for index in wanted {
            match key(index, values).map_or(Obstacle::None, |wanted| obstacle(rows, tx.id, nothing, index, wanted)) {
                Obstacle::None => {}
                Obstacle::InProgress(other) => {
                    blocked_on.clear();
                    blocked_on.push(other);
                    return Advance::Blocked;
                }
                Obstacle::There(_) if matches!(self.op, Op::InsertIgnore(..)) => return Advance::Done,
                Obstacle::There(row) => {
                    self.phase = Phase::Conflict(row);
                    return Advance::Progress;
                }
            }
        }
        self.insert(table, values, rows, tx);
        // In the same step, so that nobody comes in between.
        self.advance(rows, tx, blocked_on)
    }

    fn conflict(&mut self, row: RowId, rows: &mut Rows, tx: &mut Transaction, blocked_on: &mut Vec<TxId>) -> Advance {
        if !lock(rows, tx, row, Mode::NoKeyUpdate, blocked_on) {
            return Advance::Blocked;
        }
        let (index, wanted) = match self.op {
            Op::UpsertU(values) => (1, values),
            Op::Upsert(_, values) => (0, values),
            _ => return Advance::Done,
        };
        let there = rows.visible(row, tx.id).filter(|found| key(index, *found) == key(index, wanted));
        let Some(found) = there else {
            self.phase = Phase::Arbiter;
            return Advance::Progress;
        };
        let v = if index == 1 { found.v + 1 } else { found.v.wrapping_mul(2).wrapping_add(wanted.v) % 1_000_007 };
        let now = Values { v, ..found };
        rows.write(tx, row, Some(now), ENTERED);
        self.touched.push(now);
        Advance::Done
    }

    fn foreign_key(
        &mut self,
        row: RowId,
        rows: &mut Rows,
        tx: &mut Transaction,
        blocked_on: &mut Vec<TxId>,
    ) -> Advance {
        let wanted = rows.visible(row, tx.id).map_or(0, |values| values.pid);
        if row.table == Table::Child && wanted != 0 {
            let is_it = |parent: RowId, rows: &Rows| rows.visible(parent, tx.id).is_some_and(|p| p.id == wanted);
            let found = rows.of(Table::Parent).map(|(parent, _)| parent).find(|parent| is_it(*parent, rows));
            let Some(parent) = found else { return Advance::Failed(state("23503")) };
            if !lock(rows, tx, parent, Mode::KeyShare, blocked_on) {
                return Advance::Blocked;
            }
        }
        match self.op {
            Op::Insert(..) | Op::InsertIgnore(..) | Op::Upsert(..) | Op::UpsertU(_) => Advance::Done,
            _ => {
                self.phase = Phase::Row;
                Advance::Progress
            }
        }
    }

    fn children(&mut self, id: u32, rows: &mut Rows, tx: &mut Transaction, blocked_on: &mut Vec<TxId>) -> Advance {
        let refers = |child: RowId, rows: &Rows| rows.visible(child, tx.id).is_some_and(|c| c.pid == id);
        let found = rows.of(Table::Child).map(|(child, _)| child).find(|child| refers(*child, rows));
        let Some(child) = found else {
            self.phase = Phase::Row;
            return Advance::Progress;
        };
        // Somebody may be about to delete it, or to let it refer to another one.
        if lock(rows, tx, child, Mode::KeyShare, blocked_on) {
            Advance::Failed(state("23503"))
        } else {
            Advance::Blocked
        }
    }
}

/// Who has a key, but `but`.
fn obstacle(rows: &Rows, tx: TxId, but: RowId, index: u8, wanted: u32) -> Obstacle {
    let has = |values: Option<Values>| values.and_then(|values| key(index, values)) == Some(wanted);
    for (row, slot) in rows.of(but.table).filter(|(row, _)| *row != but) {
        match slot.dirty {
            None if has(slot.committed) => return Obstacle::There(row),
            Some(dirty) => {
                let entered = has(dirty.now) && dirty.entered & (1 << index) != 0;
                if dirty.tx == tx && entered {
                    return Obstacle::There(row);
                }
                // (A version that it has deleted again is in progress as well.)
                let put = slot.keys.contains(&(index, wanted));
                if dirty.tx != tx && (put || has(slot.committed)) {
                    return Obstacle::InProgress(dirty.tx);
                }
            }
            None => {}
        }
    }
    Obstacle::None
}

fn mode(op: Op) -> Mode {
    match op {
        Op::Delete(..) | Op::DeleteThird(..) | Op::DeleteU(_) | Op::SetU(..) | Op::SetId(..) | Op::Lock(..) => {
            Mode::Update
        }
        _ => Mode::NoKeyUpdate,
    }
}

fn matches(op: Op, values: Values) -> bool {
    match op {
        Op::Add(_, id, _) | Op::Put(_, id, _) | Op::Delete(_, id) | Op::Lock(_, id) => values.id == id,
        Op::SetU(id, _) | Op::SetId(id, _) | Op::SetPid(id, _) => values.id == id,
        Op::AddEven(_, id, _) => values.id == id && values.v.is_multiple_of(2),
        Op::DeleteThird(_, id) => values.id == id && values.v.is_multiple_of(3),
        Op::DeleteU(u) => values.u == u && u != 0,
        Op::Scan(..) => values.v.is_multiple_of(3),
        Op::Insert(..) | Op::InsertIgnore(..) | Op::Upsert(..) | Op::UpsertU(_) => false,
    }
}

/// The row behind the statement; `None`: deleted.
fn changed(op: Op, before: Values) -> Option<Values> {
    match op {
        Op::Add(_, _, k) | Op::AddEven(_, _, k) => Some(Values { v: (before.v * 3 + k) % 1_000_007, ..before }),
        Op::Scan(_, k) => Some(Values { v: (before.v + k) % 1_000_007, ..before }),
        Op::Put(_, _, v) => Some(Values { v, ..before }),
        Op::SetU(_, u) => Some(Values { u, ..before }),
        Op::SetId(_, id) => Some(Values { id, ..before }),
        Op::SetPid(_, pid) => Some(Values { pid, ..before }),
        Op::Delete(..) | Op::DeleteThird(..) | Op::DeleteU(_) => None,
        Op::Lock(..) | Op::Insert(..) | Op::InsertIgnore(..) | Op::Upsert(..) | Op::UpsertU(_) => Some(before),
    }
}
