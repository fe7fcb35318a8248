//! Rows of one member: the committed version, at most one that is not committed, and who holds locks on it.

use std::collections::BTreeMap;

use super::locks::Mode;
use super::transactions::{Transaction, TxId, Undo};
use crate::random::mix;
use crate::statement::{TABLES, Table, Values};

/// A row; its slot may be used again, under another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowId {
    pub table: Table,
    pub slot: usize,
    pub generation: u32,
}

/// What a transaction has made of a row and not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirty {
    pub tx: TxId,
    /// `None`: deleted.
    pub now: Option<Values>,
    /// Bit n: the present version stands in unique index n.
    pub entered: u8,
}

/// A place for a row.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    pub generation: u32,
    pub committed: Option<Values>,
    pub dirty: Option<Dirty>,
    pub locks: Vec<(TxId, Mode)>,
    /// What its uncommitted versions, the earlier ones too, have put into unique indexes: others wait for all of it.
    pub keys: Vec<(u8, u32)>,
}

/// All rows of a member.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    slots: [Vec<Slot>; 4],
    /// For each row that was ever written, a hash of the transactions that have written it, in the order of commit.
    pub chains: BTreeMap<(Table, u32), u64>,
}

/// All versions stand in all indexes.
pub const ENTERED: u8 = u8::MAX;

/// Unique indexes of a table.
pub fn indexes(table: Table) -> u8 {
    match table {
        Table::Parent | Table::Item => 1,
        Table::Child => 2,
        Table::Note => 0,
    }
}

/// What stands in an index; `None`: NULL.
pub fn key(index: u8, values: Values) -> Option<u32> {
    if index == 0 { Some(values.id) } else { Some(values.u).filter(|u| *u != 0) }
}

impl Rows {
    pub fn slot(&self, row: RowId) -> &Slot {
        &self.slots[row.table as usize][row.slot]
    }

    pub fn slot_mut(&mut self, row: RowId) -> &mut Slot {
        &mut self.slots[row.table as usize][row.slot]
    }

    /// Places that hold, or are about to hold, a row.
    pub fn of(&self, table: Table) -> impl Iterator<Item = (RowId, &Slot)> {
        let used = |slot: &&Slot| slot.committed.is_some() || slot.dirty.is_some();
        self.slots[table as usize]
            .iter()
            .enumerate()
            .map(move |(n, slot)| (RowId { table, slot: n, generation: slot.generation }, slot))
            .filter(move |(_, slot)| used(slot))
    }

    /// The row as the transaction sees it now.
    pub fn visible(&self, row: RowId, tx: TxId) -> Option<Values> {
        let slot = self.slot(row);
        if slot.generation != row.generation {
            return None;
        }
        match slot.dirty {
            Some(dirty) if dirty.tx == tx => dirty.now,
            _ => slot.committed,
        }
    }

    /// A new row of this transaction, in no index yet.
    pub fn insert(&mut self, tx: &mut Transaction, table: Table, values: Values) -> RowId {
        let slots = &mut self.slots[table as usize];
        let free = |slot: &Slot| slot.committed.is_none() && slot.dirty.is_none() && slot.locks.is_empty();
        let slot = slots.iter().position(free).unwrap_or(slots.len());
        if slot == slots.len() {
            slots.push(Slot::default());
        }
        slots[slot].generation += 1;
        let row = RowId { table, slot, generation: slots[slot].generation };
        tx.undo.push(Undo::Lock(row, None));
        slots[slot].locks.push((tx.id, Mode::Update));
        self.write(tx, row, Some(values), 0);
        row
    }

    /// A new version; the lock is held.
    pub fn write(&mut self, tx: &mut Transaction, row: RowId, now: Option<Values>, entered: u8) {
        let slot = self.slot_mut(row);
        tx.undo.push(Undo::Dirty(row, slot.dirty, slot.keys.len()));
        slot.dirty = Some(Dirty { tx: tx.id, now, entered });
    }

    /// The present version stands in one more index.
    pub fn enter(&mut self, row: RowId, index: u8) {
        let slot = self.slot_mut(row);
        if let Some(dirty) = &mut slot.dirty {
            dirty.entered |= 1 << index;
            slot.keys.extend(dirty.now.and_then(|now| key(index, now)).map(|key| (index, key)));
        }
    }

    /// What a row's transaction has made of it counts from now on.
    pub fn commit(&mut self, row: RowId, origin: u64) {
        let slot = self.slot_mut(row);
        let Some(dirty) = slot.dirty.take() else { return };
        slot.keys.clear();
        let before = std::mem::replace(&mut slot.committed, dirty.now);
        for values in [before, dirty.now].into_iter().flatten() {
            let chain = self.chains.entry((row.table, values.id)).or_default();
            *chain = mix(*chain, origin);
        }
    }

    /// The committed rows of a table, in order.
    pub fn contents(&self, table: Table) -> Vec<Values> {
        let mut all: Vec<Values> = self.of(table).filter_map(|(_, slot)| slot.committed).collect();
        all.sort_unstable();
        all
    }

    /// Where two members differ; `None`: nowhere.
    pub fn difference(&self, other: &Rows) -> Option<String> {
        for table in TABLES {
            let (mine, theirs) = (self.contents(table), other.contents(table));
            if mine != theirs {
                let only =
                    |a: &[Values], b: &[Values]| a.iter().filter(|x| !b.contains(x)).copied().collect::<Vec<_>>();
                return Some(format!("{table:?}: {:?} against {:?}", only(&mine, &theirs), only(&theirs, &mine)));
            }
        }
        let order = self.chains.iter().find(|(row, chain)| other.chains.get(row) != Some(chain));
        let order = order.or_else(|| other.chains.iter().find(|(row, _)| !self.chains.contains_key(row)));
        order.map(|(row, _)| format!("the order of commits on {row:?}"))
    }

    /// Nothing of open transactions is left: the server has crashed.
    pub fn crash(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.dirty = None;
            slot.keys.clear();
            slot.locks.clear();
        }
    }
}
