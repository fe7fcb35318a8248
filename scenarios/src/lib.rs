//! Scenarios: real PostgreSQL members, the real proxy, real faults, and checkers that say whether anything was lost.
//!
//! * [`cluster`] starts and breaks processes (members, the proxy, the relays between them);
//! * [`clients`] runs programs that know nothing of us: psql, Python, Java, raw bytes;
//! * [`workloads`] puts load on an endpoint and counts what it was told;
//! * [`checkers`] compares what the members hold afterwards;
//! * [`scenario`] combines them, one file per scenario, each a function from [`Options`] to a [`Summary`].
//!
//! Every scenario draws all its chance from one seed, asserts that its fault happened, and ends with member equality.

pub mod checkers;
pub mod clients;
pub mod cluster;
mod failure;
mod options;
pub mod report;
pub mod scenario;
pub mod sql;
pub mod timeline;
pub mod workloads;

pub use failure::{Failure, Result, fail};
pub use options::{Against, Allowed, Options, Summary};
