//! Transactions of one member: what they have done, so that it can be undone, up to a savepoint or whole.

use std::collections::BTreeSet;

use super::locks::{Mode, unlock};
use super::rows::{Dirty, RowId, Rows};

/// A transaction of one member.
pub type TxId = u32;

/// One thing that was done.
#[derive(Clone, Copy, Debug)]
pub enum Undo {
    /// A lock, with what was held before.
    Lock(RowId, Option<Mode>),
    /// A version, with the one before, and how many keys had been put into indexes.
    Dirty(RowId, Option<Dirty>, usize),
    /// A marker.
    Marker,
}

/// An open transaction.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub id: TxId,
    pub undo: Vec<Undo>,
    pub savepoints: Vec<(u8, usize)>,
    /// An error has undone it up to its innermost savepoint; only a rollback is accepted.
    pub failed: bool,
    /// Markers of the recovery log.
    pub markers: Vec<u64>,
    /// The clients' transactions whose statements it has run (the checker's knowledge, not the server's).
    pub origins: BTreeSet<u32>,
}

impl Transaction {
    pub fn savepoint(&mut self, name: u8) {
        self.savepoints.push((name, self.undo.len()));
    }

    /// A statement failed.
    pub fn fail(&mut self, rows: &mut Rows) {
        let mark = self.savepoints.last().map_or(0, |(_, mark)| *mark);
        self.undo_to(mark, rows);
        self.failed = true;
    }

    /// False: there is no such savepoint.
    pub fn rollback_to(&mut self, name: u8, rows: &mut Rows) -> bool {
        let Some(at) = self.savepoints.iter().rposition(|(other, _)| *other == name) else { return false };
        let mark = self.savepoints[at].1;
        self.savepoints.truncate(at + 1);
        self.undo_to(mark, rows);
        self.failed = false;
        true
    }

    pub fn rollback(&mut self, rows: &mut Rows) {
        self.undo_to(0, rows);
    }

    fn undo_to(&mut self, mark: usize, rows: &mut Rows) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Lock(row, before)) => unlock(rows, self.id, row, before),
                Some(Undo::Dirty(row, before, keys)) => {
                    let slot = rows.slot_mut(row);
                    slot.dirty = before;
                    slot.keys.truncate(keys);
                }
                Some(Undo::Marker) => drop(self.markers.pop()),
                None => {}
            }
        }
    }

    /// What it did counts from now on. (A batch of a replay names its first origin in the chains of all its rows only if it has
    /// one origin; see `Server::commit`.)
    pub fn commit(&mut self, rows: &mut Rows) {
        let origin = self.origins.iter().fold(0, |sum, origin| sum + u64::from(*origin));
        for at in 0..self.undo.len() {
            if let Undo::Dirty(row, ..) = self.undo[at] {
                rows.commit(row, origin);
            }
        }
        for undo in std::mem::take(&mut self.undo) {
            if let Undo::Lock(row, _) = undo {
                unlock(rows, self.id, row, None);
            }
        }
    }
}
