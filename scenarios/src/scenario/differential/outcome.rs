//! How the two answers to one statement compare.

use super::answer::Answer;
use super::corpus::{Protocol, Statement, Topic};

/// How the answers compare.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Identical {
        /// Both are the same error.
        error: bool,
    },
    /// The proxy's reason. It was not run on the bare server.
    Refused(String),
    Different {
        proxied: Answer,
        bare: Answer,
    },
    /// A known bug.
    Known(String),
    /// It was marked as a known bug, and is none any more.
    Mended(String),
}

/// What became of one statement.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    pub(super) topic: String,
    pub(super) protocol: Protocol,
    pub(super) statement: Statement,
    pub(super) outcome: Outcome,
}

/// A difference between members, or between them and the bare server.
#[derive(Clone, Debug)]
pub(super) struct MemberDifference {
    pub(super) topic: String,
    pub(super) protocol: Protocol,
    /// What the checker says.
    pub(super) found: String,
    /// The statement, or the transaction, behind which it was there first.
    pub(super) culprit: Option<String>,
}

impl MemberDifference {
    pub(super) fn without_culprit(topic: &Topic, protocol: Protocol, found: String) -> Self {
        Self { topic: topic.name.clone(), protocol, found, culprit: None }
    }
}
