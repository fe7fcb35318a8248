//! Which transactions a client runs, drawn from the seed alone.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Lists that are in use at one time.
const HOT_KEYS: i64 = 8;
/// Appends that a list gets on average before the next one takes its place: reads return whole lists.
const LIST_LENGTH: usize = 40;
/// Operations of a transaction.
const OPERATIONS: std::ops::RangeInclusive<usize> = 1..=5;
/// Share of the operations that append.
const APPENDS: f64 = 0.5;
/// Share of the transactions that their client rolls back.
const ROLLED_BACK: f64 = 0.03;

/// How an append is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// INSERT … ON CONFLICT DO UPDATE.
    Upsert,
    /// UPDATE by primary key; the upsert, if there is no such row yet.
    Update,
}

/// One operation to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Append(i64, Form),
    Read(i64),
}

/// One transaction to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// A transaction block; else its one step runs by itself.
    pub(super) is_block: bool,
    pub(super) rolls_back: bool,
}

/// All transactions of one client, one after the other.
#[derive(Debug)]
pub(super) struct Plans {
    chance: StdRng,
    /// Transactions of one client after which the lists are others.
    epoch: usize,
    drawn: usize,
}

impl Plans {
    pub(super) fn new(seed: u64, client: usize, clients: usize) -> Self {
        // All clients together append about `OPERATIONS / 2` elements in each round of transactions.
        let appends = clients * (OPERATIONS.start() + OPERATIONS.end()) / 4;
        let epoch = (HOT_KEYS as usize * LIST_LENGTH / appends.max(1)).max(1);
        let chance = StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(client as u64));
        Self { chance, epoch, drawn: 0 }
    }

    pub(super) fn draw(&mut self) -> Plan {
        let first = (self.drawn / self.epoch) as i64 * HOT_KEYS;
        self.drawn += 1;
        let count = self.chance.random_range(OPERATIONS);
        let steps: Vec<_> = (0..count).map(|_| step(first, &mut self.chance)).collect();
        let is_block = count > 1 || self.chance.random_bool(0.5);
        Plan { steps, is_block, rolls_back: is_block && self.chance.random_bool(ROLLED_BACK) }
    }
}

fn step(first: i64, chance: &mut impl Rng) -> Step {
    let key = first + chance.random_range(0..HOT_KEYS);
    if !chance.random_bool(APPENDS) {
        return Step::Read(key);
    }
    Step::Append(key, if chance.random_bool(0.5) { Form::Upsert } else { Form::Update })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_load() {
        let draw = |seed, client| {
            let mut plans = Plans::new(seed, client, 30);
            (0..100).map(|_| plans.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(8, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
    }
}
