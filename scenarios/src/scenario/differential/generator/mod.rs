//! Generated statements: a few tables, and keyed, unkeyed and failing DML on them ([`wide`]: with what users make around
//! tables, [`objects`]), from one seed.
//!
//! What is printed is the same on every server: queries order by all that they show. Values that no two servers
//! share (`random()`, `now()`) go into a table whose name begins with `v_`, which is not compared with the bare server.

mod objects;
mod wide;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::corpus::{CopyData, Statement, Step, Topic};
use objects::{MEANINGS, OBJECTS, SWALLOWING};

/// Statements of one topic: what is run again, statement by statement, when members differ.
const TOPIC_SIZE: usize = 500;
/// Keys are drawn from so few that statements meet.
const KEYS: i32 = 30;
/// Statements in one transaction.
const TRANSACTION_LIMIT: usize = 8;

const TABLES: &[&str] = &[
    "create table k(id int primary key, a int default 7, b text, c numeric(12,3), d date default '2020-02-29')",
    "create table u(a int, b text, c boolean)",
    "create table p(x int, y int, v int not null default 0, primary key (x, y))",
    "create table c(id serial primary key, k_id int references k on delete cascade on update cascade, note text)",
    "create table q(id int primary key, code text unique, n int check (n < 500), m int generated always as (n * 2) stored)",
    "create table v_t(id int primary key, r float8 default random(), t timestamptz default now(), g uuid, n int)",
    "create index on k(a)",
    "insert into k(id, a, b, c) select g, g % 5, 'b' || g, g / 3.0 from generate_series(1, 20) g",
    "insert into u select g % 7, md5(g::text), g % 2 = 0 from generate_series(1, 25) g",
];

/// What statements are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mix {
    /// The plain tables.
    Plain,
    /// What users make around them as well.
    Wide,
}

/// `count` statements in topics of their own, the same for the same seed.
pub(super) fn topics(seed: u64, count: usize, mix: Mix) -> Vec<Topic> {
    let numbers = 0..count.div_ceil(TOPIC_SIZE);
    let topic = |number: usize| {
        let size = TOPIC_SIZE.min(count - number * TOPIC_SIZE);
        let of_topic = seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let (name, special, objects): (_, _, &[&[&str]]) = match (mix, number % 4) {
            (Mix::Plain, _) => ("generated", Special::Plain, &[]),
            (Mix::Wide, 1) => ("wide", Special::Meanings, &[OBJECTS, MEANINGS]),
            (Mix::Wide, 2) => ("wide", Special::Swallowing, &[OBJECTS, SWALLOWING]),
            (Mix::Wide, _) => ("wide", Special::None, &[OBJECTS]),
        };
        Topic { name: format!("{name}-{seed}-{number}"), steps: steps(of_topic, special, objects, size) }
    };
    numbers.map(topic).collect()
}

fn steps(seed: u64, special: Special, objects: &[&[&str]], size: usize) -> Vec<Step> {
    let mut generator = Generator { chance: StdRng::seed_from_u64(seed), open: 0, savepoint: false, special };
    let texts = TABLES.iter().chain(objects.iter().copied().flatten());
    let mut texts: Vec<String> = texts.map(|text| (*text).to_owned()).collect();
    while texts.len() + 1 < size {
        let text = generator.next();
        texts.push(text);
    }
    texts.push("rollback".to_owned());
    texts.into_iter().enumerate().map(|(index, text)| Step::Run(statement(index + 1, &text))).collect()
}

/// COPY … FROM STDIN has its data behind the first line.
fn statement(line: usize, text: &str) -> Statement {
    match text.split_once('\n') {
        Some((copy, data)) => {
            let data = CopyData { bytes: data.as_bytes().to_vec(), done: true };
            Statement { copy: Some(data), ..Statement::plain(line, copy) }
        }
        None => Statement::plain(line, text),
    }
}

/// What a topic has that makes other statements of it less certain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    /// There are the plain tables alone.
    Plain,
    None,
    /// [`MEANINGS`].
    Meanings,
    /// [`SWALLOWING`].
    Swallowing,
}

struct Generator {
    chance: StdRng,
    /// Statements since BEGIN; 0: none is open.
    open: usize,
    savepoint: bool,
    special: Special,
}

impl Generator {
    fn next(&mut self) -> String {
        if self.open == 0 {
            return if self.one_in(4) { self.begin() } else { self.statement() };
        }
        self.open += 1;
        if self.open > TRANSACTION_LIMIT || self.one_in(7) {
            self.open = 0;
            self.savepoint = false;
            return if self.one_in(4) { "rollback".to_owned() } else { "commit".to_owned() };
        }
        if self.one_in(5) {
            return self.savepoint();
        }
        self.statement()
    }

    fn begin(&mut self) -> String {
        self.open = 1;
        let level = ["", "", "", " isolation level read committed", " isolation level repeatable read"];
        format!("begin{}", self.pick(&level))
    }

    fn savepoint(&mut self) -> String {
        if !self.savepoint {
            self.savepoint = true;
            return "savepoint s".to_owned();
        }
        if self.one_in(3) {
            self.savepoint = false;
            return "release savepoint s".to_owned();
        }
        "rollback to savepoint s".to_owned()
    }

    fn statement(&mut self) -> String {
        let most = if self.special == Special::Plain { 32 } else { 60 };
        match self.number(0, most) {
            0..=5 => self.query(),
            6..=12 => self.insert(),
            13..=20 => self.update(),
            21..=24 => self.delete(),
            25..=28 => self.upsert(),
            29..=30 => self.volatile(),
            31..=32 => self.failing(),
            _ => self.wide(),
        }
    }

    fn query(&mut self) -> String {
        let condition = self.condition();
        let key = self.key();
        match self.number(0, 9) {
            0 => format!("select * from k where id = {key}"),
            1 => format!("select id, a, b from k where {condition} order by id"),
            2 => {
                format!("select a, count(*), sum(c), min(b) from k where {condition} group by a order by a nulls first")
            }
            3 => "select a, b, c from u order by a, b, c".to_owned(),
            4 => "select k.id, c.note from k left join c on c.k_id = k.id order by k.id, c.note nulls first, c.id"
                .to_owned(),
            5 => format!("select x, y, v from p where x in (select a from k where {condition}) order by x, y"),
            6 => "select id, n, m, code from q order by id".to_owned(),
            7 => format!(
                "with w as (select id, a from k where {condition}) select a, max(id) from w group by 1 order by 1"
            ),
            8 => "select id, n from v_t order by id".to_owned(),
            _ => "select id, a, row_number() over (partition by a order by id) from k order by id limit 7".to_owned(),
        }
    }

    fn insert(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        let (number, text, condition) = (self.expression(), self.text(), self.condition());
        match self.number(0, 9) {
            0 | 1 => format!("insert into k(id, a, b) values ({key}, {number}, {text})"),
            2 => format!("insert into k(id) values ({key}), ({other}) returning *"),
            3 => format!("insert into u values ({number}, {text}, {key} % 2 = 0)"),
            4 => format!("insert into u select a, b, a > 2 from k where {condition}"),
            5 => format!("insert into p values ({}, {}, {number})", key % 6, other % 6),
            6 => format!("insert into c(k_id, note) values ({key}, {text}) returning id, k_id"),
            7 => format!("insert into c(k_id, note) select id, b from k where {condition} order by id limit 3"),
            8 => format!("insert into q(id, code, n) values ({key}, {text}, {number}) returning m"),
            _ => format!("insert into k(id, a) select max(id) + 1, {number} from k"),
        }
    }

    fn update(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        let (number, text, condition) = (self.expression(), self.text(), self.condition());
        match self.number(0, 11) {
            0 | 1 => format!("update k set a = {number} where id = {key}"),
            2 => format!("update k set b = {text}, c = c + 1 where id = {key} returning id, a, b, c"),
            3 => format!("update k set a = a + 1 where {condition}"),
            4 => {
                format!("update k set c = c * 1.5 where id in (select id from k where {condition} order by id limit 2)")
            }
            5 => format!("update k set id = {other} where id = {key}"),
            6 => format!("update u set b = {text} where a = {}", key % 7),
            7 => format!("update u set a = a + 1, c = not c where {}", self.unkeyed_condition()),
            8 => format!("update p set v = v + {number} where x = {} and y = {}", key % 6, other % 6),
            9 => format!("update k set b = c.note from c where c.k_id = k.id and c.id < {key}"),
            10 => format!("update q set n = {number} where id = {key} returning n, m"),
            _ => format!("update p set (v, y) = ({number}, y + 10) where x = {}", key % 6),
        }
    }

    fn delete(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        let condition = self.condition();
        match self.number(0, 7) {
            0 | 1 => format!("delete from k where id = {key}"),
            2 => format!("delete from k where {condition} and id > {key}"),
            3 => format!("delete from u where {}", self.unkeyed_condition()),
            4 => format!("delete from p where x = {} and y = {} returning *", key % 6, other % 6),
            5 => format!("delete from c using k where c.k_id = k.id and k.a = {}", key % 5),
            6 => format!("delete from q where id = (select min(id) from q where id > {key})"),
            _ => format!("delete from c where id = {key} returning note"),
        }
    }

    fn upsert(&mut self) -> String {
        let (key, other) = (self.key(), self.key());
        let (number, text) = (self.expression(), self.text());
        match self.number(0, 5) {
            0 => format!("insert into k(id, a) values ({key}, {number}) on conflict do nothing"),
            1 => format!(
                "insert into k(id, a, b) values ({key}, {number}, {text}) on conflict (id) do update set a = excluded.a, b = k.b || 'x'"
            ),
            2 => format!(
                "insert into p values ({}, {}, 1) on conflict (x, y) do update set v = p.v + 1 where p.v < 5 returning v",
                key % 6,
                other % 6
            ),
            3 => format!("insert into q(id, code, n) values ({key}, {text}, 3) on conflict (code) do update set n = 4"),
            4 => format!(
                "insert into q(id, code, n) values ({key}, {text}, {number}) on conflict do nothing returning id"
            ),
            _ => format!(
                "insert into k(id, a) values ({key}, 1), ({other}, 2) on conflict (id) do update set a = k.a + excluded.a"
            ),
        }
    }

    /// Writes of which each server would make something else.
    fn volatile(&mut self) -> String {
        let (key, number) = (self.key(), self.expression());
        match self.number(0, 5) {
            0 => format!("insert into v_t(id, n) values ({key}, {number}) on conflict do nothing"),
            1 => format!(
                "insert into v_t values ({key}, random(), clock_timestamp(), gen_random_uuid(), 1) on conflict do nothing"
            ),
            2 => format!("update v_t set r = random(), t = now() where id = {key}"),
            3 => "update v_t set g = gen_random_uuid(), n = n + 1".to_owned(),
            4 => format!("delete from v_t where r < 2 and id = {key}"),
            _ => format!(
                "insert into v_t(id, n) select g, g from generate_series({key}, {key} + 2) g on conflict do nothing"
            ),
        }
    }

    fn failing(&mut self) -> String {
        let key = self.key();
        let text = match self.number(0, 11) {
            0 => "select a from nowhere",
            1 => "select nope from k",
            2 => "update k set nope = 1 where id = 1",
            3 => "insert into q values (1, 'x', 900)",
            4 => "insert into c(k_id) values (-1)",
            5 => "selec 1",
            6 => "insert into k(id, d) values (99, '2021-02-29')",
            7 => "insert into p(x) values (1)",
            8 => "update k set a = 2147483647 + a where id = 1",
            9 => "insert into k(id, c) values (98, 12345678901)",
            10 => "select sum(b) from k",
            _ => return format!("update k set a = 1 / (id - {key}) where id <= {key}"),
        };
        text.to_owned()
    }

    fn condition(&mut self) -> String {
        let (low, key, small) = (self.key(), self.key(), self.number(0, 5));
        match self.number(0, 8) {
            0 => format!("id = {key}"),
            1 => format!("id between {low} and {}", low + 4),
            2 => format!("a = {small}"),
            3 => format!("id in ({low}, {key})"),
            4 => format!("b like 'b%{small}'"),
            5 => "a is null".to_owned(),
            6 => format!("c > {key} and a <> {small}"),
            7 => format!("exists (select 1 from c where c.k_id = k.id) and id > {low}"),
            _ => format!("coalesce(a, 0) % 3 = {}", small % 3),
        }
    }

    fn unkeyed_condition(&mut self) -> String {
        let small = self.number(0, 7);
        match self.number(0, 3) {
            0 => format!("a = {small}"),
            1 => format!("a > {small} and c"),
            2 => format!("b like '%{small}'"),
            _ => format!("a in (select a from k where id < {small})"),
        }
    }

    fn expression(&mut self) -> String {
        let (small, key) = (self.number(0, 9), self.key());
        match self.number(0, 8) {
            0 => "null".to_owned(),
            1 => format!("{key} * {small} - 3"),
            2 => format!("abs({small} - {key})"),
            3 => format!("length('{key}{small}')"),
            4 => format!("case when {key} > 15 then {small} else -{small} end"),
            5 => format!("coalesce(null, {small})"),
            6 => format!("greatest({small}, {key} % 4)"),
            _ => small.to_string(),
        }
    }

    fn text(&mut self) -> String {
        let (small, key) = (self.number(0, 9), self.key());
        match self.number(0, 7) {
            0 => "null".to_owned(),
            1 => format!("upper('t{key}')"),
            2 => format!("'it''s {small}'"),
            3 => format!("E'tab\\t{key}'"),
            4 => format!("$$d{small}$$"),
            5 => format!("'ä€{key}'"),
            6 => format!("repeat('{small}', {small})"),
            _ => format!("'t' || {key}"),
        }
    }

    fn key(&mut self) -> i32 {
        self.chance.random_range(1..=KEYS)
    }

    fn number(&mut self, low: i32, high: i32) -> i32 {
        self.chance.random_range(low..=high)
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.chance.random_range(0..number) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.chance.random_range(0..from.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same() {
        let texts = |seed| -> Vec<String> {
            let topics = topics(seed, 1_200, Mix::Wide);
            assert_eq!(topics.iter().map(|topic| topic.steps.len()).collect::<Vec<_>>(), [500, 500, 200]);
            topics.iter().flat_map(Topic::statements).map(|statement| statement.text.clone()).collect()
        };
        assert_eq!(texts(3), texts(3));
        assert_ne!(texts(3), texts(4));
    }
}
