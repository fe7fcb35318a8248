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

/// The first seed of a thousand that finds the bug that was put back.
fn found(planted: Planted) {
    let found = (1..=1000).find(|seed| run(*seed, planted).violation.is_some());
    assert!(found.is_some(), "{planted:?} is not found");
}

#[test]
fn a_barrier_that_is_left_out_is_found() {
    found(Planted::NoBarrier);
}

#[test]
fn what_is_undone_on_the_lead_alone_is_found() {
    found(Planted::UndoneGoesOn);
}

#[test]
fn an_early_answer_is_found() {
    found(Planted::EarlyAnswer);
}

#[test]
fn a_commit_beside_its_intent_is_found() {
    found(Planted::CommitBeforeIntent);
}

#[test]
fn a_marker_apart_from_its_data_is_found() {
    found(Planted::MarkerApart);
}

#[test]
fn a_member_that_leaves_before_that_is_durable_is_found() {
    found(Planted::LeavesBeforeRecord);
}

#[test]
fn a_change_of_lead_without_its_barrier_is_found() {
    found(Planted::NoDrain);
}

#[test]
fn an_intent_that_is_not_withdrawn_is_found() {
    found(Planted::NotWithdrawn);
}

/// Needs a lead that is lost, comes back, and leads again while the others still follow: one seed in 28,254 had it.
#[test]
fn a_lead_that_came_back_without_the_transaction_is_found() {
    assert!(run(28_254, Planted::LeadBack).violation.is_some());
    let report = run(28_254, Planted::None);
    assert!(report.violation.is_none(), "{report}");
}
