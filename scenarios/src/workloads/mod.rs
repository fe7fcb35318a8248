//! Loads: clients that put work on an endpoint and count what they were told.

pub mod pgbench;
