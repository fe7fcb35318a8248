//! Deterministic simulation of raidb's pure core: many sessions, simulated members and a simulated disk, every event chosen by
//! a seed. What is real, what is mirrored and what is checked: docs/simulation.md.
#![expect(unreachable_pub, missing_docs, reason = "a test program: its modules are read, not linked")]

mod member;
mod random;
mod statement;
