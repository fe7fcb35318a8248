//! Texts with one skeleton have one analysis: the statements of the other tests, and random ones, with their literals
//! exchanged.

use std::collections::HashMap;

use super::super::super::lexer::{TokenKind, tokens};
use super::super::super::skeleton::{Skeleton, is_shareable};
use super::super::super::testing::{sample, settings};
use super::super::analyse;

/// Literals of each kind; some of them must keep a text from having a skeleton.
const NUMBERS: &[&str] = &[
    "0",
    "7",
    "00123",
    "99999999999999999999999999",
    "1.5",
    ".5",
    "1.",
    "1e5",
    "1.5e-3",
    "0x1F",
    "0o17",
    "0b11",
    "1_000",
];
const STRINGS: &[&str] = &[
    "''",
    "'x'",
    "'it''s'",
    "'now'",
    "'today'",
    "'TOMORROW'",
    "'call me now'",
    "'yesterday 12:00'",
    "'nowhere'",
    "'grüße'",
    "'2024-02-29 12:00:00+01'",
    "'5'",
    "' 05 '",
    "'00000000-0000-0000-0000-000000000001'",
    "'public.serial_id_seq'",
    "'serial_id_seq'",
    "'nowhere_seq'",
    "'a'\n'b'",
    "'a' -- '\n'b'",
    "'C:\\now'",
    "'search_path'",
    "'now''now'",
    "'select 1; delete from parent'",
];
const ESCAPES: &[&str] = &[
    "E''",
    "e'x'",
    "E'it''s'",
    "E'\\''",
    "E'\\x6eow'",
    "E'\\156ow'",
    "E'n\\u006fw'",
    "E'\\xff'",
    "E'\\n'",
    "E'a'\n'b'",
    "E'now'",
];

/// A generator good enough for choosing cases.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % below
    }

    fn one(&mut self, of: &'static [&'static str]) -> &'static str {
        of[self.below(of.len())]
    }
}

/// The text with every literal exchanged for one of its kind, and other blanks between some tokens.
fn exchanged(text: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut end = 0;
    for token in tokens(text, true) {
        out.extend_from_slice(&text[end..token.start]);
        if token.start > end {
            out.extend_from_slice(random.one(&["", "", " ", "\n", "/* 'now' */", " -- 1\n"]).as_bytes());
        }
        end = token.end;
        let literal = match token.kind {
            TokenKind::Number => random.one(NUMBERS).as_bytes(),
            TokenKind::String => random.one(STRINGS).as_bytes(),
            TokenKind::EscapeString => random.one(ESCAPES).as_bytes(),
            _ => token.bytes(text),
        };
        out.extend_from_slice(literal);
    }
    out.extend_from_slice(&text[end..]);
    out
}

/// What was analysed under a skeleton first.
#[derive(Default)]
pub(super) struct Shapes {
    known: HashMap<Skeleton, (String, String)>,
    /// Texts that had a skeleton which was known.
    pub(super) shared: usize,
}

impl Shapes {
    /// Analyses a text afresh and compares that with what a cache would have given.
    pub(super) fn check(&mut self, text: &[u8]) {
        let (catalog, settings) = (sample(), settings());
        let Some(skeleton) = Skeleton::of(text, &settings) else { return };
        let analysis = analyse(text, &catalog, &settings);
        let (text, got) = (String::from_utf8_lossy(text).into_owned(), format!("{analysis:?}"));
        match self.known.get(&skeleton) {
            Some((first, expected)) => {
                assert_eq!(*expected, got, "\n  {first}\n  {text}");
                self.shared += 1;
            }
            None if is_shareable(&analysis) => drop(self.known.insert(skeleton, (text, got))),
            None => {}
        }
    }
}

/// Checks a statement with its literals exchanged in many ways. Called for all statements of the other tests.
pub(super) fn check_exchanged(text: &str) {
    let mut shapes = Shapes::default();
    let mut random = Random(text.len() as u64);
    shapes.check(text.as_bytes());
    for _ in 0..24 {
        shapes.check(&exchanged(text.as_bytes(), &mut random));
    }
}

#[test]
fn exchanged_literals() {
    let mut shapes = Shapes::default();
    let mut random = Random(1);
    let texts = [
        "UPDATE pgbench_accounts SET abalance = abalance + -12 WHERE aid = 7",
        "UPDATE pgbench_accounts SET abalance = - 12 WHERE aid = -7",
        "SELECT abalance FROM pgbench_accounts WHERE aid = '7'",
        "SELECT abalance FROM pgbench_accounts WHERE aid = 7::bigint",
        "SELECT abalance FROM pgbench_accounts WHERE aid = '7'::int",
        "SELECT abalance FROM pgbench_accounts WHERE aid = cast('7' as text)",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, CURRENT_TIMESTAMP)",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, -4, '2024-01-01')",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, timestamp '2024-01-01')",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, '2024-01-01'::timestamptz(3))",
        "insert into activemq_msgs (id, container, msg) values (1, 'queue://A', E'\\\\x00ff'), (2, 'B', '')",
        "insert into doc values ('00000000-0000-0000-0000-000000000001', 'x', NULL)",
        "insert into doc values ($1, E'it\\'s')",
        "insert into serial (name) values ('a')",
        "insert into serial values (nextval('serial_id_seq'), 'a')",
        "insert into serial values (\"nextval\"('serial_id_seq'), 'a')",
        "insert into serial values (pg_catalog.NEXTVAL('serial_id_seq'::regclass), 'a')",
        "select nextval('serial_id_seq')",
        "select setval('serial_id_seq', 5)",
        "select currval('serial_id_seq'), 'a'",
        "select nextval(E'serial_id_seq')",
        "select nextval(N'serial_id_seq')",
        "select nextval(U&'serial_id_seq'), U&\"nextval\"('a')",
        "select set_config('search_path', 'x', false)",
        "select set_config('search_path', 'x', false) from parent",
        "select date '2024-01-01', interval '1 day', time '12:00', 'x'::text::date, 'x'::regclass",
        "select regclass 'parent', to_regclass('parent'), to_char(1, '9')",
        "select name from parent where id = 1 and name = 'a' limit 5 offset 3",
        "select name from parent where id in (1, 2, 3) or name like '%a' order by 1, 2 fetch first 3 rows only",
        "select a[1], b[1:2] from two where v between 1 and 5 and code = any('{a,b}')",
        "select * from activemq_lock where id = 1 for update",
        "select 'x', 1, id from activemq_lock where time > 1 for update",
        "select 'from', 1 from activemq_acks where container = 'a' and client_id = 'b' and sub_name = 'c' and priority = 5 for update",
        "delete from activemq_msgs where id = 5 and expiration < 17",
        "delete from activemq_acks where (container, client_id, sub_name, priority) = ('a', 'b', 'c', 1)",
        "with x as (select 1 as a, 'b' as b) update parent set name = 'c' from x where id = 1",
        "with x as (select 1) insert into parent select 1, 'x'",
        "insert into parent values (1, 'a') on conflict (id) do update set name = 'b' where parent.id > 3 returning 'c', 1",
        "update two set v = 1.5, code = 'x' where code = 'y'",
        "update doc set tags[1] = 'a' where id = '00000000-0000-0000-0000-000000000001'",
        "select 1 as \"now\", $$now$$, $a$b$a$, X'1F', B'1', U&'a'",
        "select numeric '1.5', 1::numeric(10, 2), 'a'::varchar(20), 1::bit(3), timestamp(3) '2024-01-01'",
        "select case when 1 = 1 then 'a' else 'b' end, extract(year from timestamp '2024-01-01')",
        "select 1 offset 1 rows fetch next 2 rows with ties; ",
        "select sum(v) over (order by id rows between 2 preceding and 1 following) from two tablesample system (10) repeatable (5)",
        "select interval '1' day, interval '1.5' second(3), '1' 'x'",
        "select 1 from a where this is (not sql 5 'x'",
    ];
    for text in texts {
        for _ in 0..60 {
            shapes.check(&exchanged(text.as_bytes(), &mut random));
        }
    }
    assert!(shapes.shared > 500, "only {} texts would have been found", shapes.shared);
}

#[test]
fn random_texts() {
    let pieces: Vec<&str> = "select insert update delete into from where set values parent pgbench_accounts id aid name ( ) ( ) , , = :: \
        \" $1 and or not in for share skip locked returning on conflict do nothing default with as only is null \
        nextval setval currval set_config \"nextval\" now() cast date timestamp interval regclass int text 'a' 'a' 5 5 5 E'x' N'x' \
        U&'x' $$x$$ X'1' [ ] case when then end - + * < limit order by 'serial_id_seq' ; . 5. .5 1..2 5x"
        .split_ascii_whitespace()
        .collect();
    let heads = [
        "select",
        "insert into parent values (",
        "update parent set name =",
        "delete from parent where id =",
        "select nextval(",
    ];
    let mut random = Random(2);
    let mut shapes = Shapes::default();
    for _ in 0..1_000 {
        let mut text = heads[random.below(heads.len())].to_owned();
        for _ in 0..random.below(9) {
            text.push(' ');
            text.push_str(pieces[random.below(pieces.len())]);
        }
        if text.ends_with("values (") || random.below(3) == 0 {
            text.push_str(" 5, 'a')");
        }
        for _ in 0..6 {
            shapes.check(&exchanged(text.as_bytes(), &mut random));
        }
    }
    assert!(shapes.shared > 200, "only {} texts would have been found", shapes.shared);
}

#[test]
fn what_has_no_skeleton() {
    let usual = settings();
    let skeleton = |text: &str| Skeleton::of(text.as_bytes(), &usual);
    for text in [
        "begin",
        "",
        "set a = 'x'",
        "copy parent from stdin",
        "select 'now'",
        "select 'call me NOW'",
        "select E'\\x6eow'",
        "select E'\\xff'",
        "select 'a'\n'b'",
        "select \u{1} from parent",
        "select 'a",
        "select \"nextval\"('a')",
        "explain select 1",
    ] {
        assert_eq!(skeleton(text), None, "{text}");
    }
    assert_eq!(Skeleton::of(b"select '\xff'", &usual), None);
    let odd = super::super::Settings { standard_conforming_strings: false, ..settings() };
    assert_eq!(Skeleton::of(b"select 'a'", &odd), None);
    for (a, b, same) in [
        ("select 1", " SELECT 1".trim_start(), false),
        ("select 1", "select/* x */22 -- y", true),
        ("select 'a'", "select 'nowhere'", true),
        ("select 'a'", "select E'a'", false),
        ("select 'a'", "select 5", false),
        ("select a", "select b", false),
        ("select \"a\"", "select a", false),
        ("select 1 2", "select 12", false),
        ("select nextval('a')", "select nextval('b')", false),
        ("select setval('a', 1)", "select setval('a', 2)", true),
        ("select a.b", "select a . b", true),
        ("select $$a$$", "select $$b$$", false),
        ("select (1)", "select (1, 1)", false),
        ("select - 1", "select -1", true),
        ("select -1", "select 1", false),
    ] {
        assert!(skeleton(a).is_some());
        assert_eq!(skeleton(a) == skeleton(b), same, "{a} / {b}");
    }
}
