//! Is the history of one register one that a single copy could have given? The search of Wing and Gong, which remembers
//! where it has been (Lowe): a place is the set of operations that have taken effect, and the value then.
//!
//! An operation takes effect at one moment between its call and its return; one whose outcome is unknown at any moment
//! behind its call, or never.

use std::collections::HashSet;
use std::fmt;

/// Places that a search visits at most; histories of a hundred operations need a few hundred.
const PLACES_MAX: usize = 2_000_000;

/// What an operation did to the register, as far as its client was told. No value means that there is no such row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It read that.
    Read(Option<i64>),
    /// It wrote that, whatever was there.
    Write(i64),
    /// It was to write `new` where `old` stood, and was told whether it did.
    Swap {
        /// Expected.
        old: i64,
        /// Written then.
        new: i64,
        /// Whether it was; not known if the outcome is not.
        done: Option<bool>,
    },
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Moment before it was sent.
    pub called: u64,
    /// Moment behind its answer; none if its outcome is unknown.
    pub returned: Option<u64>,
    /// What it did.
    pub action: Action,
    /// Who did it, for the person who reads a failure.
    pub client: usize,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none; the longest one that the search found has so many of the answered operations.
    Not(usize),
    /// The limit of the search was reached.
    Undecided,
}

/// Where a search is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    taken: Box<[u64]>,
    value: Option<i64>,
    answered: usize,
}

impl Place {
    fn has(&self, operation: usize) -> bool {
        self.taken[operation / 64] & (1 << (operation % 64)) != 0
    }

    fn with(&self, operation: usize, value: Option<i64>, is_answered: bool) -> Self {
        let mut next = self.clone();
        next.taken[operation / 64] |= 1 << (operation % 64);
        next.value = value;
        next.answered += usize::from(is_answered);
        next
    }
}

/// Judges the history of one register that is not there at first.
#[must_use]
pub fn judge(history: &[Operation]) -> Verdict {
    let mut operations = history.to_vec();
    operations.sort_by_key(|operation| operation.called);
    let answered = operations.iter().filter(|operation| operation.returned.is_some()).count();
    let start = Place { taken: vec![0; operations.len().div_ceil(64)].into(), value: None, answered: 0 };
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    let mut longest = 0;
    while let Some(place) = open.pop() {
        longest = longest.max(place.answered);
        if place.answered == answered {
            return Verdict::Linearizable;
        }
        if seen.len() > PLACES_MAX {
            return Verdict::Undecided;
        }
        // The one that was called first is to be tried first.
        for next in successors(&operations, &place).into_iter().rev() {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Verdict::Not(longest)
}

/// Every place behind one more operation: it must have been called before any other that is left had returned.
fn successors(operations: &[Operation], place: &Place) -> Vec<Place> {
    let mut first_return = u64::MAX;
    let mut next = Vec::new();
    for (number, operation) in operations.iter().enumerate().filter(|(number, _)| !place.has(*number)) {
        if operation.called > first_return {
            break;
        }
        first_return = first_return.min(operation.returned.unwrap_or(u64::MAX));
        if let Some(value) = effect(operation.action, place.value) {
            next.push(place.with(number, value, operation.returned.is_some()));
        }
    }
    next
}

/// The value behind an action; none if it could not have been told what it was told.
fn effect(action: Action, value: Option<i64>) -> Option<Option<i64>> {
    match action {
        Action::Read(read) => (read == value).then_some(value),
        Action::Write(written) => Some(Some(written)),
        Action::Swap { old, new, done } => {
            let matches = value == Some(old);
            let is_possible = done.is_none_or(|done| done == matches);
            is_possible.then_some(if matches { Some(new) } else { value })
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.called)?;
        match self.returned {
            Some(returned) => write!(f, "{returned}")?,
            None => f.write_str("?")?,
        }
        write!(f, " client {}: {:?}", self.client, self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations in the order of the list, one behind the other unless times are given.
    fn at(times: (u64, Option<u64>), action: Action) -> Operation {
        Operation { called: times.0, returned: times.1, action, client: 0 }
    }

    fn swap(old: i64, new: i64, done: impl Into<Option<bool>>) -> Action {
        Action::Swap { old, new, done: done.into() }
    }

    #[test]
    fn what_happens_one_after_the_other_is_what_is_told() {
        let history = [
            at((1, Some(2)), Action::Read(None)),
            at((3, Some(4)), Action::Write(1)),
            at((5, Some(6)), Action::Read(Some(1))),
            at((7, Some(8)), swap(1, 2, true)),
            at((9, Some(10)), swap(1, 3, false)),
            at((11, Some(12)), Action::Read(Some(2))),
        ];
        assert_eq!(judge(&history), Verdict::Linearizable);
    }

    #[test]
    fn a_stale_read_is_found() {
        let history = [
            at((1, Some(2)), Action::Write(1)),
            at((3, Some(4)), Action::Write(2)),
            at((5, Some(6)), Action::Read(Some(1))),
        ];
        assert_eq!(judge(&history), Verdict::Not(2));
        // While the write is under way either value may be read, but not the old one behind the new one.
        let during = |first, second| {
            judge(&[
                at((1, Some(2)), Action::Write(1)),
                at((3, Some(9)), Action::Write(2)),
                at((4, Some(5)), Action::Read(Some(first))),
                at((6, Some(7)), Action::Read(Some(second))),
            ])
        };
        assert_eq!(during(1, 2), Verdict::Linearizable);
        assert_eq!(during(2, 1), Verdict::Not(3));
    }

    #[test]
    fn two_swaps_of_one_value_do_not_both_succeed() {
        let both = |second| {
            judge(&[
                at((1, Some(2)), Action::Write(1)),
                at((3, Some(8)), swap(1, 2, true)),
                at((4, Some(7)), swap(1, 3, second)),
            ])
        };
        assert_eq!(both(false), Verdict::Linearizable);
        assert_eq!(both(true), Verdict::Not(2));
    }

    #[test]
    fn an_unknown_outcome_may_be_either_and_at_any_time() {
        let read = |first, second| {
            judge(&[
                at((1, Some(2)), Action::Write(1)),
                at((3, None), Action::Write(2)),
                at((5, Some(6)), Action::Read(Some(first))),
                at((7, Some(8)), Action::Read(Some(second))),
            ])
        };
        assert_eq!(read(1, 1), Verdict::Linearizable);
        assert_eq!(read(1, 2), Verdict::Linearizable);
        assert_eq!(read(2, 2), Verdict::Linearizable);
        assert_eq!(read(2, 1), Verdict::Not(2), "what has taken effect stays");
        let unknown_swap = [
            at((1, Some(2)), Action::Write(1)),
            at((3, None), swap(1, 2, None)),
            at((5, Some(6)), Action::Write(3)),
            at((7, Some(8)), Action::Read(Some(2))),
        ];
        assert_eq!(judge(&unknown_swap), Verdict::Not(2), "there was no 1 to replace any more");
    }

    #[test]
    fn long_histories_are_decided_quickly() {
        let mut history = Vec::new();
        for round in 0..100_u64 {
            let value = round as i64;
            // Eight that overlap, and one of a lost client.
            history.push(at((round * 20, None), Action::Write(-value - 1)));
            history.push(at((round * 20 + 1, Some(round * 20 + 12)), Action::Write(value)));
            for reader in 0..3 {
                history.push(at((round * 20 + 13, Some(round * 20 + 14 + reader)), Action::Read(Some(value))));
            }
        }
        assert_eq!(judge(&history[..200]), Verdict::Linearizable);
    }
}
