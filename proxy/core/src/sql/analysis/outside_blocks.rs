//! Statements that PostgreSQL runs outside transaction blocks, or that end one otherwise than by COMMIT: CONCURRENTLY, two-phase commit.

use std::sync::Arc;

use super::Analysis;

/// A statement that PostgreSQL runs in several transactions of its own, so that it needs weaker locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrently {
    /// Which.
    pub kind: ConcurrentKind,
    /// The tokens, counted from 0, that make it so: see [`crate::sql::split::blanked`].
    pub word: Vec<usize>,
    /// The statement without them.
    pub plain: Arc<Analysis>,
    /// What it names, of which PostgreSQL asks more than of the plain one: schema and name.
    pub name: Option<(Option<String>, String)>,
    /// PostgreSQL's error (0A000), where it is known from the text and the catalog.
    pub wrong: Option<String>,
}

/// Statements that have CONCURRENTLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcurrentKind {
    /// CREATE INDEX
    CreateIndex,
    /// DROP INDEX
    DropIndex,
    /// REINDEX INDEX
    ReindexIndex,
    /// REINDEX TABLE
    ReindexTable,
    /// REINDEX SCHEMA
    ReindexSchema,
    /// REINDEX DATABASE, REINDEX SYSTEM
    ReindexDatabase,
    /// ALTER TABLE … DETACH PARTITION
    Detach,
}

impl ConcurrentKind {
    /// As PostgreSQL's errors call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConcurrentKind::CreateIndex => "CREATE INDEX CONCURRENTLY",
            ConcurrentKind::DropIndex => "DROP INDEX CONCURRENTLY",
            ConcurrentKind::ReindexIndex
            | ConcurrentKind::ReindexTable
            | ConcurrentKind::ReindexSchema
            | ConcurrentKind::ReindexDatabase => "REINDEX CONCURRENTLY",
            ConcurrentKind::Detach => "ALTER TABLE ... DETACH CONCURRENTLY",
        }
    }
}

/// Commands of two-phase commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwoPhase {
    /// PREPARE TRANSACTION.
    Prepare,
    /// COMMIT PREPARED, ROLLBACK PREPARED.
    Finish {
        /// COMMIT.
        commit: bool,
        /// Which transaction. The analysis is shared by no other text.
        identifier: String,
    },
}
