//! The write path under loads that provoke it.

use scenarios::Options;

use crate::common;

#[test]
fn differential() {
    let only = Some("alternate".to_owned());
    common::run("differential", Options { transactions: 10, only, ..Options::default() });
}

#[test]
fn oracles() {
    common::run("oracles", Options { transactions: 20, ..Options::default() });
}

#[test]
fn model_keyed() {
    common::run("model_keyed", Options { transactions: 40, ..Options::default() });
}

#[test]
fn model_delayed() {
    common::run("model_delayed", Options { transactions: 40, ..Options::default() });
}

#[test]
fn hidden_writes() {
    common::run("hidden_writes", Options::default());
}

#[test]
fn hot_rows() {
    common::run("hot_rows", Options { seconds: 8, ..Options::default() });
}

#[test]
fn lock_forever() {
    common::run("lock_forever", Options::default());
}

#[test]
fn outcome_tokens() {
    common::run("outcome_tokens", Options::default());
}

#[test]
fn regressions() {
    common::run("regressions", Options::default());
}

#[test]
fn single_row_verdicts() {
    common::run("single_row_verdicts", Options::default());
}

#[test]
fn crash_points_commit() {
    common::run("crash_points_commit", Options::default());
}

#[test]
fn cut_at_commit() {
    common::run("cut_at_commit", Options::default());
}

#[test]
fn cut_at_once() {
    common::run("cut_at_once", Options::default());
}

#[test]
fn cut_combined() {
    common::run("cut_combined", Options::default());
}

#[test]
fn overtaken() {
    common::run("overtaken", Options::default());
}

#[test]
fn churn() {
    common::run("churn", Options::default());
}

#[test]
fn cut_serializable() {
    common::run("cut_serializable", Options::default());
}

#[test]
fn uncertified() {
    common::run("uncertified", Options::default());
}
