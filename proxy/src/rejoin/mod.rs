//! How a member gets what it missed: from the recovery log, exactly once.
//!
//! | file | job |
//! |---|---|
//! | `tables` | the proxy's own tables on a member: which intents it holds, which epoch it has seen |
//! | `fence` | ends what an earlier proxy, or an earlier connection, left running on a member |
//! | `applier` | runs intents on a member, each together with its marker |
//! | `replay` | walks the log and hands the applier what a member lacks |
//! | `certification` | takes back what a lead was to decide, and did not |
//! | `adoption` | the log is lost: members are found current, made equal row by row, and the log begins behind them |
//! | `startup` | before the first client: every member is made equal to the log |
//! | `back` | a member comes back while clients are at work |
//! | `sequences` | raises sequences behind a crash |
//! | `rotation` | keeps the tables, and the log, bounded |

pub mod adoption;
pub mod applier;
pub mod back;
mod certification;
pub mod fence;
mod pacer;
pub mod replay;
pub mod rotation;
pub mod sequences;
pub mod startup;
pub mod tables;

use raidb_core::member::Reason;

use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::QueryError;
use crate::recovery_log::LogError;

/// Why a member could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RejoinError {
    /// The member.
    #[error("{0}")]
    Member(#[from] QueryError),
    /// A connection for replaying.
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    /// The log.
    #[error("recovery log: {0}")]
    Log(#[from] LogError),
    /// A record cannot be read.
    #[error("recovery log: {0}")]
    Corrupt(#[from] raidb_core::log::CorruptKind),
    /// The member answers otherwise than the lead did.
    #[error("at {position}: `{statement}` gave {found} where {expected} was agreed")]
    Differs {
        /// Which intent.
        position: raidb_core::log::Position,
        /// Its statement.
        statement: String,
        /// What the lead had answered.
        expected: String,
        /// What the member answers.
        found: String,
    },
    /// Its COMMIT was to decide, and it was lost before it could tell that it had carried it out.
    #[error(
        "it has carried out the transaction at {position}, which was aborted when it was lost before its COMMIT was answered"
    )]
    Uncertified {
        /// Which intent.
        position: raidb_core::log::Position,
    },
    /// Sessions of an earlier time do not end.
    #[error("{0} old sessions on the member do not end")]
    NotFenced(usize),
    /// What it needs is not in the log any more.
    #[error("it needs the log from {needed} on, which is not kept any more")]
    Behind {
        /// The first position that it lacks.
        needed: raidb_core::log::Position,
    },
    /// It has markers that this log never gave out: they are of another one.
    #[error("it holds transactions up to {told}, and the log ends at {end}: it belonged to another recovery log")]
    Foreign {
        /// The last that it names.
        told: raidb_core::log::Position,
        /// End of the log.
        end: raidb_core::log::Position,
    },
    /// It was told of a change of membership that this log does not know.
    #[error("it is of epoch {told}, and the log of epoch {epoch}: it belonged to another recovery log")]
    Newer {
        /// Its epoch.
        told: u64,
        /// The log's.
        epoch: u64,
    },
    /// Another member cannot be compared with it at present.
    #[error("{0}")]
    Repair(crate::scrub::ScrubError),
    /// No enabled member answers.
    #[error("no enabled member answers; the last one comes first")]
    NobodyLeft,
    /// It left again in the meantime.
    #[error("it was taken out again meanwhile")]
    Left,
    /// It took too long.
    #[error("no end within {0:?}")]
    TimedOut(std::time::Duration),
}

impl RejoinError {
    /// Why the member must be rebuilt, if trying again cannot help: its contents are not what the log says, or the log does
    /// not reach back to them.
    #[must_use]
    pub fn needs_rebuild(&self) -> Option<Reason> {
        match self {
            RejoinError::Differs { .. } | RejoinError::Foreign { .. } | RejoinError::Newer { .. } => {
                Some(Reason::Diverged)
            }
            RejoinError::Uncertified { .. } => Some(Reason::Uncertified),
            RejoinError::Behind { .. } => Some(Reason::BehindLog),
            _ => None,
        }
    }
}
