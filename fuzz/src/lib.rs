//! What is fed with bytes that nobody meant to send, one function `run` a target: it must not panic, whatever the bytes, and what it
//! asserts must hold. `make fuzz` runs them under libFuzzer; `tests/replay.rs` runs the committed corpus and some thousand
//! mutations of it in `make test`.

mod catalog;
pub mod config;
pub mod log;
pub mod sql;
#[cfg(feature = "wire")]
pub mod wire;
