//! Clients that know nothing of us, good ones and bad ones.

use scenarios::Options;

use crate::common;

#[test]
fn psql() {
    common::run("psql", Options::default());
}

#[test]
fn pg_dump() {
    common::run("pg_dump", Options::default());
}

#[test]
fn psycopg() {
    common::run("psycopg", Options::default());
}

#[test]
fn sqlalchemy() {
    common::run("sqlalchemy", Options::default());
}

#[test]
fn django() {
    common::run("django", Options::default());
}

#[test]
fn node_postgres() {
    common::run("node_postgres", Options::default());
}

#[test]
fn jdbc() {
    common::run("jdbc", Options::default());
}

#[test]
fn tokio_client() {
    common::run("tokio_client", Options::default());
}

#[test]
fn tls_scram() {
    common::run("tls_scram", Options::default());
}

#[test]
fn bad_input() {
    common::run("bad_input", Options::default());
}

#[test]
fn big_result() {
    common::run("big_result", Options::default());
}

#[test]
fn slow_client() {
    common::run("slow_client", Options::default());
}
