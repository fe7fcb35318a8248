//! What goes over a connection: units of commands to the member, one answer to each, in order.

use std::fmt;

use raidb_core::verdict::SqlState;

use crate::statement::{Op, Values};

/// One command of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// BEGIN.
    Begin,
    /// A statement, of the client's transaction of that number.
    Run(Op, u32),
    /// SAVEPOINT.
    Savepoint(u8),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(u8),
    /// ROLLBACK.
    Rollback,
    /// COMMIT.
    Commit,
    /// The marker of the intent at this position.
    Mark(u64),
}

/// A command tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its word.
    pub verb: &'static str,
    /// Rows; `None`: it has no number.
    pub rows: Option<u32>,
}

impl Tag {
    /// A tag without a number.
    #[must_use]
    pub fn word(verb: &'static str) -> Self {
        Tag { verb, rows: None }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rows {
            Some(rows) => write!(f, "{} {rows}", self.verb),
            None => f.write_str(self.verb),
        }
    }
}

/// The answer to a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Of the commands that worked.
    pub tags: Vec<Tag>,
    /// The next one failed.
    pub error: Option<SqlState>,
    /// Rows that were touched.
    pub rows: Vec<Values>,
    /// `I`, `T` or `E`.
    pub status: u8,
}
