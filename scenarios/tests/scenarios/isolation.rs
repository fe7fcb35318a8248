//! Isolation through the proxy is what one PostgreSQL gives.

use scenarios::Options;

use crate::common;

#[test]
fn list_append() {
    common::run("list_append", Options { clients: 30, transactions: 15, ..Options::default() });
}

#[test]
fn hermitage() {
    common::run("hermitage", Options::default());
}

#[test]
fn long_fork() {
    common::run("long_fork", Options { seconds: 4, ..Options::default() });
}

#[test]
fn bank() {
    common::run("bank", Options { seconds: 5, ..Options::default() });
}

#[test]
fn registers() {
    common::run("registers", Options { seconds: 5, ..Options::default() });
}

#[test]
fn locks() {
    common::run("locks", Options { seconds: 5, ..Options::default() });
}

#[test]
fn messages() {
    common::run("messages", Options { seconds: 5, ..Options::default() });
}
