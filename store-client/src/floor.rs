//! Below which id nothing new is to be expected, so that a consumer need not read past what it has removed already.
//!
//! Removed rows stay in an index until no transaction is left that could see them, and a lock that is held in an open
//! transaction for days keeps all of them: paging from the front would pass over each again. Ids are leased from a
//! counter, and a block is used for at most [`BLOCK_AGE_MAX`]; so an id below what the counter showed a while ago is either
//! visible by now or late. Late ones are found too, by a look from the front every [`LOOK_BACK_EVERY`]: the floor is a matter of speed,
//! and nothing is lost if a clock or a transaction runs late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::block::BLOCK_AGE_MAX;

/// Time from the lease of an id to the commit of its message, as it is expected.
const SETTLED_AFTER: Duration = Duration::from_secs(BLOCK_AGE_MAX.as_secs() + 4);
/// From one look from the front to the next.
const LOOK_BACK_EVERY: Duration = Duration::from_secs(5);
/// Counters are remembered at this distance.
const REMEMBER_EVERY: Duration = Duration::from_millis(500);

/// What one consumer knows of one queue.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    /// What the counter showed, and when; the oldest first.
    counters: VecDeque<(Instant, i64)>,
    settled: i64,
    floor: i64,
    looked_back: Option<Instant>,
}

/// Where to begin to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// Ids above this.
    pub(crate) after: i64,
    whole: bool,
}

impl Floor {
    /// Where a page that is read at `now` begins.
    pub(crate) fn start(&mut self, now: Instant) -> Start {
        let due = self.looked_back.is_none_or(|at| now.duration_since(at) >= LOOK_BACK_EVERY);
        if due {
            self.looked_back = Some(now);
        }
        Start { after: if due { 0 } else { self.floor }, whole: due }
    }

    /// A page was read from `start`: the first id that it held (claimed ones included), and what the counter showed at that time.
    pub(crate) fn saw(&mut self, start: Start, first: Option<i64>, counter: i64, now: Instant) {
        if self.counters.back().is_none_or(|(at, _)| now.duration_since(*at) >= REMEMBER_EVERY) {
            self.counters.push_back((now, counter));
        }
        while let Some((at, counter)) = self.counters.front().copied()
            && now.duration_since(at) >= SETTLED_AFTER
        {
            self.settled = counter - 1;
            self.counters.pop_front();
        }
        let below_first = first.map_or(i64::MAX, |id| id - 1).min(self.settled);
        // A late one that was found from the front is there until it is removed.
        self.floor = if start.whole { below_first } else { below_first.max(self.floor) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_floor_follows_what_is_settled_and_never_passes_a_message() {
        let (mut floor, begin) = (Floor::default(), Instant::now());
        let first = floor.start(begin);
        assert_eq!(first.after, 0);
        floor.saw(first, None, 101, begin);
        let early = floor.start(at(begin, 1));
        assert_eq!(early.after, 0, "ids up to 100 may still come");
        floor.saw(early, Some(50), 201, at(begin, 5));
        let whole = floor.start(at(begin, 6));
        floor.saw(whole, Some(50), 201, at(begin, 6));
        assert_eq!(floor.start(at(begin, 7)).after, 49);
        floor.saw(floor_start(49), None, 301, at(begin, 7));
        assert_eq!(floor.start(at(begin, 7)).after, 100);
    }

    #[test]
    fn a_look_from_the_front_finds_late_ones_and_keeps_them() {
        let (mut floor, begin) = (Floor::default(), Instant::now());
        let start = floor.start(begin);
        floor.saw(start, None, 101, begin);
        floor.saw(floor_start(0), None, 101, at(begin, 6));
        floor.looked_back = Some(at(begin, 6));
        assert_eq!(floor.start(at(begin, 7)).after, 100);
        let whole = floor.start(at(begin, 20));
        assert_eq!(whole.after, 0);
        floor.saw(whole, Some(7), 101, at(begin, 20));
        assert_eq!(floor.start(at(begin, 21)).after, 6);
    }

    fn floor_start(after: i64) -> Start {
        Start { after, whole: false }
    }
}
