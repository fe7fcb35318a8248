//! pgbench through the proxy: without a fault, with the lead killed, with the lead frozen.

use scenarios::Options;

use crate::common;

#[test]
fn pgbench_plain() {
    common::run("pgbench_plain", Options { seconds: 4, ..Options::default() });
}

#[test]
fn pgbench_kill_lead() {
    common::run("pgbench_kill_lead", Options { seconds: 9, ..Options::default() });
}

#[test]
fn pgbench_freeze_lead() {
    common::run("pgbench_freeze_lead", Options { seconds: 12, ..Options::default() });
}
