//! Row locks of one member, in three of PostgreSQL's four modes.

use super::rows::{RowId, Rows};
use super::transactions::{Transaction, TxId, Undo};

/// How a row is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A child references it.
    KeyShare,
    /// UPDATE that leaves the keys alone.
    NoKeyUpdate,
    /// DELETE, UPDATE of a key, FOR UPDATE.
    Update,
}

impl Mode {
    fn conflicts(self, other: Mode) -> bool {
        match (self, other) {
            (Mode::KeyShare, Mode::KeyShare | Mode::NoKeyUpdate) | (Mode::NoKeyUpdate, Mode::KeyShare) => false,
            (Mode::Update, _) | (_, Mode::Update) | (Mode::NoKeyUpdate, Mode::NoKeyUpdate) => true,
        }
    }
}

/// Locks the row, or puts into `blocked_on` who has to end first.
pub fn lock(rows: &mut Rows, tx: &mut Transaction, row: RowId, mode: Mode, blocked_on: &mut Vec<TxId>) -> bool {
    let slot = rows.slot_mut(row);
    if slot.generation != row.generation {
        // Gone, and its place is another row's.
        return true;
    }
    blocked_on.clear();
    blocked_on
        .extend(slot.locks.iter().filter(|(who, held)| *who != tx.id && mode.conflicts(*held)).map(|(who, _)| *who));
    if !blocked_on.is_empty() {
        return false;
    }
    match slot.locks.iter_mut().find(|(who, _)| *who == tx.id) {
        Some((_, held)) if *held >= mode => {}
        Some((_, held)) => {
            tx.undo.push(Undo::Lock(row, Some(*held)));
            *held = mode;
        }
        None => {
            tx.undo.push(Undo::Lock(row, None));
            slot.locks.push((tx.id, mode));
        }
    }
    true
}

/// What a row's lock was before.
pub fn unlock(rows: &mut Rows, tx: TxId, row: RowId, before: Option<Mode>) {
    let locks = &mut rows.slot_mut(row).locks;
    match before {
        Some(mode) => locks.iter_mut().filter(|(who, _)| *who == tx).for_each(|(_, held)| *held = mode),
        None => locks.retain(|(who, _)| *who != tx),
    }
}
