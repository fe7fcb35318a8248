//! How far everything is finished.

use std::collections::BTreeSet;

use super::Position;

/// Positions are finished in any order; this tells up to where all are.
#[derive(Clone, Debug, Default)]
pub struct FinishedPrefix {
    end: Position,
    beyond: BTreeSet<Position>,
}

impl FinishedPrefix {
    /// Everything up to `end` is finished.
    pub fn new(end: Position) -> Self {
        FinishedPrefix { end, beyond: BTreeSet::new() }
    }

    /// One more is finished.
    pub fn finish(&mut self, position: Position) {
        if position <= self.end {
            return;
        }
        self.beyond.insert(position);
        while self.beyond.first() == Some(&self.end.next()) {
            self.end = self.end.next();
            self.beyond.pop_first();
        }
    }

    /// Everything up to `end` is finished.
    pub fn raise(&mut self, end: Position) {
        self.end = self.end.max(end);
        self.beyond.retain(|position| *position > end);
        while self.beyond.first() == Some(&self.end.next()) {
            self.end = self.end.next();
            self.beyond.pop_first();
        }
    }

    /// Everything up to here is finished.
    pub fn end(&self) -> Position {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_keeps_what_is_beyond() {
        let mut prefix = FinishedPrefix::new(Position(10));
        prefix.finish(Position(13));
        prefix.finish(Position(15));
        prefix.raise(Position(12));
        assert_eq!(prefix.end(), Position(13));
        prefix.raise(Position(3));
        prefix.finish(Position(14));
        assert_eq!(prefix.end(), Position(15));
    }

    #[test]
    fn a_gap_holds_it_up() {
        let mut prefix = FinishedPrefix::new(Position(10));
        for (position, end) in [(12, 10), (13, 10), (11, 13), (5, 13), (14, 14)] {
            prefix.finish(Position(position));
            assert_eq!(prefix.end(), Position(end));
        }
    }
}
