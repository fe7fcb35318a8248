//! Members that stay disabled, those that return, and the last one.

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

#[test]
fn chaos() {
    common::run("chaos", Options { cycles: 1, ..Options::default() });
}

#[test]
fn log_limit() {
    common::run("log_limit", Options::default());
}

#[test]
fn member_add() {
    common::run("member_add", Options { seconds: 8, ..Options::default() });
}

#[test]
fn rejoin_under_load() {
    common::run("rejoin_under_load", Options { seconds: 5, ..Options::default() });
}

#[test]
fn killed_rejoining() {
    common::run("killed_rejoining", Options::default());
}

#[test]
fn crash_points_members() {
    common::run("crash_points_members", Options::default());
}

#[test]
fn crash_points_start() {
    common::run("crash_points_start", Options::default());
}

#[test]
fn crash_points_log() {
    common::run("crash_points_log", Options::default());
}

#[test]
fn log_lost() {
    common::run("log_lost", Options::default());
}
