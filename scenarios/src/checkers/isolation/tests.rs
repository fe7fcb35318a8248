//! Histories made by hand: every kind of anomaly is found, and forbidden at the levels that forbid it and at no other.

use std::collections::BTreeMap;

use super::*;
use Ending::{Aborted, Committed, Unknown};

const X: i64 = 1;
const Y: i64 = 2;

fn append(key: i64, element: i64) -> Operation {
    Operation::Append { key, element }
}

fn read(key: i64, list: &[i64]) -> Operation {
    Operation::Read { key, list: list.to_vec() }
}

/// Transactions that all run at the same time.
fn at_once(parts: &[(Ending, &[Operation])]) -> Vec<Transaction> {
    let make = |(number, (ending, operations)): (usize, &(Ending, &[Operation]))| Transaction {
        client: number,
        began: number as u64,
        ended: 1000 + number as u64,
        operations: operations.to_vec(),
        ending: *ending,
    };
    parts.iter().enumerate().map(make).collect()
}

/// Transactions one after the other.
fn in_turn(parts: &[(Ending, &[Operation])]) -> Vec<Transaction> {
    let mut all = at_once(parts);
    for (number, transaction) in (0..).zip(&mut all) {
        transaction.began = 2 * number;
        transaction.ended = 2 * number + 1;
    }
    all
}

/// The kinds that each level forbids in this history.
fn forbidden(transactions: &[Transaction]) -> [Vec<String>; 3] {
    Level::ALL.map(|level| {
        let verdict = judge(transactions, level);
        assert!(verdict.undecided.is_empty(), "{verdict}");
        verdict.forbidden.into_keys().collect()
    })
}

/// The weakest level at which `kind` is forbidden must be `weakest`; the levels below must find nothing wrong.
fn expect(transactions: &[Transaction], kind: &str, weakest: Level) {
    let found = forbidden(transactions);
    for (level, kinds) in Level::ALL.into_iter().zip(&found) {
        let forbids = level as usize >= weakest as usize;
        assert_eq!(kinds.iter().any(|found| found == kind), forbids, "{kind} at {level:?}: {found:?}");
        assert!(forbids || kinds.is_empty(), "{level:?} forbids {kinds:?}");
    }
}

#[test]
fn one_after_the_other_is_clean_at_every_level() {
    let history = in_turn(&[
        (Committed, &[append(X, 1), read(X, &[1]), read(Y, &[])]),
        (Committed, &[read(X, &[1]), append(X, 2), append(Y, 3)]),
        (Aborted, &[append(Y, 4)]),
        (Unknown, &[append(Y, 5)]),
        (Unknown, &[append(X, 6)]),
        (Committed, &[read(X, &[1, 2, 6]), read(Y, &[3])]),
    ]);
    assert_eq!(forbidden(&history), [const { Vec::<String>::new() }; 3]);
}

#[test]
fn at_once_and_in_one_order_is_clean() {
    let history = at_once(&[
        (Committed, &[read(X, &[]), append(X, 1), append(Y, 1)]),
        (Committed, &[read(X, &[1]), read(Y, &[1]), append(Y, 2)]),
        (Committed, &[read(X, &[]), read(Y, &[])]),
        (Committed, &[read(X, &[1]), read(Y, &[1, 2])]),
    ]);
    assert_eq!(forbidden(&history), [const { Vec::<String>::new() }; 3]);
}

#[test]
fn g0_write_cycle() {
    let history = at_once(&[
        (Committed, &[append(X, 1), append(Y, 1)]),
        (Committed, &[append(X, 2), append(Y, 2)]),
        (Committed, &[read(X, &[1, 2])]),
        (Committed, &[read(Y, &[2, 1])]),
    ]);
    expect(&history, "G0", Level::ReadCommitted);
}

#[test]
fn g1a_aborted_read() {
    let history = at_once(&[
        (Aborted, &[append(X, 1)]),
        (Committed, &[read(X, &[1])]),
        (Committed, &[append(Y, 1)]),
        (Committed, &[read(Y, &[1])]),
    ]);
    expect(&history, "G1a", Level::ReadCommitted);
}

#[test]
fn g1b_intermediate_read() {
    let history = at_once(&[(Committed, &[append(X, 1), append(X, 2)]), (Committed, &[read(X, &[1])])]);
    expect(&history, "G1b", Level::ReadCommitted);
}

#[test]
fn g1c_circular_information_flow() {
    let history = at_once(&[(Committed, &[append(X, 1), read(Y, &[1])]), (Committed, &[append(Y, 1), read(X, &[1])])]);
    expect(&history, "G1c", Level::ReadCommitted);
}

#[test]
fn two_orders_of_one_list() {
    let history = at_once(&[
        (Committed, &[append(X, 1)]),
        (Committed, &[append(X, 2)]),
        (Committed, &[read(X, &[1, 2])]),
        (Committed, &[read(X, &[2, 1])]),
    ]);
    expect(&history, "incompatible-order", Level::ReadCommitted);
}

#[test]
fn an_append_done_twice() {
    let history = at_once(&[(Committed, &[append(X, 1)]), (Committed, &[read(X, &[1, 1])])]);
    expect(&history, "duplicate-elements", Level::ReadCommitted);
}

#[test]
fn lost_update() {
    let history = at_once(&[
        (Committed, &[read(X, &[]), append(X, 1)]),
        (Committed, &[read(X, &[]), append(X, 2)]),
        (Committed, &[read(X, &[1, 2])]),
    ]);
    expect(&history, "lost-update", Level::RepeatableRead);
}

#[test]
fn g_single_read_skew() {
    let history = at_once(&[
        (Committed, &[append(X, 1), append(Y, 1)]),
        (Committed, &[read(X, &[]), read(Y, &[1])]),
        (Committed, &[read(X, &[1])]),
    ]);
    expect(&history, "G-single-item", Level::RepeatableRead);
}

#[test]
fn g_nonadjacent_long_fork() {
    let history = at_once(&[
        (Committed, &[append(X, 1)]),
        (Committed, &[append(Y, 1)]),
        (Committed, &[read(X, &[1]), read(Y, &[])]),
        (Committed, &[read(X, &[]), read(Y, &[1])]),
    ]);
    expect(&history, "G-nonadjacent-item", Level::RepeatableRead);
}

#[test]
fn g2_write_skew() {
    let history = at_once(&[(Committed, &[read(X, &[]), append(Y, 1)]), (Committed, &[read(Y, &[]), append(X, 1)])]);
    expect(&history, "G2-item", Level::Serializable);
}

#[test]
fn a_read_that_misses_what_was_acknowledged_before() {
    let history = in_turn(&[(Committed, &[append(X, 1)]), (Committed, &[read(X, &[])]), (Committed, &[read(X, &[1])])]);
    expect(&history, "G-single-item-realtime", Level::RepeatableRead);
}

#[test]
fn what_was_never_known_to_be_done_is_no_anomaly_either_way() {
    let seen = in_turn(&[(Unknown, &[append(X, 1), append(Y, 1)]), (Committed, &[read(X, &[1]), read(Y, &[1])])]);
    let unseen = in_turn(&[
        (Unknown, &[append(X, 1)]),
        (Committed, &[append(X, 2)]),
        (Committed, &[read(X, &[2])]),
        (Committed, &[read(X, &[2]), append(X, 3)]),
        (Committed, &[read(X, &[2, 3])]),
    ]);
    assert_eq!(forbidden(&seen), [const { Vec::<String>::new() }; 3]);
    assert_eq!(forbidden(&unseen), [const { Vec::<String>::new() }; 3]);
}

#[test]
fn an_unknown_one_that_shows_by_halves_is_found() {
    let history = at_once(&[(Unknown, &[append(X, 1), append(X, 2)]), (Committed, &[read(X, &[1])])]);
    expect(&history, "G1b", Level::ReadCommitted);
}

#[test]
fn a_history_without_dependencies_is_no_pass() {
    assert!(!judge(&in_turn(&[(Aborted, &[append(X, 1)])]), Level::ReadCommitted).is_clean());
}

#[test]
fn what_is_lost_refused_twice_or_made_up_is_named() {
    let transactions = at_once(&[
        (Committed, &[append(X, 1)]),
        (Aborted, &[append(X, 2)]),
        (Unknown, &[append(X, 3)]),
        (Unknown, &[append(X, 4)]),
    ]);
    let lists = |list: &[i64]| BTreeMap::from([(X, list.to_vec())]);
    let good = Kept { unknown_there: 1, unknown_gone: 1 };
    assert_eq!(kept(&transactions, &lists(&[1, 3])).unwrap(), good);
    for (list, told) in [
        (&[3][..], "acknowledged, and lost"),
        (&[1, 2], "told that they are not"),
        (&[1, 1], "more than once"),
        (&[1, 7], "nobody appended"),
    ] {
        let text = kept(&transactions, &lists(list)).unwrap_err().to_string();
        assert!(text.contains(told), "{list:?}: {text}");
    }
}
