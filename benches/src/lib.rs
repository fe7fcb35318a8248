//! Side by side on one machine: bare PostgreSQL, PgBouncer, pgpool-II and raidb, the same loads on the same
//! members, one target after the other, so that the ratios mean something.
//!
//! Every target starts from a fresh copy of the same data. A run is a record: see `benches/README.md`.

mod interrupt;
mod load;
mod members;
pub mod options;
mod pgbench;
mod plan;
mod process;
mod programs;
mod report;
mod sample;
mod targets;

pub use plan::run;
