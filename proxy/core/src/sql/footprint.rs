//! Which rows a transaction wrote or a statement reads, as coarse as it must be and as fine as it can be.
//!
//! Two rules of the write path need it (DESIGN.md §3 rule 2 and §6): a follower runs a statement only when
//! the commits in flight there that wrote *the same rows or what depends on them* are finished, and a strict
//! read waits for the commits in flight that wrote what it reads.

use crate::ids::ConflictGroup;

/// The rows of one conflict group that are touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Anything in the group.
    All,
    /// Rows of the group's only table, named by the hash of their primary key. Only used where the table has
    /// no other unique index, no foreign key in or out, no trigger, no partition and no inheritance, and the statement
    /// does not change the key: then statements on different keys cannot see each other.
    Keys(Vec<u64>),
    /// New rows in a table without any unique index: they can meet only [`Rows::All`].
    Append,
}

/// One group and its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The group.
    pub group: ConflictGroup,
    /// What of it.
    pub rows: Rows,
}

/// What a statement or a whole transaction touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Footprint {
    /// Nothing that another transaction could see.
    #[default]
    Nothing,
    /// These groups.
    Touches(Vec<Touch>),
    /// Everything: DDL and what cannot be told.
    Everything,
}

impl Rows {
    fn conflicts(&self, other: &Rows) -> bool {
        match (self, other) {
            (Rows::All, _) | (_, Rows::All) => true,
            (Rows::Keys(a), Rows::Keys(b)) => a.iter().any(|key| b.contains(key)),
            // A table with keys has a unique index and never gets `Append`; if a catalog changed in
            // between, waiting is the safe answer.
            (Rows::Append, Rows::Keys(_)) | (Rows::Keys(_), Rows::Append) => true,
            (Rows::Append, Rows::Append) => false,
        }
    }

    fn absorb(&mut self, other: Rows, keys_max: usize) {
        let merged = match (std::mem::replace(self, Rows::All), other) {
            (Rows::Keys(mut a), Rows::Keys(b)) => {
                a.extend(b);
                if a.len() > keys_max { Rows::All } else { Rows::Keys(a) }
            }
            (Rows::Append, Rows::Append) => Rows::Append,
            _ => Rows::All,
        };
        *self = merged;
    }
}

/// More keys than this in one transaction are widened to the whole group.
pub const FOOTPRINT_KEYS_MAX: usize = 64;

impl Footprint {
    /// A footprint of one group.
    #[must_use]
    pub fn one(group: ConflictGroup, rows: Rows) -> Self {
        Footprint::Touches(vec![Touch { group, rows }])
    }

    /// Whether nothing is touched.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Footprint::Nothing)
    }

    /// Whether it is one row, named by its key.
    #[must_use]
    pub fn is_one_row(&self) -> bool {
        matches!(self, Footprint::Touches(touches)
            if matches!(&touches[..], [Touch { rows: Rows::Keys(keys), .. }] if keys.len() == 1))
    }

    /// Whether it names rows: what conflicts with it does so on a row.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        match self {
            Footprint::Nothing => true,
            Footprint::Touches(touches) => touches.iter().all(|touch| !matches!(touch.rows, Rows::All)),
            Footprint::Everything => false,
        }
    }

    /// Whether the two can meet on a row.
    #[must_use]
    pub fn conflicts(&self, other: &Footprint) -> bool {
        match (self, other) {
            (Footprint::Nothing, _) | (_, Footprint::Nothing) => false,
            (Footprint::Everything, _) | (_, Footprint::Everything) => true,
            (Footprint::Touches(a), Footprint::Touches(b)) => {
                a.iter().any(|x| b.iter().any(|y| x.group == y.group && x.rows.conflicts(&y.rows)))
            }
        }
    }

    /// Adds what another statement touches.
    pub fn absorb(&mut self, other: Footprint) {
        match (&mut *self, other) {
            (_, Footprint::Nothing) | (Footprint::Everything, _) => {}
            (_, Footprint::Everything) => *self = Footprint::Everything,
            (Footprint::Nothing, other) => *self = other,
            (Footprint::Touches(mine), Footprint::Touches(theirs)) => {
                for touch in theirs {
                    match mine.iter_mut().find(|t| t.group == touch.group) {
                        Some(existing) => existing.rows.absorb(touch.rows, FOOTPRINT_KEYS_MAX),
                        None => mine.push(touch),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(k: &[u64]) -> Footprint {
        Footprint::one(ConflictGroup(1), Rows::Keys(k.to_vec()))
    }

    #[test]
    fn different_keys_do_not_meet() {
        assert!(!keys(&[1]).conflicts(&keys(&[2])));
        assert!(keys(&[1, 2]).conflicts(&keys(&[2])));
        assert!(keys(&[1]).conflicts(&Footprint::one(ConflictGroup(1), Rows::All)));
        assert!(!keys(&[1]).conflicts(&Footprint::one(ConflictGroup(2), Rows::All)));
        assert!(keys(&[1]).conflicts(&Footprint::Everything));
        assert!(!Footprint::Nothing.conflicts(&Footprint::Everything));
    }

    #[test]
    fn appends_meet_only_all() {
        let append = Footprint::one(ConflictGroup(1), Rows::Append);
        assert!(!append.conflicts(&append));
        assert!(append.conflicts(&Footprint::one(ConflictGroup(1), Rows::All)));
        assert!(append.conflicts(&keys(&[1])));
    }

    #[test]
    fn absorbing_widens() {
        let mut f = Footprint::Nothing;
        f.absorb(keys(&[1]));
        f.absorb(keys(&[2]));
        assert_eq!(f, keys(&[1, 2]));
        f.absorb(Footprint::one(ConflictGroup(1), Rows::Append));
        assert_eq!(f, Footprint::one(ConflictGroup(1), Rows::All));
        let mut many = keys(&(0..60).collect::<Vec<_>>());
        many.absorb(keys(&(60..70).collect::<Vec<_>>()));
        assert_eq!(many, Footprint::one(ConflictGroup(1), Rows::All));
        many.absorb(Footprint::Everything);
        assert_eq!(many, Footprint::Everything);
    }
}
