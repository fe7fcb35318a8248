//! The pure part of raidb: SQL analysis, transcripts, transaction and member state machines,
//! verdicts, log codec, placement, the plan of a scrub, configuration.
//!
//! Nothing here performs I/O, reads a clock or knows a runtime (DESIGN.md §9, invariant 5): time and
//! bytes are passed in, decisions come out. The crate `raidb` is the shell that carries them out.

pub mod advisory;
pub mod config;
pub mod ids;
pub mod log;
pub mod member;
pub mod placement;
pub mod scrub;
pub mod sql;
pub mod token;
pub mod transaction;
pub mod transcript;
pub mod verdict;
