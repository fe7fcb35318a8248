//! What the members' outcomes say when they are laid side by side: agreement, or who is wrong.
//!
//! Invariant: no verdict disables every member. Called by the write path with the outcomes of one
//! statement or of one commit; it knows neither connections nor time.

mod outcome;
mod sqlstate;
mod vote;

#[cfg(test)]
mod vote_test;

pub use outcome::Outcome;
pub use sqlstate::{SqlState, StateClass};
pub use vote::{Verdict, Wrong, verdict};
