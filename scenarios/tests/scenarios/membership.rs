//! Members that stay disabled, and the last one.

use scenarios::Options;

use crate::common;

#[test]
fn restart_keeps_disabled() {
    common::run("restart_keeps_disabled", Options::default());
}

#[test]
fn last_member() {
    common::run("last_member", Options::default());
}
