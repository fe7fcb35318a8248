//! One member's answer to one statement. An outcome is not an error: an SQL error is an answer too.

use std::borrow::Cow;
use std::fmt;

use super::{SqlState, StateClass};
use crate::member::Reason;

/// What came of a statement on one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed.
    Ok {
        /// Command tag without numbers, for instance `INSERT`.
        tag: Cow<'static, str>,
        /// Rows that it returned or touched; 0 if the tag has no number.
        rows: u64,
    },
    /// It was refused.
    SqlError {
        /// Why.
        sqlstate: SqlState,
    },
    /// The connection broke before the answer: whether it was executed is unknown.
    Lost,
    /// The time limit ended before the answer: whether it was, or will be, executed is unknown.
    TimedOut,
}

/// Tags of the hot path, which need no allocation.
const COMMON_TAGS: [&str; 10] =
    ["INSERT", "UPDATE", "DELETE", "SELECT", "MERGE", "COPY", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"];

impl Outcome {
    /// The outcome that a CommandComplete stands for: `INSERT 0 5`, `UPDATE 3`, `CREATE TABLE`.
    pub fn from_tag(text: &str) -> Self {
        let last = text.rsplit_once(' ').and_then(|(head, last)| Some((head, last.parse().ok()?)));
        let (tag, rows) = last.unwrap_or((text, 0));
        // INSERT has the oid of a time when rows had one between its word and its count.
        let tag = if tag == "INSERT 0" { "INSERT" } else { tag };
        let common = COMMON_TAGS.iter().find(|common| **common == tag);
        Self::Ok { tag: common.map_or_else(|| Cow::Owned(tag.to_owned()), |tag| Cow::Borrowed(*tag)), rows }
    }

    /// Why the member that gave this outcome is at fault whatever the others answered; `None` if it is not.
    pub fn fault(&self) -> Option<Reason> {
        match self {
            Self::Lost => Some(Reason::LostConnection),
            Self::TimedOut => Some(Reason::TimedOut),
            Self::SqlError { sqlstate } => match sqlstate.class() {
                StateClass::MemberFault if sqlstate.is_resource() => Some(Reason::Resource { sqlstate: *sqlstate }),
                StateClass::MemberFault => Some(Reason::ServerError { sqlstate: *sqlstate }),
                StateClass::Abort | StateClass::SqlError => None,
            },
            Self::Ok { .. } => None,
        }
    }

    /// The SQLSTATE with which the member rolled the transaction back (40xxx), if it did.
    pub fn abort(&self) -> Option<SqlState> {
        match self {
            Self::SqlError { sqlstate } if sqlstate.class() == StateClass::Abort => Some(*sqlstate),
            Self::Ok { .. } | Self::SqlError { .. } | Self::Lost | Self::TimedOut => None,
        }
    }

    /// Whether the member answered at all.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Ok { .. } | Self::SqlError { .. } => true,
            Self::Lost | Self::TimedOut => false,
        }
    }
}

/// As it is kept in an incident.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok { tag, rows } => write!(f, "{tag}, {rows} rows"),
            Self::SqlError { sqlstate } => write!(f, "error {sqlstate}"),
            Self::Lost => f.write_str("connection lost"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_command_tags() {
        let expect = [
            ("INSERT 0 5", "INSERT", 5),
            ("UPDATE 3", "UPDATE", 3),
            ("SELECT 18446744073709551615", "SELECT", u64::MAX),
            ("CREATE TABLE", "CREATE TABLE", 0),
            ("COPY 7", "COPY", 7),
            ("FETCH 1", "FETCH", 1),
            ("", "", 0),
        ];
        for (text, tag, rows) in expect {
            assert_eq!(Outcome::from_tag(text), Outcome::Ok { tag: Cow::Borrowed(tag), rows });
        }
        assert!(matches!(Outcome::from_tag("UPDATE 1"), Outcome::Ok { tag: Cow::Borrowed(_), .. }));
    }
}
