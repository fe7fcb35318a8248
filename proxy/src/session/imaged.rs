//! Statements whose writes are hidden: they run on the lead alone, between two questions; followers get what they left behind.
//!
//! ```text
//!   SAVEPOINT; what has the transaction done so far?     hidden
//!   the client's statement                               its answer is staged
//!   what has it done now? the images                     hidden
//! ```
//! If it wrote a table that takes no images, it is undone, the triggers are put there (as entries of the transcript, like DDL of the
//! client), and it runs again: once for a table. docs/adr/0013-captured-images.md.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{Analysis, Command, Imaged, Refusal, Severity};
use raidb_core::sql::catalog::{Column, RelationKind, Table};
use raidb_core::sql::footprint::{Footprint, Rows as Touched, Touch};
use raidb_core::sql::images::follower::Unfit;
use raidb_core::sql::images::{self, Finding, Permission, Report, TableChange};
use raidb_core::sql::quote_ident;

use super::Session;
use super::foreground::{CapturedRow, Reading, Rows, UnitEnd};
use super::outcome::null_refused;
use super::prepared::PreparedStatement;
use super::simple::moves_cursor;
use super::statement::{CACHED_TEXT_MAX, Statement};
use super::transaction::Payload;
use super::trouble::{SqlError, Trouble, shift_position};
use crate::members::pg::link::Owner;
use crate::wire::decode;

/// Images of one statement; beyond, it fails with 54000.
const IMAGES_MAX: usize = 200_000;
/// Tables that one transaction may give the triggers; beyond, it fails with 54000.
const INSTALLED_MAX: usize = 64;

/// Columns of a report.
const COLUMNS: usize = 6;

/// Settings that a function must not change behind the proxy's back: what texts mean, and who writes. The role stands at [`ROLE`].
/// And cursors that run their query at COMMIT.
macro_rules! settings {
    () => {
        "SELECT 'settings', pg_catalog.current_setting('search_path'), pg_catalog.current_setting('role'), \
         pg_catalog.concat_ws(' ', pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('IntervalStyle'), \
         pg_catalog.current_setting('extra_float_digits'), pg_catalog.current_setting('session_replication_role'), \
         pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_setting('default_transaction_isolation'), \
         pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.current_setting('default_transaction_deferrable')), \
         pg_catalog.concat_ws(' ', pg_catalog.current_setting('standard_conforming_strings'), \
         pg_catalog.current_setting('client_encoding'), pg_catalog.current_setting('raidb.capture')), pg_catalog.current_setting('TimeZone') \
         UNION ALL SELECT 'held cursor', name, creation_time::text, NULL, NULL, NULL FROM pg_catalog.pg_cursors WHERE is_holdable"
    };
}

/// Index of the role in [`Report::settings`].
const ROLE: usize = 1;

const BEGIN: &str =
    concat!("SAVEPOINT raidb_image;SET LOCAL raidb.capture = on;SELECT * FROM raidb.capture_begin();", settings!());
const END: &str = concat!(settings!(), ";SET LOCAL raidb.capture = off;SELECT * FROM raidb.capture_end()");
const END_READ_ONLY: &str = concat!(settings!(), ";SELECT * FROM raidb.capture_facts()");
/// `invalid_transaction_termination`.
const ENDS_TRANSACTION: [u8; 5] = *b"2D000";
const RELEASE: &str = "RELEASE SAVEPOINT raidb_image";
const NOTHING_WRITTEN: &str = "SET LOCAL raidb.capture = off;RELEASE SAVEPOINT raidb_image";
pub(super) const UNDO: &str = "ROLLBACK TO SAVEPOINT raidb_image;RELEASE SAVEPOINT raidb_image";
/// Runs triggers that wait for the end of the transaction.
pub(super) const RUN_DEFERRED: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// What was found before a statement.
pub(crate) struct Before {
    report: Report,
    instead_of: Refusal,
    /// It cannot run again: no rollback puts a cursor back, or what it was given is gone.
    pub(super) once: bool,
}

/// A read that turned out to write, as what it is.
pub(crate) fn as_imaged(statement: &Statement) -> Statement {
    let refusal = Refusal {
        severity: Severity::Doubtful,
        reason: "it is written as a read, but it writes (a function that it calls changes the database)".into(),
        hint: "Run the writes of that function as statements of their own.".into(),
    };
    let because = refusal.reason.clone().into();
    let command = Command::Imaged(Imaged { tables: Vec::new(), instead_of: refusal });
    let read_footprint = Footprint::Everything;
    let analysis = Analysis { command, read_footprint, read_key: None, because, ..(*statement.analysis).clone() };
    Statement { analysis: Arc::new(analysis), ..statement.clone() }
}

impl Session {
    /// A text that was taken for a read writes: texts of its kind are not tried as reads again, as long as the catalog stays.
    pub(super) fn learn_that_it_writes(&mut self, statement: &Statement) {
        let catalog = self.catalog();
        // EXECUTE is what the prepared statement is.
        let is_read = matches!(self.analysis(&statement.sql, false).command, Command::Read(_) | Command::CopyOut(_));
        if !is_read
            || statement.sql.len() > CACHED_TEXT_MAX
            || !catalog.temporary.is_empty()
            || self.open.as_ref().is_some_and(|open| open.own_catalog.is_some())
        {
            return;
        }
        let settings = self.settings.meaning(&catalog.default_search_path);
        self.database.analyses.learn(&statement.sql, &settings, &catalog, statement.analysis.clone());
        if let Some(bound) = &statement.bound
            && let Some(known) = self.names.statement(&bound.prepared.name).cloned()
            && known.prepared.identity == bound.prepared.identity
        {
            self.names.keep(PreparedStatement { analysis: statement.analysis.clone(), ..known });
        }
    }

    /// FETCH and MOVE run a cursor's query. One that DECLARE made is known to be a read; one that a function has left open is not known,
    /// and is opened where statements have images taken.
    pub(super) fn with_cursor_watched<'s>(&self, statement: &'s Statement) -> Cow<'s, Statement> {
        let watched = self.open.as_ref().is_some_and(|open| open.imaged)
            && matches!(statement.analysis.command, Command::Read(_))
            && moves_cursor(&statement.sql);
        if watched { Cow::Owned(as_imaged(statement)) } else { Cow::Borrowed(statement) }
    }

    /// Asks what the transaction has done so far, and has images taken from here on. `None`: the statement has another form.
    pub(super) async fn before_images(&mut self, statement: &Statement) -> Result<Option<Before>, Trouble> {
        let Command::Imaged(imaged) = &statement.analysis.command else { return Ok(None) };
        let before = self.begin_images(imaged).await?;
        Ok(Some(Before { once: moves_cursor(&statement.sql), ..before }))
    }

    pub(super) async fn begin_images(&mut self, imaged: &Imaged) -> Result<Before, Trouble> {
        self.must_show_exactly()?;
        self.check_beside_unproven(&imaged.instead_of)?;
        let untaken: Vec<(String, String)> = imaged
            .tables
            .iter()
            .map(|table| (table.schema.clone(), table.name.clone()))
            .chain(self.database.untaken.lock().iter().cloned())
            .filter(|name| self.known_table(name).is_some_and(|t| t.kind == RelationKind::Table && !t.captured))
            .collect();
        self.take_images_of(&untaken).await?;
        let report = self.ask_lead(BEGIN).await?;
        if let Permission::Forbidden(user) = &report.permission {
            let hint = format!(
                "GRANT SET ON PARAMETER session_replication_role TO {} on every member, or connect as a superuser: then \
                 raidb can repeat what the statement does. Or: {}",
                quote_ident(user),
                imaged.instead_of.hint
            );
            let refusal = Refusal { hint, ..imaged.instead_of.clone() };
            return Err(self.without_images(refusal, imaged.instead_of.severity, false).await);
        }
        Ok(Before { report, instead_of: imaged.instead_of.clone(), once: false })
    }

    /// The lead has answered: what it did goes into the transcript.
    pub(super) async fn behind_images(
        &mut self,
        statement: &Statement,
        before: Before,
        end: UnitEnd,
        took: Duration,
        shift: usize,
    ) -> Result<(), Trouble> {
        if let Some(frame) = end.error {
            self.effects_unsure(statement);
            let explicit = self.open.as_ref().is_some_and(|open| open.explicit);
            if decode::sqlstate(&frame) == ENDS_TRANSACTION && !explicit {
                // Alone it may do that on one server; here it ran in a transaction that all members share.
                self.database.counters.refusals.add();
                return Err(SqlError::refused(
                    "its code ends transactions (COMMIT, ROLLBACK), and each would have to be decided by itself",
                    "Begin and end the transactions in the application, with a CALL or DO in each.",
                )
                .into());
            }
            return Err(Trouble::Answer(shift_position(&frame, shift)));
        }
        if before.report.permission == Permission::ReadOnly {
            let behind =
                self.ask_lead(END_READ_ONLY).await.map_err(|trouble| self.without_answer(statement, trouble))?;
            if let Finding::Refused(refusal) = images::judge(&before.report, &behind, &self.catalog()) {
                return Err(self.refused_behind(&before, &behind, refusal).await);
            }
            if let Some(open) = self.open.as_mut() {
                // A cursor that it has left open is read as one.
                open.imaged = true;
            }
            let lead = self.lead();
            let Some(link) = self.link(lead) else { return Err(Trouble::LeadChanged) };
            link.simple(&[NOTHING_WRITTEN.as_bytes()], Owner::ProbeEnd);
            return Ok(());
        }
        let behind = self.ask_lead(END).await.map_err(|trouble| self.without_answer(statement, trouble))?;
        if behind.advisory != before.report.advisory {
            // Before anything else that could end it: a rollback gives no such lock back, and takes none again.
            self.drop_lead_locks();
        }
        self.sequences_of(&before.report, &behind);
        self.check_generation(statement).await?;
        if behind.images.len() > IMAGES_MAX {
            return Err(SqlError::new(
                "54000",
                format!("the statement changes more than {IMAGES_MAX} rows of which images are taken"),
                format!("Run it in smaller portions. ({})", before.instead_of.hint),
            )
            .into());
        }
        match images::judge(&before.report, &behind, &self.catalog()) {
            Finding::Complete => {}
            Finding::Refused(refusal) => return Err(self.refused_behind(&before, &behind, refusal).await),
            Finding::Untaken(tables) => return self.undo_untaken(tables, before.once).await,
        }
        let changes = images::net(&behind.images);
        let tables = self.tables_of(&changes)?;
        for table in &tables {
            self.must_capture_exactly(table)?;
        }
        if changes.iter().any(|change| change.truncated) {
            // A follower that is being copied has its tables read.
            self.no_copy().await?;
        }
        let pairs: Vec<(&TableChange, &Table)> = changes.iter().zip(tables.iter().map(|table| &**table)).collect();
        self.push_images(&behind, &pairs, took)?;
        let lead = self.lead();
        if let Some(link) = self.link(lead) {
            link.simple(&[RELEASE.as_bytes()], Owner::ProbeEnd);
        }
        Ok(())
    }

    async fn refused_behind(&mut self, before: &Before, behind: &Report, refusal: Refusal) -> Trouble {
        if behind.advisory != before.report.advisory {
            self.drop_lead_locks();
        }
        tracing::debug!(session = %self.handle.id, "refused behind the lead; {}", before.instead_of.reason);
        self.without_images(refusal, before.instead_of.severity, self.released).await
    }

    /// The proxy's own question behind a statement was not answered: an error of it takes the place of the statement's answer.
    fn without_answer(&mut self, statement: &Statement, trouble: Trouble) -> Trouble {
        self.effects_unsure(statement);
        instead_of_the_answer(trouble)
    }

    /// A statement has failed, or is not known to have done what. No rollback undoes what it has taken from sequences, of which nobody
    /// can tell the names, nor what functions among it have done to advisory locks.
    pub(super) fn effects_unsure(&mut self, statement: &Statement) {
        self.any_sequence_advanced();
        let mentions = |sql: &[u8]| sql.windows(8).any(|word| word.eq_ignore_ascii_case(b"advisory"));
        let executed = statement.executes.as_ref().and_then(|prepared| prepared.by_sql.as_ref());
        if self.catalog().advisory_functions
            || mentions(&statement.sql)
            || executed.is_some_and(|by_sql| mentions(&by_sql.text))
        {
            self.drop_lead_locks();
        }
    }

    /// Triggers of users that wait for COMMIT run now, by this SET CONSTRAINTS, and what they do goes into the transcript.
    pub(super) async fn images_of_deferred(&mut self, run: &str) -> Result<(), Trouble> {
        // It has no text that could run as it is.
        let refusal = Refusal {
            severity: Severity::Impossible,
            reason: "a trigger that waits for COMMIT writes".into(),
            hint: "Make it NOT DEFERRABLE.".into(),
        };
        let analysis = Analysis {
            command: Command::Imaged(Imaged { tables: Vec::new(), instead_of: refusal }),
            tables: Vec::new(),
            read_footprint: Footprint::Everything,
            read_key: None,
            because: "".into(),
            parameters: 0,
            standard_conforming: true,
        };
        loop {
            let generation = self.judgeable().await?;
            let sql = Bytes::copy_from_slice(run.as_bytes());
            let statement =
                Statement { sql, analysis: Arc::new(analysis.clone()), bound: None, executes: None, generation };
            let Some(before) = self.before_images(&statement).await? else { return Ok(()) };
            self.lead_command(run).await?;
            let end = UnitEnd::default();
            match self.behind_images(&statement, before, end, Duration::ZERO, 0).await {
                Err(Trouble::Undone) => {}
                other => return other,
            }
        }
    }

    /// One question to the lead.
    async fn ask_lead(&mut self, sql: &str) -> Result<Report, Trouble> {
        let rows = self.lead_rows(sql.as_bytes(), COLUMNS).await?;
        let rows: Vec<Vec<Option<&[u8]>>> = rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
        Report::of(&rows).ok_or_else(|| {
            SqlError::new("XX000", "the lead's report of a statement cannot be read", "Report this.").into()
        })
    }

    /// Runs queries of the proxy's own that all have so many columns, and gives their rows as bytes.
    pub(super) async fn lead_rows(&mut self, sql: &[u8], columns: usize) -> Result<Vec<CapturedRow>, Trouble> {
        let lead = self.lead();
        let begin = self.take_begin();
        let Some(link) = self.link(lead) else {
            return Err(if self.open.is_some() { Trouble::LeadChanged } else { Trouble::MemberLost });
        };
        link.simple(&[&begin, sql], Owner::Foreground);
        let reading = Reading { rows: Rows::Capture { columns, hide: true }, silent: true, ..Reading::default() };
        let end = self.read_unit(lead, reading).await?;
        end.error.map_or(Ok(end.captured), |frame| Err(Trouble::Answer(frame)))
    }

    /// Undoes the statement, puts the triggers on the tables, and has it run again.
    ///
    /// `once`: see [`Before::once`].
    async fn undo_untaken(&mut self, tables: Vec<(String, String)>, once: bool) -> Result<(), Trouble> {
        if self.released || once {
            // Next time the triggers are there before.
            self.database.untaken.lock().extend(tables);
            return Err(
                SqlError::retry("tables that the statement writes were not known, and it cannot be run twice").into()
            );
        }
        self.lead_command(UNDO).await?;
        self.take_images_of(&tables).await?;
        Err(Trouble::Undone)
    }

    /// Puts the triggers that take images on these tables, on the lead now and on the followers by the transcript.
    async fn take_images_of(&mut self, tables: &[(String, String)]) -> Result<(), Trouble> {
        if tables.is_empty() {
            return Ok(());
        }
        self.must_name_exactly(tables.iter().flat_map(|(schema, table)| [schema, table]))?;
        if let Some(open) = self.open.as_mut() {
            open.installed += tables.len();
            if open.installed > INSTALLED_MAX {
                return Err(SqlError::new(
                    "54000",
                    format!(
                        "the transaction writes hidden rows to more than {INSTALLED_MAX} tables for the first time"
                    ),
                    "Do it in several transactions once; after that the tables are known.",
                )
                .into());
            }
        }
        let role = self.role_of_session().await?;
        self.must_name_exactly(&role)?;
        let (login, again) = as_login(role.as_deref());
        self.setting_entry(login).await?;
        let mut installed = self.install_images(tables).await;
        if installed.is_ok() {
            installed = self.setting_entry(again.clone()).await;
        }
        if let (Err(Trouble::LeadChanged), Some(sql)) = (&installed, again) {
            // The next lead goes on from the transcript: with the session's own rights.
            self.push_local(sql)?;
        }
        installed?;
        self.catalog_changed();
        self.own_catalog_surely().await
    }

    async fn install_images(&mut self, tables: &[(String, String)]) -> Result<(), Trouble> {
        for (schema, table) in tables {
            for (sql, tag) in images::install(schema, table) {
                let started = tokio::time::Instant::now();
                if let Err(trouble) = self.lead_command(&sql).await {
                    return Err(cannot_install(trouble, table));
                }
                let tag = Some(Bytes::from_static(tag.as_bytes()));
                self.push_entry(Payload::Simple(Bytes::from(sql)), tag, &Footprint::Everything, started.elapsed())?;
            }
            tracing::info!(database = self.database.name, schema, table, "takes images of rows from now on");
            self.database.untaken.lock().remove(&(schema.clone(), table.clone()));
        }
        Ok(())
    }

    /// The role that SET ROLE has set, if any.
    async fn role_of_session(&mut self) -> Result<Option<String>, Trouble> {
        let rows = self.lead_results("SELECT pg_catalog.current_setting('role')").await?;
        let role = rows.into_iter().flatten().flatten().flatten().next();
        Ok(role.filter(|role| role != "none"))
    }

    /// A setting of the transaction, on the lead and by the transcript.
    async fn setting_entry(&mut self, sql: Option<String>) -> Result<(), Trouble> {
        let Some(sql) = sql else { return Ok(()) };
        self.lead_command(&sql).await?;
        Ok(self.push_local(sql)?)
    }

    fn push_local(&mut self, sql: String) -> Result<(), SqlError> {
        let tag = Some(Bytes::from_static(b"SET"));
        self.push_entry(Payload::Simple(Bytes::from(sql)), tag, &Footprint::Nothing, Duration::ZERO)?;
        self.change_last(|entry| entry.frame = true);
        Ok(())
    }

    fn known_table(&self, (schema, name): &(String, String)) -> Option<Arc<Table>> {
        self.catalog().resolve(Some(schema), name, &[]).cloned()
    }

    fn tables_of(&mut self, changes: &[TableChange]) -> Result<Vec<Arc<Table>>, SqlError> {
        let tables: Option<Vec<Arc<Table>>> = changes.iter().map(|change| self.known_table(&change.table)).collect();
        tables.ok_or_else(|| {
            self.stale = true;
            SqlError::retry("the statement writes a table that the proxy's catalog does not know yet")
        })
    }

    /// What followers get. No wait in between: a change of lead finds all of it in the transcript, or nothing.
    fn push_images(
        &mut self,
        behind: &Report,
        changes: &[(&TableChange, &Table)],
        took: Duration,
    ) -> Result<(), SqlError> {
        let work =
            images::follower::statements(changes, self.settings.standard_conforming).map_err(|unfit| match unfit {
                Unfit::NotOfTheTable => SqlError::retry("the statement writes a table whose columns were changed"),
                Unfit::NullOfDomain(column) => null_refused(&column),
            })?;
        let of_objects = changes.iter().find(|(_, table)| table.columns.iter().any(Column::names_objects));
        if let Some((_, table)) = of_objects.filter(|_| self.has_temporary()) {
            return Err(SqlError::refused(
                format!(
                    "it writes to \"{}\", which has a column for names of objects (regclass or the like)",
                    table.name
                ),
                "Write to it in a session without temporary objects.",
            ));
        }
        if let Some(open) = self.open.as_mut() {
            open.imaged = true;
            let deferred = changes.iter().any(|(_, table)| table.has_deferrable);
            open.deferred |= deferred;
            // Rows that a function or a foreign key has locked are locked on this lead alone, and what waits for COMMIT
            // waits here.
            open.lead_only_state |= behind.locks_rows || deferred || work.more_locks_on_the_lead;
        }
        if work.statements.is_empty() {
            return Ok(());
        }
        let mut groups: Vec<_> = changes.iter().map(|(_, table)| table.group).collect();
        groups.sort_unstable();
        groups.dedup();
        let touches = groups.into_iter().map(|group| Touch { group, rows: Touched::All }).collect();
        let footprint = Footprint::Touches(touches);
        let role = behind.settings.get(ROLE).filter(|role| *role != "none");
        self.must_name_exactly(role)?;
        let (login, again) = as_login(role.map(String::as_str));
        // The user with which raidb connects: rows may have been written with rights that the role does not have.
        login.map_or(Ok(()), |sql| self.push_local(sql))?;
        self.push_local("SET LOCAL session_replication_role = replica".into())?;
        for statement in work.statements {
            let tag = Some(Bytes::from(statement.tag));
            self.push_entry(Payload::Simple(Bytes::from(statement.sql)), tag, &footprint, took)?;
        }
        self.push_local("SET LOCAL session_replication_role = origin".into())?;
        again.map_or(Ok(()), |sql| self.push_local(sql))
    }

    /// Sequences that the statement has used: what they have handed out stays so, also if it is undone.
    fn sequences_of(&mut self, before: &Report, behind: &Report) {
        let lead: MemberId = self.lead();
        for (name, value) in behind.sequences.iter().filter(|sequence| !before.sequences.contains(sequence)) {
            self.database.sequences.advanced(name, *value, lead);
            let Some(open) = self.open.as_mut() else { continue };
            // It may have been set back.
            open.sequences_doubted = true;
            if let Some(value) = value {
                open.sequences.insert(name.clone(), *value);
            }
        }
    }
}

/// An error of the proxy's own questions behind a statement that the lead has answered.
fn instead_of_the_answer(trouble: Trouble) -> Trouble {
    let Trouble::Answer(frame) = &trouble else { return trouble };
    let code = decode::sqlstate(frame);
    let states = ["22P05", "57014", "53200", "54000", "53100", "40001", "40P01"];
    let sqlstate = states.into_iter().find(|state| state.as_bytes() == code).unwrap_or("XX000");
    let message =
        decode::error_field(frame, b'M').map_or_else(String::new, |m| String::from_utf8_lossy(m).into_owned());
    SqlError::new(
        sqlstate,
        format!("{message} (while raidb asked the lead what the statement has written)"),
        "The statement has been undone. Behind 22P05, SET client_encoding = UTF8; else try again.",
    )
    .into()
}

/// The settings that lead to the login's own rights, and back to a role.
fn as_login(role: Option<&str>) -> (Option<String>, Option<String>) {
    let again = role.map(|role| format!("SET LOCAL ROLE {}", quote_ident(role)));
    (again.is_some().then(|| "SET LOCAL ROLE NONE".to_owned()), again)
}

fn cannot_install(trouble: Trouble, table: &str) -> Trouble {
    match &trouble {
        // CREATE OR REPLACE TRIGGER.
        Trouble::Answer(frame) if &decode::sqlstate(frame) == b"42601" => SqlError::refused(
            "images of rows are taken by members of PostgreSQL 14 or newer",
            "Upgrade the members, or do the work of triggers and functions in the application.",
        )
        .into(),
        Trouble::Answer(frame) if &decode::sqlstate(frame) == b"42501" => SqlError::refused(
            format!("the triggers that take images cannot be put on table \"{table}\", which belongs to somebody else"),
            "Run the statement once as the table's owner, through raidb; the triggers stay.",
        )
        .into(),
        _ => trouble,
    }
}
