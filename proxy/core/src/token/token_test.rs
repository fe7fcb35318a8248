//! Every way through the states, both sides of the race, limits, and recovery.

use super::*;
use crate::log::{Intent, Record, RecordKind, TokenRecord};

const ME: SessionId = SessionId(7);
const END: Position = Position(50);

fn t(name: &str) -> Token {
    Token::new(name.as_bytes()).unwrap()
}

fn open(names: &[&str]) -> Tokens {
    let mut tokens = Tokens::new(1000);
    for (name, at) in names.iter().zip(2000..) {
        assert_eq!(tokens.give(&t(name), ME, at, END), Ok(at));
    }
    tokens
}

fn ask(tokens: &mut Tokens, name: &str) -> Asked {
    tokens.ask(&t(name), 9000, SessionId(9), || Some(SessionId(3)))
}

#[test]
fn a_commit_is_told_when_it_is_everywhere() {
    let mut tokens = open(&["a"]);
    assert!(tokens.decide(&t("a"), 3000, END));
    assert_eq!(ask(&mut tokens, "a"), Asked::Wait);
    tokens.positioned(&t("a"), Position(51));
    assert_eq!(ask(&mut tokens, "a"), Asked::Wait);
    tokens.gone(&t("a"), 3500);
    assert_eq!(ask(&mut tokens, "a"), Asked::Wait, "decided: the end of its session changes nothing");
    tokens.committed(&t("a"), 4000);
    tokens.aborted(&t("a"), 4001);
    assert_eq!(ask(&mut tokens, "a"), Asked::Committed);
}

#[test]
fn who_asks_first_bars_the_decision_and_the_other_way_round() {
    let mut tokens = open(&["a", "b"]);
    assert_eq!(ask(&mut tokens, "a"), Asked::Aborted { ended: Some(ME) });
    assert!(!tokens.decide(&t("a"), 3000, END), "somebody was told that it is aborted");
    tokens.committed(&t("a"), 3000);
    assert_eq!(ask(&mut tokens, "a"), Asked::Aborted { ended: None });
    assert!(tokens.decide(&t("b"), 3000, END));
    assert_eq!(ask(&mut tokens, "b"), Asked::Wait);
    assert!(!tokens.decide(&t("b"), 3000, END), "one transaction, one intent");
    assert!(!tokens.decide(&t("never given"), 3000, END));
}

#[test]
fn rolled_back_gone_and_refused_behind_the_decision() {
    let mut tokens = open(&["a", "b", "c"]);
    tokens.aborted(&t("a"), 3000);
    tokens.gone(&t("b"), 3000);
    assert!(tokens.decide(&t("c"), 3000, END));
    tokens.aborted(&t("c"), 3000);
    for name in ["a", "b", "c"] {
        assert_eq!(ask(&mut tokens, name), Asked::Aborted { ended: None }, "{name}");
        assert_eq!(tokens.give(&t(name), ME, 4000, END), Err(NotTaken::Used), "{name}");
    }
}

#[test]
fn an_unknown_token_that_was_asked_about_is_never_used() {
    let mut tokens = open(&[]);
    for _ in 0..2 {
        assert_eq!(ask(&mut tokens, "a"), Asked::Unknown { since_ms: 1000 });
        assert_eq!(tokens.give(&t("a"), ME, 2000, END), Err(NotTaken::Asked));
    }
}

#[test]
fn a_last_member_that_is_back_tells_what_became_of_the_decided() {
    let mut tokens = open(&["a", "b", "c", "d"]);
    for (name, position) in [("a", 51), ("b", 52), ("c", 60)] {
        assert!(tokens.decide(&t(name), 3000, END));
        tokens.positioned(&t(name), Position(position));
    }
    tokens.settled(Position(55), 4000, |position| position == Position(52));
    assert_eq!(ask(&mut tokens, "a"), Asked::Committed);
    assert_eq!(ask(&mut tokens, "b"), Asked::Aborted { ended: None });
    assert_eq!(ask(&mut tokens, "c"), Asked::Wait);
    assert!(!tokens.is_aborted(&t("d")) && tokens.is_aborted(&t("b")));
}

#[test]
fn the_first_that_ended_is_forgotten_and_the_answer_says_since_when_all_are_known() {
    let mut tokens = Tokens::with_limits(1000, 2, 10);
    tokens.give(&t("a"), ME, 2000, END).unwrap();
    tokens.give(&t("b"), ME, 2001, END).unwrap();
    assert_eq!(tokens.give(&t("c"), ME, 2002, END), Err(NotTaken::Full));
    tokens.committed(&t("b"), 2003);
    tokens.give(&t("c"), ME, 2004, END).unwrap();
    assert_eq!(ask(&mut tokens, "b"), Asked::Unknown { since_ms: 2002 });
    assert_eq!(ask(&mut tokens, "a"), Asked::Aborted { ended: Some(ME) }, "what is open is not forgotten");
}

#[test]
fn a_bar_falls_only_with_the_sessions_that_are_older() {
    let mut tokens = Tokens::with_limits(0, 10, 2);
    let mut ask =
        |name: &str, newest: u64, oldest: u64| tokens.ask(&t(name), 0, SessionId(newest), || Some(SessionId(oldest)));
    let unknown = Asked::Unknown { since_ms: 0 };
    assert_eq!(ask("a", 5, 1), unknown);
    assert_eq!(ask("b", 8, 1), unknown);
    assert_eq!(ask("c", 9, 5), Asked::Full, "session 5 may still bring a or b");
    assert_eq!(ask("a", 5, 5), unknown, "it is barred already");
    assert_eq!(ask("c", 9, 6), unknown);
    assert_eq!(tokens.give(&t("a"), ME, 0, END), Ok(0));
    assert_eq!(tokens.give(&t("b"), ME, 0, END), Err(NotTaken::Asked));
}

#[test]
fn the_log_is_kept_for_what_is_young() {
    let mut tokens = Tokens::new(0);
    tokens.give(&t("old"), ME, 10_000, Position(10)).unwrap();
    assert!(tokens.decide(&t("old"), 10_000, Position(10)));
    tokens.give(&t("late"), ME, 11_000, Position(20)).unwrap();
    tokens.give(&t("young"), ME, 50_000, Position(40)).unwrap();
    assert_eq!(tokens.cut(Position(100), 50_000, 45_000), (Position(11), 5000));
    assert_eq!(tokens.cut(Position(100), 50_000, 39_500), (Position(21), 10_500));
    assert_eq!(tokens.cut(Position(100), 50_000, 20_000), (Position(41), 30_000));
    assert_eq!(tokens.cut(Position(30), 50_000, 20_000), (Position(30), 30_000), "others need it as well");
    // Decided late: its intent is young, and what stood in the log before that is not needed any more.
    assert!(tokens.decide(&t("late"), 50_000, Position(60)));
    assert_eq!(tokens.cut(Position(100), 80_001, 30_000), (Position(100), 50_001));
    assert_eq!(tokens.cut(Position(100), 70_000, 30_001), (Position(41), 50_000), "time does not go back");
}

fn given(position: u64, unix_ms: u64, name: &str) -> Record {
    let payload = TokenRecord::Given { unix_ms, token: name.into() }.encode();
    Record { position: Position(position), kind: RecordKind::Token, payload }
}

fn intent(position: u64, name: Option<&str>) -> Record {
    let payload = Intent { token: name.map(|n| n.into()), ..Intent::default() }.encode();
    Record { position: Position(position), kind: RecordKind::Intent, payload }
}

fn promise(position: u64, unix_ms: u64, first: u64) -> Record {
    let payload = TokenRecord::KeptSince { unix_ms, first: Position(first) }.encode();
    Record { position: Position(position), kind: RecordKind::Token, payload }
}

fn recovered(records: &[Record], aborted: u64) -> Recovered {
    let mut recovery = Recovery::new(9000);
    records.iter().try_for_each(|record| recovery.record(record)).unwrap();
    let end = records.last().map_or(Position::START, |record| record.position);
    recovery.finish(end, |position| position == Position(aborted))
}

#[test]
fn a_log_is_read_back() {
    let records = [
        promise(5, 100, 5),
        given(6, 200, "committed"),
        given(7, 201, "never decided"),
        given(8, 202, "refused"),
        intent(9, Some("committed")),
        intent(10, Some("refused")),
        intent(11, None),
        intent(12, Some("its own record comes later")),
        given(13, 203, "its own record comes later"),
        intent(14, Some("its own record is lost")),
    ];
    let Recovered { mut tokens, promise } = recovered(&records, 10);
    assert_eq!(promise, None);
    for name in ["committed", "its own record comes later", "its own record is lost"] {
        assert_eq!(ask(&mut tokens, name), Asked::Committed, "{name}");
    }
    for name in ["refused", "never decided"] {
        assert_eq!(ask(&mut tokens, name), Asked::Aborted { ended: None }, "{name}");
        assert_eq!(tokens.give(&t(name), ME, 9000, END), Err(NotTaken::Used), "{name}");
    }
    assert_eq!(ask(&mut tokens, "nobody's"), Asked::Unknown { since_ms: 100 });
    // All of it is kept as long as if it had come now.
    assert_eq!(tokens.cut(Position(100), 9500, 1000), (Position(6), 8500));
    assert_eq!(tokens.cut(Position(100), 11_000, 1000), (Position(100), 10_000));
}

#[test]
fn a_log_that_promises_nothing_gets_a_promise_of_now() {
    let cut = [promise(5, 100, 5), given(6, 200, "a")];
    for records in [&[][..], &[intent(1, Some("a"))], &cut[1..], &[given(7, 1, "x"), promise(8, 100, 6)]] {
        let Recovered { mut tokens, promise } = recovered(records, 0);
        let first = records.first().map_or(Position(1), |record| record.position);
        assert_eq!(promise, Some(TokenRecord::KeptSince { unix_ms: 9000, first }), "{records:?}");
        assert_eq!(ask(&mut tokens, "nobody's"), Asked::Unknown { since_ms: 9000 });
    }
    assert_eq!(recovered(&cut, 0).promise, None);
}
