//! Ids from a block that belongs to one session alone. Ids that are never used leave gaps, nothing else.
//!
//! Blocks grow while they are used up quickly, so that a busy session leases rarely, and are thrown away when they are old,
//! so that ids follow the order of time and a consumer need not look far back (see [`crate::floor`]).

use std::time::{Duration, Instant};

/// A block is not used longer than this behind its lease.
pub(crate) const BLOCK_AGE_MAX: Duration = Duration::from_secs(1);
const BLOCK_IDS_FIRST: i64 = 16;
const BLOCK_IDS_MAX: i64 = 4096;

/// The ids that are left of a block; the default is an empty block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    next: i64,
    end: i64,
    size: i64,
    leased_at: Option<Instant>,
}

impl Block {
    /// `count` ids in a row, if the block has them and is young enough.
    pub(crate) fn take(&mut self, count: i64, now: Instant) -> Option<i64> {
        let young = self.leased_at.is_some_and(|at| now.duration_since(at) < BLOCK_AGE_MAX);
        (young && self.end - self.next >= count).then(|| {
            self.next += count;
            self.next - count
        })
    }

    /// How many ids to lease for one that needs `count`.
    pub(crate) fn wanted(&self, count: i64, now: Instant) -> i64 {
        let quick = self.leased_at.is_some_and(|at| now.duration_since(at) < BLOCK_AGE_MAX);
        let size = if quick { (self.size * 2).min(BLOCK_IDS_MAX) } else { BLOCK_IDS_FIRST };
        size.max(count)
    }

    /// The new block: `count` ids that end before `end`, leased by a request that was sent at `asked`.
    pub(crate) fn leased(&mut self, end: i64, count: i64, asked: Instant) {
        *self = Self { next: end - count, end, size: count.min(BLOCK_IDS_MAX), leased_at: Some(asked) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_block_gives_nothing() {
        assert_eq!(Block::default().take(1, Instant::now()), None);
    }

    #[test]
    fn a_block_gives_each_id_once_and_never_part_of_what_is_asked() {
        let (mut block, now) = (Block::default(), Instant::now());
        block.leased(13, 3, now);
        assert_eq!((block.take(2, now), block.take(2, now), block.take(1, now)), (Some(10), None, Some(12)));
    }

    #[test]
    fn an_old_block_gives_nothing_and_the_next_is_small() {
        let (mut block, now) = (Block::default(), Instant::now());
        block.leased(100, 64, now);
        assert_eq!(block.wanted(1, now), 128);
        assert_eq!(block.take(1, now + BLOCK_AGE_MAX), None);
        assert_eq!(block.wanted(1, now + BLOCK_AGE_MAX), BLOCK_IDS_FIRST);
        assert_eq!(block.wanted(50_000, now), 50_000);
    }
}
