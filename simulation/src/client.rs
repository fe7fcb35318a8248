//! What a client does: transactions of a few statements on few rows, so that they meet.

use crate::random::Random;
use crate::settings::Settings;
use crate::statement::{Op, Table, Values};

/// The next thing that a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Run(Op),
    Savepoint(u8),
    RollbackTo(u8),
    Commit,
    Rollback,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Client {
    left: u32,
    acts: Vec<Act>,
    at: usize,
    token: bool,
}

impl Client {
    pub fn new(transactions: u32) -> Self {
        Client { left: transactions, acts: Vec::new(), at: 0, token: false }
    }

    /// Nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    pub fn act(&self) -> Act {
        self.acts.get(self.at).copied().unwrap_or(Act::Rollback)
    }

    pub fn next(&mut self) {
        self.at += 1;
    }

    pub fn ended(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Whether it names its transaction.
    pub fn token(&self) -> bool {
        self.token
    }

    pub fn begin(&mut self, origin: u32, random: &mut Random, settings: Settings) {
        self.acts.clear();
        self.at = 0;
        self.token = settings.tokens && random.chance(400);
        for _ in 0..=random.below(5) {
            if settings.savepoints && random.chance(250) {
                let name = u8::from(random.chance(300));
                self.acts.push(if random.chance(600) { Act::Savepoint(name) } else { Act::RollbackTo(name) });
            }
            self.acts.push(Act::Run(op(origin, random, settings)));
        }
        self.acts.push(if random.chance(80) { Act::Rollback } else { Act::Commit });
    }

    /// The lead said an error. `back`: its innermost savepoint.
    pub fn failed(&mut self, back: Option<u8>, random: &mut Random) {
        match back.filter(|_| random.chance(750)) {
            Some(name) => self.acts[self.at] = Act::RollbackTo(name),
            None => {
                self.acts.truncate(self.at);
                self.acts.push(Act::Rollback);
            }
        }
    }
}

fn op(origin: u32, random: &mut Random, settings: Settings) -> Op {
    let tables: Vec<u32> = (0..3).filter(|bit| settings.tables & (1 << bit) != 0).collect();
    match random.pick(&tables) {
        0 => related(random, settings.keys),
        1 => item(random, settings.keys),
        _ => Op::Insert(Table::Note, Values { id: origin, v: random.below(100), ..Values::default() }),
    }
}

fn item(random: &mut Random, keys: u32) -> Op {
    let (id, k) = (1 + random.below(keys), 1 + random.below(50));
    let table = Table::Item;
    let values = Values { id, v: k, ..Values::default() };
    match random.below(12) {
        0 | 1 => Op::Insert(table, values),
        2 => Op::InsertIgnore(table, values),
        3 => Op::Upsert(table, values),
        4..=6 => Op::Add(table, id, k),
        7 => Op::AddEven(table, id, k),
        8 => Op::Delete(table, id),
        9 => Op::DeleteThird(table, id),
        10 => Op::Scan(table, k),
        _ => Op::Lock(table, id),
    }
}

/// Statements on parent and child: as in model/lead_first.py.
fn related(random: &mut Random, keys: u32) -> Op {
    let (a, b, c) = (1 + random.below(keys), random.below(keys + 1), random.below(keys + 1));
    let k = 1 + random.below(50);
    let parent = Values { id: a, v: k, ..Values::default() };
    let child = Values { id: a, v: k, pid: b, u: c };
    match random.below(22) {
        0..=2 => Op::Insert(Table::Parent, parent),
        3 | 4 => Op::Add(Table::Parent, a, k),
        5 => Op::AddEven(Table::Parent, a, k),
        6 => Op::Delete(Table::Parent, a),
        7 => Op::DeleteThird(Table::Parent, a),
        8..=10 => Op::Insert(Table::Child, child),
        11 => Op::SetU(a, c),
        12 => Op::SetId(a, 1 + random.below(keys)),
        13 => Op::SetPid(a, b),
        14 => Op::Upsert(Table::Parent, parent),
        15 => Op::InsertIgnore(Table::Parent, parent),
        16 => Op::UpsertU(child),
        17 => Op::InsertIgnore(Table::Child, child),
        18 => Op::Scan(Table::Child, k),
        19 => Op::Delete(Table::Child, a),
        20 => Op::Lock(Table::Parent, a),
        _ => Op::DeleteU(c),
    }
}
