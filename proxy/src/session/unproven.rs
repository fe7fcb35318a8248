//! `unsafe_statement = "warn"`: statements that are refused only because nobody can tell whether members do the same.
//!
//! They run as they are: on the lead, under locks of the tables that they name, then in the transcript on the followers, whose
//! command tags are compared like those of every statement. The client is warned each time. What images can say runs imaged, and
//! comes here only where images are refused for no other reason.

use std::sync::Arc;
use std::time::Duration;

use raidb_core::config::UnsafeStatement;
use raidb_core::sql::analysis::{Analysis, Command, Refusal, Severity, Unproven};
use raidb_core::sql::footprint::Footprint;
use raidb_core::sql::run_unproven;

use super::Session;
use super::foreground::UnitEnd;
use super::imaged::UNDO;
use super::present_time::refuse_any_present_time;
use super::statement::{Bound, Statement};
use super::trouble::{SqlError, Trouble};
use crate::wire::encode;

/// Whether catalogs may have been changed in this transaction. Counts of earlier transactions may still be among these: then the
/// catalog is read once too often.
const CATALOG_CHANGED_SQL: &str = "SELECT pg_catalog.current_setting('track_counts') <> 'on' OR EXISTS (SELECT \
     FROM pg_catalog.pg_stat_xact_sys_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0);\
     SELECT name FROM pg_catalog.pg_cursors WHERE is_holdable";

impl Session {
    /// What the configuration makes of a statement.
    pub(super) fn as_configured(&self, sql: &[u8], analysis: Arc<Analysis>) -> Arc<Analysis> {
        let policy = self.database.settings.unsafe_statement;
        if policy == UnsafeStatement::Reject || !matches!(analysis.command, Command::Refused(_)) {
            return analysis;
        }
        let catalog = self.catalog();
        let settings = self.settings.meaning(&catalog.default_search_path);
        crate::route::as_configured(sql, &analysis, (&catalog, &settings), policy).map_or(analysis, Arc::new)
    }

    /// Images of a statement are refused: by `refusal`, and `severity` is that of what stands against every other form. If the
    /// configuration lets it run as it is, what it has done is undone, unless some of it has `left` for the client.
    pub(super) async fn without_images(&mut self, refusal: Refusal, severity: Severity, left: bool) -> Trouble {
        let doubtful = [severity, refusal.severity] == [Severity::Doubtful; 2];
        if !doubtful || left || self.database.settings.unsafe_statement == UnsafeStatement::Reject {
            self.database.counters.refusals.add();
            return SqlError::refused(refusal.reason, refusal.hint).into();
        }
        match self.lead_command(UNDO).await {
            Ok(()) => Trouble::Doubtful(refusal),
            Err(trouble) => trouble,
        }
    }

    /// The statement as it is.
    ///
    /// # Errors
    /// 0A000: it is known to do something else on every member.
    pub(super) fn as_unproven(&self, statement: &Statement, refusal: &Refusal) -> Result<Statement, SqlError> {
        let catalog = self.catalog();
        let settings = self.settings.meaning(&catalog.default_search_path);
        let analysis = run_unproven(&statement.sql, &catalog, &settings, &refusal.reason);
        let refusal = match &analysis.command {
            Command::Unproven(_) => return Ok(Statement { analysis: analysis.into(), ..statement.clone() }),
            Command::Refused(worse) => worse,
            _ => refusal,
        };
        self.database.counters.refusals.add();
        Err(SqlError::refused(&refusal.reason, refusal.hint.clone()))
    }

    /// Refuses what would surely come out differently; else the client is told what is not guaranteed.
    ///
    /// # Errors
    /// 0A000.
    pub(super) fn before_unproven(&mut self, unproven: &Unproven, bound: Option<&Bound>) -> Result<(), SqlError> {
        bound.map_or(Ok(()), refuse_any_present_time)?;
        if self.has_temporary() {
            return Err(SqlError::refused(
                format!(
                    "{}; and whoever repeats it from the log does not have the session's temporary objects",
                    unproven.reason
                ),
                "Run it in a session without temporary objects.",
            ));
        }
        let Some(open) = &self.open else { return Ok(()) };
        if open.modes.isolation.lasts() {
            return Err(SqlError::refused(
                format!("{}; and the snapshot of this transaction is the lead's alone", unproven.reason),
                "Use READ COMMITTED, under which the followers run as well.",
            ));
        }
        if open.imaged && self.triggers_may_wait() {
            return Err(not_beside(&unproven.reason));
        }
        self.warn_unproven(unproven);
        Ok(())
    }

    /// Triggers that wait for COMMIT run on every member if their statement did, and on the lead alone, with images, if it is
    /// imaged. In one transaction nobody could tell the ones from the others.
    pub(super) fn check_beside_unproven(&self, instead_of: &Refusal) -> Result<(), SqlError> {
        let unproven = self.open.as_ref().is_some_and(|open| open.unproven);
        if unproven && self.triggers_may_wait() { Err(not_beside(&instead_of.reason)) } else { Ok(()) }
    }

    fn triggers_may_wait(&self) -> bool {
        self.catalog().by_id.values().any(|table| table.has_triggers && table.has_deferrable)
    }

    fn warn_unproven(&mut self, unproven: &Unproven) {
        let message =
            format!("raidb cannot prove that this statement does the same on every member: {}", unproven.reason);
        let fields = [
            (b'S', "WARNING"),
            (b'V', "WARNING"),
            (b'C', "01000"),
            (b'M', message.as_str()),
            (b'D', "It runs as it is on each member, the lead first. Command tags are compared, contents are not."),
            (
                b'H',
                "Compare the members with `raidb check` when nobody writes; unsafe_statement = \"reject\" refuses such statements.",
            ),
        ];
        encode::notice_or_error(&mut self.staged, b'N', &fields);
    }

    /// The lead has answered: from here on it is part of the transaction.
    pub(super) async fn after_unproven(
        &mut self,
        statement: &Statement,
        end: &UnitEnd,
        took: Duration,
    ) -> Result<(), Trouble> {
        self.push_entry(statement.payload(), Some(end.tag.clone()), &Footprint::Everything, took)?;
        self.database.counters.unproven.add();
        // What it has done is not known: all that could be is looked after. A setting may change how the next text is read.
        self.change_last(|entry| entry.alone = true);
        if let Some(open) = self.open.as_mut() {
            open.unproven = true;
            open.deferred = true;
            open.sequences_doubted = true;
            open.meaning_changed = true;
            open.texts_changed = true;
        }
        // The statement is in the transcript: a change of lead now must not run it again.
        while let Err(trouble) = self.look_after_unproven().await {
            match trouble {
                Trouble::LeadChanged => self.change_lead().await?,
                other => return Err(other),
            }
        }
        self.read_meaning_surely().await;
        // It is in the log: whoever repeats it from there must not be left with a name that means something else.
        Ok(self.check_temporary(&[])?)
    }

    /// It may have been DDL.
    async fn look_after_unproven(&mut self) -> Result<(), Trouble> {
        let results = self.lead_results(CATALOG_CHANGED_SQL).await?;
        let cursors = results.iter().skip(1).flatten().filter_map(|row| row.first()?.as_deref());
        self.check_held_cursors(cursors)?;
        let value = results.into_iter().next().and_then(|rows| rows.into_iter().next()?.into_iter().next()?);
        if value.as_deref() == Some("f") {
            return Ok(());
        }
        self.catalog_changed();
        self.read_own_catalog().await
    }
}

fn not_beside(reason: &str) -> SqlError {
    SqlError::refused(
        format!(
            "{reason}; and triggers that wait for COMMIT would run twice on followers, beside what else this transaction does"
        ),
        "Run it in a transaction of its own.",
    )
}
