//! Statements whose writes are hidden: the lead takes images of the rows that they change, followers get what is left behind.
//!
//! The lead's answers ([`report`]) say what was done and what was taken; [`judge`] says whether that is all that followers
//! need; [`net()`] adds the images up; [`follower::statements`] makes SQL of the sums. docs/adr/0013-captured-images.md.

pub mod composite;
pub mod follower;
mod judge;
mod net;
mod report;

pub use judge::{Finding, judge};
pub use net::{TableChange, net};
pub use report::{Counts, Permission, Report, Rows};

use super::text::quote_qualified;

/// The triggers on a table that takes images.
pub const TRIGGERS: usize = 2;

/// What one image tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A row went (`old`), came (`new`), or changed (both).
    Row,
    /// The table was emptied, which changes so many rows of `pg_class`.
    Truncate {
        /// See above.
        relations: i64,
    },
}

/// What a trigger has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What happened.
    pub operation: Operation,
    /// Schema and name.
    pub table: (String, String),
    /// The row before, as text.
    pub old: Option<Vec<u8>>,
    /// The row behind, as text.
    pub new: Option<Vec<u8>>,
}

/// Statements that put the triggers on a table, with their command tags. They may stand there already, switched off.
///
/// ALWAYS: a function of the user may set `session_replication_role`, and what it does then counts as well. On followers
/// nothing sets `raidb.capture`.
#[must_use]
pub fn install(schema: &str, table: &str) -> [(String, &'static str); 3] {
    let name = quote_qualified(schema, table);
    let made = |trigger: &str, when: &str| {
        format!(
            "CREATE OR REPLACE TRIGGER {trigger} {when} WHEN (pg_catalog.current_setting('raidb.capture', true) = 'on') \
             EXECUTE FUNCTION raidb.capture()"
        )
    };
    [
        (made("raidb_capture", &format!("AFTER INSERT OR UPDATE OR DELETE ON {name} FOR EACH ROW")), "CREATE TRIGGER"),
        (made("raidb_capture_truncate", &format!("AFTER TRUNCATE ON {name} FOR EACH STATEMENT")), "CREATE TRIGGER"),
        (
            format!(
                "ALTER TABLE ONLY {name} ENABLE ALWAYS TRIGGER raidb_capture, \
                 ENABLE ALWAYS TRIGGER raidb_capture_truncate"
            ),
            "ALTER TABLE",
        ),
    ]
}
