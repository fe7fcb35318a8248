//! Advisory locks of a session: which, how often, and what makes one connection hold what another one holds.
//!
//! They nest: a lock that was taken twice is given back twice. Keys of one and of two integers are different locks, as
//! in PostgreSQL.

use std::collections::BTreeMap;
use std::fmt;

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKey {
    /// `pg_advisory_lock(bigint)`.
    One(i64),
    /// `pg_advisory_lock(int, int)`.
    Two(i32, i32),
}

impl LockKey {
    /// From the arguments of a call; `None`: they are too many, or out of range.
    #[must_use]
    pub fn of(arguments: &[i64]) -> Option<Self> {
        match arguments {
            [key] => Some(LockKey::One(*key)),
            [class, key] => Some(LockKey::Two(i32::try_from(*class).ok()?, i32::try_from(*key).ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With casts: a bare constant that fits an int would be another function's argument.
        match self {
            LockKey::One(key) => write!(f, "'{key}'::bigint"),
            LockKey::Two(class, key) => write!(f, "'{class}'::int,'{key}'::int"),
        }
    }
}

/// An advisory lock in one of its two modes; PostgreSQL counts the modes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvisoryLock {
    /// What is locked.
    pub key: LockKey,
    /// Others may share it.
    pub shared: bool,
}

impl AdvisoryLock {
    fn suffix(self) -> &'static str {
        if self.shared { "_shared" } else { "" }
    }

    /// Takes it until the transaction ends.
    #[must_use]
    pub fn transaction_sql(self) -> String {
        format!("SELECT pg_catalog.pg_advisory_xact_lock{}({})", self.suffix(), self.key)
    }
}

/// One step by which a connection comes to hold what it shall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStep {
    /// Take it once more.
    Take(AdvisoryLock),
    /// Give it back once.
    GiveBack(AdvisoryLock),
}

impl LockStep {
    /// As SQL, for a session's lock.
    #[must_use]
    pub fn sql(self) -> String {
        match self {
            LockStep::Take(lock) => format!("SELECT pg_catalog.pg_advisory_lock{}({})", lock.suffix(), lock.key),
            LockStep::GiveBack(lock) => format!("SELECT pg_catalog.pg_advisory_unlock{}({})", lock.suffix(), lock.key),
        }
    }
}

/// Locks that a session holds, or one connection of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldLocks(BTreeMap<AdvisoryLock, u32>);

impl HeldLocks {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Different locks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn holds(&self, lock: AdvisoryLock) -> bool {
        self.0.contains_key(&lock)
    }

    /// Whether all of `wanted` are among these, as often.
    #[must_use]
    pub fn cover(&self, wanted: &HeldLocks) -> bool {
        wanted.0.iter().all(|(lock, count)| self.0.get(lock).is_some_and(|held| held >= count))
    }

    /// A step was carried out.
    pub fn apply(&mut self, step: LockStep) {
        match step {
            LockStep::Take(lock) => *self.0.entry(lock).or_insert(0) += 1,
            LockStep::GiveBack(lock) => {
                if let Some(count) = self.0.get_mut(&lock) {
                    *count -= 1;
                    if *count == 0 {
                        self.0.remove(&lock);
                    }
                }
            }
        }
    }

    /// All are given back.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The first steps, at most `most`, from these to `wanted`. Those that give back come first: nobody waits for them.
    #[must_use]
    pub fn steps_to(&self, wanted: &HeldLocks, most: usize) -> Vec<LockStep> {
        let surplus = |from: &HeldLocks, to: &HeldLocks, step: fn(AdvisoryLock) -> LockStep| {
            let mut steps = Vec::new();
            for (lock, count) in &from.0 {
                let more = count.saturating_sub(to.0.get(lock).copied().unwrap_or(0));
                steps.extend((0..more).take(most.saturating_sub(steps.len())).map(|_| step(*lock)));
            }
            steps
        };
        let mut steps = surplus(self, wanted, LockStep::GiveBack);
        steps.extend(surplus(wanted, self, LockStep::Take));
        steps.truncate(most);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AdvisoryLock = AdvisoryLock { key: LockKey::One(-7), shared: false };
    const B: AdvisoryLock = AdvisoryLock { key: LockKey::Two(1, 2), shared: true };

    #[test]
    fn locks_nest() {
        let mut held = HeldLocks::default();
        held.apply(LockStep::Take(A));
        held.apply(LockStep::Take(A));
        held.apply(LockStep::GiveBack(A));
        assert!(held.holds(A));
        held.apply(LockStep::GiveBack(A));
        held.apply(LockStep::GiveBack(A));
        assert!(held.is_empty());
    }

    #[test]
    fn a_connection_gets_what_it_lacks_and_gives_back_what_is_too_much() {
        let (mut held, mut wanted) = (HeldLocks::default(), HeldLocks::default());
        held.apply(LockStep::Take(B));
        wanted.apply(LockStep::Take(A));
        wanted.apply(LockStep::Take(A));
        assert!(!held.cover(&wanted));
        let steps = held.steps_to(&wanted, 10);
        assert_eq!(steps, [LockStep::GiveBack(B), LockStep::Take(A), LockStep::Take(A)]);
        assert_eq!(held.steps_to(&wanted, 2), steps[..2]);
        steps.into_iter().for_each(|step| held.apply(step));
        assert_eq!(held, wanted);
        assert!(held.steps_to(&wanted, 10).is_empty());
        held.apply(LockStep::Take(B));
        assert!(held.cover(&wanted));
    }

    #[test]
    fn sql() {
        assert_eq!(A.transaction_sql(), "SELECT pg_catalog.pg_advisory_xact_lock('-7'::bigint)");
        assert_eq!(LockStep::Take(B).sql(), "SELECT pg_catalog.pg_advisory_lock_shared('1'::int,'2'::int)");
        assert_eq!(LockStep::GiveBack(A).sql(), "SELECT pg_catalog.pg_advisory_unlock('-7'::bigint)");
        assert_eq!(LockKey::of(&[1, 1 << 40]), None);
        assert_eq!(LockKey::of(&[]), None);
    }
}
