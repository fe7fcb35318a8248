//! A member's life: its states, why it was disabled, and what is kept about that.

mod incident;
mod reason;
mod state;

#[cfg(test)]
mod state_test;

pub use incident::{Answer, Incident, summarize_parameters};
pub use reason::{Reason, WayBack};
pub use state::{IllegalTransition, MemberInput, MemberState, RebuildPhase};
