//! Which intents a member holds, as its own tables tell (docs/adr/0003).

use std::collections::BTreeSet;

use super::Position;

/// Every intent up to the floor is on the member, and those that are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    floor: Position,
    above: BTreeSet<Position>,
}

impl Applied {
    /// What a member's tables say.
    pub fn new(floor: Position, named: impl IntoIterator<Item = Position>) -> Self {
        Applied { floor, above: named.into_iter().filter(|p| *p > floor).collect() }
    }

    /// Everything up to here is on it.
    pub fn floor(&self) -> Position {
        self.floor
    }

    /// Whether the intent at `position` is on it.
    pub fn holds(&self, position: Position) -> bool {
        position <= self.floor || self.above.contains(&position)
    }

    /// The last intent that it is known to hold.
    pub fn last(&self) -> Position {
        self.above.last().copied().unwrap_or(self.floor)
    }

    /// Intents above the floor.
    pub fn above(&self) -> impl Iterator<Item = Position> {
        self.above.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_floor_and_named() {
        let applied = Applied::new(Position(5), [3, 7, 9].map(Position));
        let held: Vec<u64> = (1..=10).filter(|p| applied.holds(Position(*p))).collect();
        assert_eq!(held, [1, 2, 3, 4, 5, 7, 9]);
        assert_eq!((applied.last(), applied.above().count()), (Position(9), 2));
        assert_eq!(Applied::new(Position(5), []).last(), Position(5));
    }
}
