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

#[test]
fn activemq_faults() {
    let faults = Some("member_kill,proxy_kill,master_kill,member_freeze".to_owned());
    common::run(
        "activemq_faults",
        Options { seconds: 24, only: Some("default".to_owned()), faults, ..Options::default() },
    );
}
