//! The recovery log is lost: what the members say of themselves tells which of them are current.
//!
//! A member that is disabled is durably so on the others, as a newer epoch, before any client is told of a commit without it.
//! So every acknowledged transaction is on every member of the newest epoch, and what one of these lacks was acknowledged
//! by nobody. This holds only if a member of the newest epoch is among those that were asked: that is the caller's duty.

use super::{Applied, Position};

/// What the members are to become, by their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// The newest epoch.
    pub epoch: u64,
    /// The last intent that any member names, current or not: positions go on behind it.
    pub newest: Position,
    /// The current member that holds most. To keep what it holds does no harm: nobody was told that it failed.
    pub base: usize,
    /// Current members whose markers are those of the base.
    pub alike: Vec<usize>,
    /// Current members with other markers; their contents may be equal nevertheless.
    pub differing: Vec<usize>,
    /// Members of an older epoch: disabled once, whether they know it or not.
    pub stale: Vec<usize>,
}

impl Adoption {
    /// Decides, from the epoch and the markers of each member. `None`: there is no member.
    #[must_use]
    pub fn of(members: &[(u64, &Applied)]) -> Option<Self> {
        let epoch = members.iter().map(|(epoch, _)| *epoch).max()?;
        let newest = members.iter().map(|(_, applied)| applied.last()).max()?;
        let (current, stale): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(|n| members[*n].0 == epoch);
        // Of several, the first, so that a start that was cut off goes on with the same one.
        let base = current.iter().copied().rev().max_by_key(|n| held(members[*n].1))?;
        let others = current.into_iter().filter(|n| *n != base);
        // A floor stands for positions that it does not name, so only equal floors can be compared.
        let (alike, differing) = others.partition(|n| members[*n].1 == members[base].1);
        Some(Adoption { epoch, newest, base, alike, differing, stale })
    }
}

/// How much a member holds. The floor counts whole, though some of the positions below it are no intents: who has
/// the higher floor holds every intent up to there.
fn held(applied: &Applied) -> u64 {
    applied.floor().0 + applied.above().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(floor: u64, above: &[u64]) -> Applied {
        Applied::new(Position(floor), above.iter().copied().map(Position))
    }

    #[test]
    fn equal_markers_of_one_epoch_are_alike() {
        let a = applied(5, &[7, 9]);
        let found = Adoption::of(&[(3, &a), (3, &a), (3, &a)]).unwrap();
        let expected = Adoption { epoch: 3, newest: Position(9), base: 0, alike: vec![1, 2], ..Adoption::default() };
        assert_eq!(found, expected);
        assert_eq!(Adoption::of(&[]), None);
    }

    #[test]
    fn the_one_with_most_is_the_base_and_other_floors_are_looked_at() {
        let (a, b, c) = (applied(5, &[7]), applied(5, &[7, 9]), applied(9, &[]));
        let found = Adoption::of(&[(1, &a), (1, &b), (1, &c)]).unwrap();
        assert_eq!((found.base, found.alike, found.differing), (2, vec![], vec![0, 1]));
        let found = Adoption::of(&[(1, &a), (1, &b)]).unwrap();
        assert_eq!((found.base, found.differing), (1, vec![0]));
    }

    #[test]
    fn an_older_epoch_is_stale_however_much_it_holds() {
        let (old, new) = (applied(500, &[501]), applied(5, &[]));
        let found = Adoption::of(&[(2, &old), (3, &new)]).unwrap();
        assert_eq!((found.base, found.stale, found.newest), (1, vec![0], Position(501)));
    }
}
