//! Which members a log of bounded size is not kept for any more.

use super::Position;

/// A member that may be brought back from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<M> {
    /// Which.
    pub member: M,
    /// It holds everything up to here; `None`: not known.
    pub floor: Option<Position>,
    /// It is out, so that it may be left behind. The log is always kept for the others.
    pub is_out: bool,
}

/// Which members to leave behind, so that what is kept of the log is not longer than `size_max`: as few as possible, those
/// that lack most first. If that cannot be reached, as few as bring it nearest; none if leaving them behind frees nothing.
///
/// `kept` tells how many bytes are left if nobody needs what stands before a position; it does not grow with the position.
pub fn left_behind<M: Copy>(holders: &[Holder<M>], size_max: u64, kept: impl Fn(Position) -> u64) -> Vec<M> {
    let mut out: Vec<&Holder<M>> = holders.iter().filter(|holder| holder.is_out).collect();
    // Unknown comes first: nobody can say that it needs less than everything.
    out.sort_by_key(|holder| holder.floor);
    let others = holders.iter().filter(|holder| !holder.is_out).map(|holder| needed(holder.floor)).min();
    let bytes_without = |count: usize| {
        let rest = out.get(count).map(|holder| needed(holder.floor));
        let from = [rest, others].into_iter().flatten().min();
        from.map_or(0, &kept)
    };
    let all: Vec<u64> = (0..=out.len()).map(bytes_without).collect();
    let fewest = all.iter().position(|bytes| *bytes <= size_max);
    let nearest = all.iter().min().and_then(|least| all.iter().position(|bytes| bytes == least));
    let count = fewest.or(nearest).unwrap_or(0);
    out.iter().take(count).map(|holder| holder.member).collect()
}

/// The first position that a member with this floor needs.
fn needed(floor: Option<Position>) -> Position {
    floor.map_or(Position::START, Position::next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of 1000 positions of one byte each.
    fn kept(before: Position) -> u64 {
        1000 - before.0.min(1000)
    }

    fn holder(member: u8, floor: Option<u64>, is_out: bool) -> Holder<u8> {
        Holder { member, floor: floor.map(Position), is_out }
    }

    #[test]
    fn as_few_as_possible_and_those_first_that_lack_most() {
        let members = [holder(0, Some(990), false), holder(1, Some(500), true), holder(2, Some(100), true)];
        for (size_max, left) in [(2000, &[][..]), (899, &[]), (898, &[2]), (499, &[2]), (498, &[2, 1]), (1, &[2, 1])] {
            assert_eq!(left_behind(&members, size_max, kept), left, "{size_max}");
        }
    }

    #[test]
    fn a_floor_that_is_not_known_holds_everything() {
        let members = [holder(0, Some(990), false), holder(1, Some(900), true), holder(2, None, true)];
        assert_eq!(left_behind(&members, 500, kept), [2]);
        let enabled = [holder(0, None, false), holder(1, Some(1), true)];
        assert_eq!(left_behind(&enabled, 500, kept), Vec::<u8>::new());
    }

    #[test]
    fn nobody_is_left_behind_for_nothing() {
        // An open COPY, or an enabled member, needs as much.
        let members = [holder(0, Some(990), false), holder(1, Some(300), true), holder(2, Some(100), true)];
        let held = |from: u64| move |before: Position| kept(before.min(Position(from)));
        assert_eq!(left_behind(&members, 500, held(50)), Vec::<u8>::new());
        assert_eq!(left_behind(&members, 500, held(200)), [2], "nearer, though not there");
        let enabled = [holder(0, Some(10), false), holder(1, Some(300), true)];
        assert_eq!(left_behind(&enabled, 500, kept), Vec::<u8>::new());
    }
}
