//! The states of a member and the one function that changes them.
//!
//! | from | input | to |
//! |---|---|---|
//! | enabled | `Drain` | draining |
//! | draining | `Resume` | enabled |
//! | draining | `Drained(position)` | disabled(by operator, position) |
//! | enabled, draining | `Disable(reason, position)` | disabled(reason, position) |
//! | disabled, contents known | `Rejoin` | rejoining(position) |
//! | disabled, contents known | `FallBehind` | disabled(behind the log, position) |
//! | disabled | `Rebuild` | rebuilding(schema) |
//! | rejoining | `Applied(position)`, not backwards | rejoining(position) |
//! | rejoining | `CaughtUp` | enabled |
//! | rejoining(position) | `Disable(reason, …)` | disabled(reason, position): what was applied stays applied |
//! | rebuilding(schema), (rows) | `PhaseDone` | rebuilding(rows), (constraints) |
//! | rebuilding(constraints) | `Copied(position)` | rejoining(position) |
//! | rebuilding | `Disable(…)` | disabled(rebuild unfinished, start): the contents are half a copy |
//!
//! Everything else is illegal and changes nothing; in particular the first reason for a disablement stands,
//! unless the log is cut off behind the member.
//! That the last member is never disabled is the caller's duty: one member's state does not know the others.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::log::Position;

/// What a member may be used for at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MemberState {
    /// Takes part in everything.
    Enabled,
    /// Finishes what is open, gets nothing new.
    Draining,
    /// Takes part in nothing.
    Disabled {
        /// Why.
        reason: Reason,
        /// Everything up to here is on it.
        position: Position,
    },
    /// Gets from the log what it missed.
    Rejoining {
        /// Everything up to here is on it.
        position: Position,
    },
    /// Gets a copy of another member.
    Rebuilding {
        /// How far the copy is.
        phase: RebuildPhase,
    },
}

/// How far a copy from a donor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildPhase {
    /// Tables, types and functions are created.
    Schema,
    /// Rows are copied.
    Rows,
    /// Indexes and constraints are created, sequences are set.
    Constraints,
}

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberInput {
    /// An operator asks to take it out gently.
    Drain,
    /// An operator takes that back.
    Resume,
    /// The last open transaction on it has ended.
    Drained(Position),
    /// It is at fault.
    Disable(Reason, Position),
    /// It is to be brought back from the log.
    Rejoin,
    /// The log is cut off behind it: what it lacks will not be kept.
    FallBehind,
    /// The log was replayed on it up to here.
    Applied(Position),
    /// It holds everything; new transactions include it.
    CaughtUp,
    /// It is to be brought back from another member.
    Rebuild,
    /// The phase of the copy is complete.
    PhaseDone,
    /// The copy is complete, as of this position.
    Copied(Position),
}

/// An input that a state does not allow. The state stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member that is {state} cannot take {input:?}")]
pub struct IllegalTransition {
    /// The state, unchanged.
    pub state: MemberState,
    /// What it does not allow.
    pub input: MemberInput,
}

impl MemberState {
    /// The state after `input`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the table of this module has no such edge.
    pub fn transition(self, input: MemberInput) -> Result<Self, IllegalTransition> {
        let illegal = Err(IllegalTransition { state: self, input });
        match self {
            Self::Enabled => match input {
                MemberInput::Drain => Ok(Self::Draining),
                MemberInput::Disable(reason, position) => Ok(Self::Disabled { reason, position }),
                _ => illegal,
            },
            Self::Draining => match input {
                MemberInput::Resume => Ok(Self::Enabled),
                MemberInput::Drained(position) => Ok(Self::Disabled { reason: Reason::ByOperator, position }),
                MemberInput::Disable(reason, position) => Ok(Self::Disabled { reason, position }),
                _ => illegal,
            },
            Self::Disabled { reason, position } => match input {
                MemberInput::Rejoin if reason.contents_are_known() => Ok(Self::Rejoining { position }),
                MemberInput::FallBehind if reason.contents_are_known() => {
                    Ok(Self::Disabled { reason: Reason::BehindLog, position })
                }
                MemberInput::Rebuild => Ok(Self::Rebuilding { phase: RebuildPhase::Schema }),
                _ => illegal,
            },
            Self::Rejoining { position } => match input {
                MemberInput::Applied(next) if next >= position => Ok(Self::Rejoining { position: next }),
                MemberInput::CaughtUp => Ok(Self::Enabled),
                MemberInput::Disable(reason, _) => Ok(Self::Disabled { reason, position }),
                _ => illegal,
            },
            Self::Rebuilding { phase } => match (phase, input) {
                (RebuildPhase::Schema, MemberInput::PhaseDone) => Ok(Self::Rebuilding { phase: RebuildPhase::Rows }),
                (RebuildPhase::Rows, MemberInput::PhaseDone) => {
                    Ok(Self::Rebuilding { phase: RebuildPhase::Constraints })
                }
                (RebuildPhase::Constraints, MemberInput::Copied(position)) => Ok(Self::Rejoining { position }),
                (_, MemberInput::Disable(..)) => {
                    Ok(Self::Disabled { reason: Reason::RebuildUnfinished, position: Position::START })
                }
                _ => illegal,
            },
        }
    }

    /// The stable name, for `/status`, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled { .. } => "disabled",
            Self::Rejoining { .. } => "rejoining",
            Self::Rebuilding { .. } => "rebuilding",
        }
    }

    /// Whether new transactions include it.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled | Self::Draining => f.write_str(self.name()),
            Self::Disabled { reason, position } => write!(f, "disabled ({reason}, {position})"),
            Self::Rejoining { position } => write!(f, "rejoining ({position})"),
            Self::Rebuilding { phase } => write!(f, "rebuilding ({phase:?})"),
        }
    }
}
