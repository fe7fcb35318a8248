//! A RAIDb level is four independent factors (DESIGN.md §8); the RAIDb names are presets of two of them.
//!
//! Invariant: nothing asks for a level by name to decide what to do. Whoever decides asks for a factor.

mod factors;
mod level;

pub use factors::{ErrorCheck, Pick, Placement, Policy, WaitFor};
pub use level::Level;
