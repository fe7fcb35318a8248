//! CONCURRENTLY: the statement runs without the word, in one transaction on all members, and what it answers is what it answers
//! with the word (docs/adr/0015).
//!
//! Inside a transaction block the lead refuses it, in its own words. What PostgreSQL asks of it besides is asked of the lead before.

use std::sync::Arc;

use bytes::Bytes;
use raidb_core::sql::analysis::{Analysis, Command, ConcurrentKind, Concurrently};
use raidb_core::sql::rows::quote_literal;
use raidb_core::sql::split::blanked;
use raidb_core::sql::{quote_ident, quote_qualified};

use super::Session;
use super::simple::take_back_tag;
use super::statement::Statement;
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::maintenance::TextRows;

/// What the lead says against it.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing: it runs without the word.
    Runs,
    /// PostgreSQL's error.
    Error(&'static str, String),
    /// PostgreSQL passes over all that it names, with these messages: severity, SQLSTATE, text.
    Nothing(Vec<Said>),
    /// It runs, behind these messages.
    Warns(Vec<Said>),
    /// Without the word it fails as well, and says why.
    Fails,
    /// With the word PostgreSQL would do something else.
    Refused(&'static str),
}

type Said = (&'static str, &'static str, String);

impl Session {
    /// Runs it; its answer is staged. What it does is committed: with the word it is a transaction of its own, whatever follows.
    pub(super) async fn concurrently(&mut self, statement: &Statement, how: &Concurrently) -> Result<(), Trouble> {
        if let Some(error) = self.lost_transaction.take_if(|_| self.block == Block::Idle) {
            // What came before it in a pipeline.
            return Err(error.into());
        }
        if self.block != Block::Idle || (self.open.is_some() && statement.bound.is_none()) {
            self.open_implicit();
            return self.simple_on_lead(&Statement { bound: None, ..statement.clone() }).await;
        }
        self.outside_blocks(statement, how.kind.name())?;
        if let Some(error) = &how.wrong {
            return Err(SqlError::new("0A000", error.as_str(), "").into());
        }
        match self.asked_of_lead(how).await? {
            Verdict::Runs => {}
            Verdict::Error(sqlstate, message) => return Err(SqlError::new(sqlstate, message, "").into()),
            Verdict::Fails => return self.fails(statement, how).await,
            Verdict::Refused(reason) => {
                self.database.counters.refusals.add();
                return Err(SqlError::refused(reason, "leave out CONCURRENTLY").into());
            }
            Verdict::Warns(said) => said.iter().for_each(|(severity, code, text)| self.tell(severity, code, text)),
            Verdict::Nothing(said) => {
                said.iter().for_each(|(severity, code, text)| self.tell(severity, code, text));
                self.complete("REINDEX");
                return Ok(());
            }
        }
        self.without_the_word(statement, how).await
    }

    async fn without_the_word(&mut self, statement: &Statement, how: &Concurrently) -> Result<(), Trouble> {
        let plain = plain(statement, how, how.plain.clone());
        match &plain.analysis.command {
            Command::Refused(refusal) => Err(self.refused(refusal).into()),
            Command::Utility(utility) if !utility.transactional => self.utility_outside(&plain, utility).await,
            _ => {
                self.open_implicit();
                self.simple_on_lead(&plain).await?;
                self.commit().await.inspect_err(|_| take_back_tag(&mut self.staged))
            }
        }
    }

    /// The error is the lead's; if it succeeds against expectation, it is undone and refused.
    async fn fails(&mut self, statement: &Statement, how: &Concurrently) -> Result<(), Trouble> {
        let command = Command::Unknown { what: "a relation".to_owned() };
        let analysis = Arc::new(Analysis { command, ..(*how.plain).clone() });
        self.open_implicit();
        self.simple_on_lead(&plain(statement, how, analysis)).await
    }

    /// Asks the lead what PostgreSQL asks of such a statement, in a transaction that is over behind it.
    async fn asked_of_lead(&mut self, how: &Concurrently) -> Result<Verdict, Trouble> {
        let Some((schema, name)) = &how.name else { return Ok(Verdict::Runs) };
        let Some(questions) = questions(how.kind) else { return Ok(Verdict::Runs) };
        if !self.settings.utf8 && !schema.iter().chain([name]).all(|name| name.is_ascii()) {
            let reason = "it is asked about by a name that is not ASCII, and client_encoding is not UTF8";
            return Ok(Verdict::Refused(reason));
        }
        let known = match schema {
            Some(schema) => quote_qualified(schema, name),
            None if how.kind == ConcurrentKind::ReindexSchema => name.clone(),
            None => quote_ident(name),
        };
        let mut literal = Vec::new();
        quote_literal(&mut literal, known.as_bytes(), self.settings.standard_conforming);
        let sql = questions.replace("$NAME", &String::from_utf8_lossy(&literal));
        self.open_implicit();
        let results = loop {
            let asked = match self.ready_members(false).await {
                Ok(_) => self.lead_results(&sql).await,
                Err(trouble) => Err(trouble),
            };
            match asked {
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                Err(Trouble::MemberLost) => self.next_view().await,
                other => break other?,
            }
        };
        self.rollback().await;
        Ok(verdict(how.kind, name, &results))
    }
}

/// The statement without the word.
fn plain(statement: &Statement, how: &Concurrently, analysis: Arc<Analysis>) -> Statement {
    let sql = Bytes::from(blanked(&statement.sql, &how.word, statement.analysis.standard_conforming));
    Statement { sql, analysis, bound: None, ..statement.clone() }
}

/// What is asked of the lead about what is called `$NAME`. No row: the statement without the word says all that is to be said
/// (there is no such relation, it is temporary, or the user may not do this).
fn questions(kind: ConcurrentKind) -> Option<&'static str> {
    match kind {
        ConcurrentKind::CreateIndex | ConcurrentKind::ReindexDatabase => None,
        ConcurrentKind::DropIndex => Some(
            "SELECT c.relkind = 'I' FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($NAME) \
             AND c.relpersistence <> 't' AND pg_catalog.pg_has_role(c.relowner, 'USAGE')",
        ),
        ConcurrentKind::ReindexIndex => Some(
            "SELECT i.indrelid < 12000, i.indisexclusion FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
             WHERE c.oid = pg_catalog.to_regclass($NAME) AND c.relkind = 'i' \
             AND c.relpersistence <> 't' AND pg_catalog.pg_has_role(c.relowner, 'USAGE')",
        ),
        // An index of a table of TOAST makes that there is one.
        ConcurrentKind::ReindexTable => Some(
            "SELECT c.oid < 12000, c.relkind = 'p', c.reltoastrelid <> 0 FROM pg_catalog.pg_class c \
             WHERE c.oid = pg_catalog.to_regclass($NAME) AND c.relkind IN ('r', 'm', 'p') \
             AND c.relpersistence <> 't' AND pg_catalog.pg_has_role(c.relowner, 'USAGE');\
             SELECT pg_catalog.concat(n.nspname, '.', x.relname), i.indisexclusion, i.indisvalid \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace WHERE x.relkind = 'i' AND i.indrelid IN (\
             SELECT pg_catalog.to_regclass($NAME) \
             UNION SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($NAME))) ORDER BY x.oid",
        ),
        ConcurrentKind::ReindexSchema => Some(
            "SELECT n.nspname = 'pg_catalog', EXISTS (SELECT FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = n.oid AND c.relpersistence <> 't' \
             AND c.relkind IN ('r', 'm') AND (i.indisexclusion OR NOT i.indisvalid)) FROM pg_catalog.pg_namespace n \
             WHERE n.nspname = $NAME AND pg_catalog.pg_has_role(n.nspowner, 'USAGE')",
        ),
        ConcurrentKind::Detach => Some(
            "SELECT p.partdefid <> 0 FROM pg_catalog.pg_partitioned_table p JOIN pg_catalog.pg_class c ON c.oid = p.partrelid \
             WHERE c.oid = pg_catalog.to_regclass($NAME) AND pg_catalog.pg_has_role(c.relowner, 'USAGE')",
        ),
    }
}

/// What the answers to [`questions`] mean.
fn verdict(kind: ConcurrentKind, name: &str, results: &[TextRows]) -> Verdict {
    let none = Vec::new();
    let rows = |result: usize| results.get(result).unwrap_or(&none);
    let Some(row) = rows(0).first() else {
        return if kind == ConcurrentKind::Detach { Verdict::Fails } else { Verdict::Runs };
    };
    let is = |row: &[Option<String>], column: usize| row.get(column).is_some_and(|v| v.as_deref() == Some("t"));
    let system = || Verdict::Error("0A000", "cannot reindex system catalogs concurrently".to_owned());
    match kind {
        ConcurrentKind::CreateIndex | ConcurrentKind::ReindexDatabase => Verdict::Runs,
        ConcurrentKind::DropIndex if is(row, 0) => {
            Verdict::Error("0A000", format!("cannot drop partitioned index \"{name}\" concurrently"))
        }
        ConcurrentKind::DropIndex => Verdict::Runs,
        ConcurrentKind::ReindexIndex if is(row, 0) => system(),
        ConcurrentKind::ReindexIndex if is(row, 1) => {
            Verdict::Error("0A000", "concurrent index creation for exclusion constraints is not supported".to_owned())
        }
        ConcurrentKind::ReindexIndex => Verdict::Runs,
        ConcurrentKind::ReindexTable if is(row, 0) => system(),
        ConcurrentKind::ReindexTable => table(name, Facts { partitioned: is(row, 1), toast: is(row, 2) }, rows(1)),
        ConcurrentKind::ReindexSchema if is(row, 0) => {
            let message = "cannot reindex system catalogs concurrently, skipping all".to_owned();
            Verdict::Nothing(vec![("WARNING", "0A000", message)])
        }
        ConcurrentKind::ReindexSchema if is(row, 1) => Verdict::Refused(PASSES_OVER),
        ConcurrentKind::ReindexSchema => Verdict::Runs,
        ConcurrentKind::Detach if is(row, 0) => {
            let message = "cannot detach partitions concurrently when a default partition exists";
            Verdict::Error("55000", message.to_owned())
        }
        ConcurrentKind::Detach => Verdict::Runs,
    }
}

const PASSES_OVER: &str =
    "with CONCURRENTLY it passes over indexes that are invalid or of exclusion constraints, and without it does not";

/// What REINDEX TABLE has to know of a table.
struct Facts {
    partitioned: bool,
    /// It has a TOAST table, whose index is rebuilt as well.
    toast: bool,
}

/// REINDEX TABLE of a table with these indexes: name, is of an exclusion constraint, is valid.
fn table(name: &str, Facts { partitioned, toast }: Facts, indexes: &TextRows) -> Verdict {
    let is = |row: &[Option<String>], column: usize| row.get(column).is_some_and(|v| v.as_deref() == Some("t"));
    let (left_out, rebuilt): (Vec<_>, Vec<_>) = indexes.iter().partition(|row| is(row, 1) || !is(row, 2));
    // An exclusion constraint's index is rebuilt all the same; one that is invalid would be made valid, or fail.
    if left_out.iter().any(|row| partitioned || !is(row, 2)) {
        return Verdict::Refused(PASSES_OVER);
    }
    let warning = |row: &Vec<Option<String>>| {
        let index = row.first().cloned().flatten().unwrap_or_default();
        let message = format!("cannot reindex exclusion constraint index \"{index}\" concurrently, skipping");
        ("WARNING", "0A000", message)
    };
    let mut said: Vec<Said> = left_out.into_iter().map(warning).collect();
    if rebuilt.is_empty() && !toast && !partitioned {
        let message = format!("table \"{name}\" has no indexes that can be reindexed concurrently");
        said.push(("NOTICE", "00000", message));
        return Verdict::Nothing(said);
    }
    if said.is_empty() { Verdict::Runs } else { Verdict::Warns(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> TextRows {
        rows.iter().map(|row| row.iter().map(|value| Some((*value).to_owned())).collect()).collect()
    }

    #[test]
    fn what_the_lead_says_is_what_postgresql_says() {
        let said = |kind, results: &[TextRows]| verdict(kind, "x", results);
        for kind in [ConcurrentKind::DropIndex, ConcurrentKind::ReindexIndex, ConcurrentKind::ReindexSchema] {
            assert_eq!(said(kind, &[rows(&[])]), Verdict::Runs);
            assert_eq!(said(kind, &[rows(&[&["f", "f"]])]), Verdict::Runs);
            assert_ne!(said(kind, &[rows(&[&["t", "f"]])]), Verdict::Runs);
        }
        assert_eq!(said(ConcurrentKind::Detach, &[rows(&[])]), Verdict::Fails);
        assert!(matches!(said(ConcurrentKind::Detach, &[rows(&[&["t"]])]), Verdict::Error("55000", _)));
    }

    #[test]
    fn a_table_of_which_some_indexes_are_passed_over() {
        let table = |facts: [&str; 3], indexes: &[&[&str]]| {
            verdict(ConcurrentKind::ReindexTable, "x", &[rows(&[&facts]), rows(indexes)])
        };
        let (valid, exclusion, invalid) = (&["s.a", "f", "t"], &["s.e", "t", "t"], &["s.i", "f", "f"]);
        assert_eq!(table(["f", "f", "f"], &[valid]), Verdict::Runs);
        assert!(matches!(table(["f", "f", "f"], &[valid, exclusion]), Verdict::Warns(said) if said.len() == 1));
        assert!(matches!(table(["f", "f", "f"], &[exclusion]), Verdict::Nothing(said) if said.len() == 2));
        assert!(matches!(table(["f", "f", "t"], &[exclusion]), Verdict::Warns(said) if said.len() == 1));
        assert_eq!(table(["f", "f", "f"], &[valid, invalid]), Verdict::Refused(PASSES_OVER));
        assert_eq!(table(["f", "t", "f"], &[exclusion]), Verdict::Refused(PASSES_OVER));
        assert_eq!(table(["f", "t", "f"], &[]), Verdict::Runs);
        assert!(matches!(table(["f", "f", "f"], &[]), Verdict::Nothing(said) if said.len() == 1));
        assert!(matches!(table(["t", "f", "f"], &[valid]), Verdict::Error("0A000", _)));
    }
}
