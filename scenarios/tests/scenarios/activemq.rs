//! The real ActiveMQ with its messages behind the proxy.

use scenarios::Options;

use crate::common;

#[test]
fn activemq_kill() {
    common::run("activemq_kill", Options { transactions: 100, ..Options::default() });
}

#[test]
fn activemq_takeover() {
    common::run("activemq_takeover", Options { transactions: 50, ..Options::default() });
}
