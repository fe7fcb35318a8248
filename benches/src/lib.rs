//! Side by side on one machine: bare PostgreSQL, PgBouncer, pgpool-II and raidb, the same loads on the same
//! members, one target after the other, so that the ratios mean something.
//!
//! Every target starts from a fresh copy of the same data. A run is a record: see `benches/README.md`.

mod account;
mod equality;
mod error;
mod interrupt;
mod load;
mod member;
pub mod options;
mod pgbench;
mod plan;
mod ports;
mod process;
mod programs;
mod report;
mod sample;
mod targets;

pub use error::Failure;
pub use plan::run;
