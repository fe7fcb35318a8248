//! The simulated member behaves like PostgreSQL where it matters.

use super::*;
use crate::statement::{Op, Table, Values};

struct Bench {
    server: Server,
    random: Random,
}

impl Bench {
    fn new() -> Self {
        let mut server = Server::default();
        (1..=3).for_each(|id| assert!(server.connect(id, u64::from(id))));
        let mut bench = Bench { server, random: Random::new(1) };
        bench.run(1, &[insert(Table::Item, 1, 10), insert(Table::Parent, 1, 10)]).unwrap();
        bench
    }

    fn send(&mut self, id: ConnectionId, unit: &[Command]) -> Option<Answer> {
        self.server.backend(id).unwrap().send(unit.to_vec());
        self.go_on(id)
    }

    fn go_on(&mut self, id: ConnectionId) -> Option<Answer> {
        while self.server.serve(id, &mut self.random) {}
        self.server.backend(id).unwrap().receive()
    }

    /// In a transaction that it commits.
    fn run(&mut self, id: ConnectionId, ops: &[Op]) -> Option<Answer> {
        let unit: Vec<Command> = [Command::Begin].into_iter().chain(ops.iter().map(|op| run(*op))).collect();
        self.send(id, &unit)?;
        self.send(id, &[Command::Commit])
    }
}

fn run(op: Op) -> Command {
    Command::Run(op, 1)
}

fn insert(table: Table, id: u32, v: u32) -> Op {
    Op::Insert(table, Values { id, v, ..Values::default() })
}

fn rows(answer: &Answer) -> Option<u32> {
    answer.tags.last().and_then(|tag| tag.rows)
}

fn error(answer: &Answer) -> &str {
    answer.error.as_ref().map_or("", |state| state.as_str())
}

#[test]
fn an_update_waits_and_looks_again() {
    let mut b = Bench::new();
    b.send(1, &[Command::Begin, run(Op::Add(Table::Item, 1, 1))]).unwrap();
    assert_eq!(b.send(2, &[Command::Begin, run(Op::AddEven(Table::Item, 1, 1))]), None, "it waits");
    assert_eq!(b.server.rows.contents(Table::Item)[0].v, 10);
    b.send(1, &[Command::Commit]).unwrap();
    // 31 is odd now.
    assert_eq!(rows(&b.go_on(2).unwrap()), Some(0));
    assert_eq!(b.server.rows.contents(Table::Item)[0].v, 31);
}

#[test]
fn a_unique_key_waits_for_who_has_inserted_it() {
    for commits in [true, false] {
        let mut b = Bench::new();
        b.send(1, &[Command::Begin, run(insert(Table::Item, 2, 1))]).unwrap();
        assert_eq!(b.send(2, &[Command::Begin, run(insert(Table::Item, 2, 2))]), None);
        b.send(1, &[if commits { Command::Commit } else { Command::Rollback }]).unwrap();
        let answer = b.go_on(2).unwrap();
        assert_eq!(error(&answer), if commits { "23505" } else { "" });
        assert_eq!(answer.status, if commits { b'E' } else { b'T' });
    }
}

#[test]
fn a_parent_is_held_by_its_child() {
    let mut b = Bench::new();
    let child = Op::Insert(Table::Child, Values { id: 1, v: 1, pid: 1, u: 1 });
    b.send(1, &[Command::Begin, run(child)]).unwrap();
    // Its keys are left alone.
    assert_eq!(rows(&b.send(2, &[Command::Begin, run(Op::Add(Table::Parent, 1, 1))]).unwrap()), Some(1));
    b.send(2, &[Command::Rollback]).unwrap();
    assert_eq!(b.send(2, &[Command::Begin, run(Op::Delete(Table::Parent, 1))]), None);
    b.send(1, &[Command::Commit]).unwrap();
    assert_eq!(error(&b.go_on(2).unwrap()), "23503");
}

#[test]
fn a_deadlock_is_found() {
    let mut b = Bench::new();
    b.run(1, &[insert(Table::Item, 2, 1)]).unwrap();
    b.send(1, &[Command::Begin, run(Op::Add(Table::Item, 1, 1))]).unwrap();
    b.send(2, &[Command::Begin, run(Op::Add(Table::Item, 2, 1))]).unwrap();
    assert_eq!(b.send(1, &[run(Op::Add(Table::Item, 2, 1))]), None);
    assert!(!b.server.detect_deadlock(&mut Random::new(1)));
    assert_eq!(b.send(2, &[run(Op::Add(Table::Item, 1, 1))]), None);
    assert!(b.server.detect_deadlock(&mut Random::new(1)));
    let answers: Vec<Answer> = [1, 2, 1, 2].into_iter().filter_map(|id| b.go_on(id)).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers.iter().filter(|answer| error(answer) == "40P01").count(), 1);
}

#[test]
fn a_savepoint_gives_back_what_came_behind_it() {
    let mut b = Bench::new();
    b.send(1, &[Command::Begin, Command::Savepoint(0), run(Op::Add(Table::Item, 1, 1))]).unwrap();
    assert_eq!(b.send(2, &[Command::Begin, run(Op::Lock(Table::Item, 1))]), None);
    assert_eq!(b.send(1, &[Command::RollbackTo(0)]).unwrap().status, b'T');
    assert_eq!(rows(&b.go_on(2).unwrap()), Some(1));
    // A lock of the row does not hold up whoever finds its key taken.
    assert_eq!(error(&b.send(1, &[run(insert(Table::Item, 1, 1))]).unwrap()), "23505");
}

#[test]
fn who_nobody_listens_to_commits_what_was_sent() {
    let mut b = Bench::new();
    b.send(1, &[Command::Begin, run(Op::Add(Table::Item, 1, 1))]).unwrap();
    b.server.backend(1).unwrap().send(vec![Command::Mark(7), Command::Commit]);
    b.server.backend(1).unwrap().client_gone = true;
    assert_eq!(b.go_on(1), None);
    assert_eq!(b.server.rows.contents(Table::Item)[0].v, 31);
    assert!(b.server.applied().holds(Position(7)));
    assert_eq!(b.server.commits.get(&1), Some(&2));
}

#[test]
fn upserts_wait_and_update() {
    let mut b = Bench::new();
    let upsert = |v| Op::Upsert(Table::Item, Values { id: 5, v, ..Values::default() });
    b.send(1, &[Command::Begin, run(upsert(1))]).unwrap();
    assert_eq!(b.send(2, &[Command::Begin, run(upsert(3))]), None);
    b.send(1, &[Command::Commit]).unwrap();
    b.go_on(2).unwrap();
    b.send(2, &[Command::Commit]).unwrap();
    assert_eq!(b.server.rows.contents(Table::Item)[1].v, 5);
    let ignored = Op::InsertIgnore(Table::Item, Values { id: 5, v: 9, ..Values::default() });
    assert_eq!(rows(&b.send(2, &[Command::Begin, run(ignored)]).unwrap()), Some(0));
}

#[test]
fn a_key_that_was_inserted_and_deleted_is_waited_for() {
    let mut b = Bench::new();
    let ops = [run(insert(Table::Item, 7, 1)), run(Op::Delete(Table::Item, 7))];
    b.send(1, &[Command::Begin, ops[0], Command::Savepoint(0), ops[1]]).unwrap();
    assert_eq!(b.send(2, &[Command::Begin, run(insert(Table::Item, 7, 2))]), None);
    b.send(1, &[Command::Commit]).unwrap();
    assert_eq!(error(&b.go_on(2).unwrap()), "");
}
