//! Whether somebody has overtaken a transaction: has been given, by the lead, rows that this one still counts on.
//!
//! The order of two transactions on one row is that in which the lead gave them its lock. A transaction keeps the locks of
//! what it has written up to its COMMIT, *unless its connection to the lead is lost*, which a session may learn later than
//! whoever waited for the lock. So when it is about to be decided it is asked whether a commit that touches the same rows
//! was registered since the lead has answered: while the lock was held there can be none.
//!
//! This is exact only where footprints name rows ([`Footprint::is_exact`]); for others the answer is [`Order::Unknown`], and
//! the lead itself has to be asked.

use std::collections::VecDeque;

use crate::ids::CommitSeq;
use crate::sql::footprint::Footprint;

/// Statements of one transaction that are remembered; a longer one asks the lead.
const STATEMENTS_MAX: usize = 16;
/// Commits that are remembered; a transaction that has seen more than these pass asks the lead.
const COMMITS_MAX: usize = 1024;

/// What a transaction has touched, and how many commits had been registered when the lead answered each statement.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    statements: Vec<(CommitSeq, Footprint)>,
    rough: bool,
}

impl Seen {
    /// The lead has answered a statement; `next`: the number of the next commit.
    pub fn add(&mut self, next: CommitSeq, footprint: &Footprint) {
        if footprint.is_nothing() || self.rough {
            return;
        }
        if self.statements.len() == STATEMENTS_MAX || !footprint.is_exact() {
            self.roughly();
        } else {
            self.statements.push((next, footprint.clone()));
        }
    }

    /// Whether what it has touched is what it holds.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.rough
    }

    /// A part was undone, and its locks are given back: what is remembered is not what is held.
    pub fn roughly(&mut self) {
        self.rough = true;
        self.statements = Vec::new();
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nobody has touched the rows since.
    Kept,
    /// Somebody has: the lock was lost.
    Overtaken,
    /// Only the lead can tell.
    Unknown,
}

/// The commits that were registered last.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// Footprint, and whether each row that it names was held up to here.
    recent: VecDeque<(Footprint, bool)>,
    next: u64,
}

impl Registered {
    /// The number of the next commit.
    #[must_use]
    pub fn next(&self) -> CommitSeq {
        CommitSeq(self.next)
    }

    /// One more commit; its number. `held`: [`Seen::is_exact`] of its transaction. Otherwise it may name rows that it gave back
    /// long before (ROLLBACK TO SAVEPOINT), which others have got in good order.
    pub fn add(&mut self, footprint: Footprint, held: bool) -> CommitSeq {
        if self.recent.len() == COMMITS_MAX {
            self.recent.pop_front();
        }
        let exact = held && footprint.is_exact();
        self.recent.push_back((footprint, exact));
        self.next += 1;
        CommitSeq(self.next - 1)
    }

    /// The commit had no effect.
    pub fn forget(&mut self, seq: CommitSeq) {
        let oldest = self.next - self.recent.len() as u64;
        let place = seq.0.checked_sub(oldest).and_then(|place| usize::try_from(place).ok());
        if let Some((footprint, _)) = place.and_then(|place| self.recent.get_mut(place)) {
            *footprint = Footprint::Nothing;
        }
    }

    /// Whether the transaction still stands where the lead has put it.
    #[must_use]
    pub fn order(&self, seen: &Seen) -> Order {
        if seen.rough {
            return Order::Unknown;
        }
        let oldest = self.next - self.recent.len() as u64;
        let mut order = Order::Kept;
        for (next, footprint) in &seen.statements {
            let Some(passed) = next.0.checked_sub(oldest) else { return Order::Unknown };
            let later = self.recent.iter().skip(usize::try_from(passed).unwrap_or(usize::MAX));
            for (_, exact) in later.filter(|(other, _)| other.conflicts(footprint)) {
                if *exact {
                    return Order::Overtaken;
                }
                order = Order::Unknown;
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConflictGroup;
    use crate::sql::footprint::Rows;

    fn row(key: u64) -> Footprint {
        Footprint::one(ConflictGroup(1), Rows::Keys(vec![key]))
    }

    fn group() -> Footprint {
        Footprint::one(ConflictGroup(1), Rows::All)
    }

    #[test]
    fn a_commit_on_the_same_row_behind_the_answer_has_overtaken() {
        let (mut registered, mut seen) = (Registered::default(), Seen::default());
        registered.add(row(1), true);
        seen.add(registered.next(), &row(1));
        assert_eq!(registered.order(&seen), Order::Kept, "that was before");
        registered.add(row(2), true);
        assert_eq!(registered.order(&seen), Order::Kept, "another row");
        // The row of a later statement may have been written before that.
        seen.add(registered.next(), &row(2));
        assert_eq!(registered.order(&seen), Order::Kept);
        registered.add(row(2), true);
        assert_eq!(registered.order(&seen), Order::Overtaken);
    }

    #[test]
    fn what_names_no_rows_is_unknown() {
        let (mut registered, mut seen) = (Registered::default(), Seen::default());
        seen.add(registered.next(), &row(1));
        registered.add(group(), true);
        assert_eq!(registered.order(&seen), Order::Unknown, "it may have been another row");
        let mut rough = Seen::default();
        rough.add(registered.next(), &group());
        assert_eq!(registered.order(&rough), Order::Unknown);
        let mut undone = Seen::default();
        undone.add(registered.next(), &row(1));
        undone.roughly();
        assert_eq!(registered.order(&undone), Order::Unknown);
    }

    #[test]
    fn who_has_given_rows_back_has_perhaps_overtaken_nobody() {
        let (mut registered, mut seen) = (Registered::default(), Seen::default());
        seen.add(registered.next(), &row(1));
        registered.add(row(1), false);
        assert_eq!(registered.order(&seen), Order::Unknown);
    }

    #[test]
    fn the_limits_end_in_unknown() {
        let (mut registered, mut seen) = (Registered::default(), Seen::default());
        seen.add(registered.next(), &row(1));
        for key in 2..=COMMITS_MAX as u64 + 1 {
            registered.add(row(key), true);
        }
        assert_eq!(registered.order(&seen), Order::Kept);
        registered.add(row(2), true);
        assert_eq!(registered.order(&seen), Order::Unknown, "one commit is forgotten");
        let mut long = Seen::default();
        (0..=STATEMENTS_MAX as u64).for_each(|key| long.add(registered.next(), &row(key)));
        assert_eq!(registered.order(&long), Order::Unknown);
    }

    #[test]
    fn new_rows_without_keys_overtake_nobody() {
        let append = Footprint::one(ConflictGroup(2), Rows::Append);
        let (mut registered, mut seen) = (Registered::default(), Seen::default());
        seen.add(registered.next(), &append);
        registered.add(append, true);
        assert_eq!(registered.order(&seen), Order::Kept);
    }
}
