//! Seeds, a replay, and the planted bugs.

use crate::{Counts, Planted, run};

fn seeds(from: u64, to: u64) -> Counts {
    let mut counts = Counts::default();
    for seed in from..to {
        let report = run(seed, Planted::None);
        assert!(report.violation.is_none(), "{report}");
        counts.add(&report.counts);
    }
    counts
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in 1..20 {
        let (first, second) = (run(seed, Planted::None), run(seed, Planted::None));
        assert_eq!((first.hash, first.steps, first.counts), (second.hash, second.steps, second.counts));
    }
    assert_ne!(run(1, Planted::None).hash, run(2, Planted::None).hash);
}

#[test]
fn the_first_half_of_a_thousand_seeds() {
    seeds(1, 501);
}

#[test]
fn the_second_half_of_a_thousand_seeds() {
    seeds(501, 1001);
}
