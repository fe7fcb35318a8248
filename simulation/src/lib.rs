//! Deterministic simulation of raidb's pure core: many sessions, simulated members and a simulated disk, every event chosen by
//! a seed. What is real, what is mirrored and what is checked: docs/simulation.md.
#![expect(unreachable_pub, missing_docs, reason = "a test program: its modules are read, not linked")]

mod client;
mod disk;
mod faults;
mod invariants;
mod member;
mod planted;
mod proxy;
mod random;
mod reader;
mod report;
mod schedule;
mod session;
mod settings;
mod statement;
mod trace;
mod world;

#[cfg(test)]
mod simulation_test;

pub use planted::Planted;
pub use report::{Report, run, run_traced};
pub use world::Counts;
