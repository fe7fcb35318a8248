//! The lead has answered a statement: what it touched, and how that stands in the transcript.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::sql::analysis::{
    CapturedOperation, Command, CursorUse, FootprintHint, Proof, Read, RowLock, Write, WriteForm,
};
use raidb_core::sql::catalog::Table;
use raidb_core::sql::catalog_query::{CATALOG_RESULTS, CATALOG_SQL};
use raidb_core::sql::footprint::Footprint;
use raidb_core::sql::images::follower::null_of_domain;
use raidb_core::sql::parametrised;
use raidb_core::sql::rows::{CapturedRows, follower_statements};

use super::Session;
use super::foreground::{CapturedRow, UnitEnd};
use super::lead::is_read_only_violation;
use super::statement::Statement;
use super::temporary::is_temporary_sequence;
use super::transaction::{Entry, Payload};
use super::trouble::{SqlError, Trouble, shift_position};
use crate::wire::decode;

impl Session {
    /// The lead has answered: an error ends it, success goes into the transcript.
    pub(crate) async fn after_statement(
        &mut self,
        statement: &Statement,
        end: UnitEnd,
        took: Duration,
        shift: usize,
    ) -> Result<(), Trouble> {
        if let Some(frame) = end.error {
            self.sequences_used_in_vain(&statement.analysis.command);
            return Err(self.explain_error(statement, &frame, shift));
        }
        match &statement.analysis.command {
            Command::Write(write) => {
                self.check_generation(statement).await?;
                self.after_write(statement, write, &end, took)?;
                self.note_captured_sequences(write, &end).await
            }
            Command::Unproven(_) => {
                self.check_generation(statement).await?;
                self.after_unproven(statement, &end, took).await
            }
            Command::RowLock(lock) => {
                self.check_generation(statement).await?;
                Ok(self.after_row_lock(statement, lock, &end, took)?)
            }
            Command::Read(read) | Command::CopyOut(read) => self.after_read(read).await,
            Command::LockTable(_) => {
                Ok(self.push_lock(statement.sql.clone(), Some(end.tag), &Footprint::Everything, took)?)
            }
            Command::Advisory(advisory) => self.after_advisory(statement, advisory, &end, took).await,
            Command::Utility(utility) if utility.temporary => self.after_temporary(statement, utility, end.tag, took).await,
            Command::Utility(utility) => {
                let footprint = utility.footprint.clone();
                self.push_entry(Payload::Simple(statement.sql.clone()), Some(end.tag), &footprint, took)?;
                if let Some(open) = self.open.as_mut() {
                    open.sequences_doubted = true;
                }
                if utility.changes_catalog {
                    let before = self.temporary_names();
                    self.catalog_changed();
                    self.own_catalog_surely().await?;
                    self.check_temporary(&before)?;
                }
                Ok(())
            }
            Command::Fill(fill) => self.after_fill(statement, fill, &end, took).await,
            Command::Concurrently(concurrently) => Err(SqlError::new(
                "XX000",
                format!("{} ran in a transaction block", concurrently.kind.name()),
                "Report this.",
            )
            .into()),
            Command::Unknown { what } => Err(SqlError::refused(
                format!("it names {what}, which the proxy's catalog does not know"),
                "If it was made on the members directly, run any DDL statement through raidb to have the catalog read again.",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// What a statement has taken from sequences before it failed stays taken, on followers as well.
    fn sequences_used_in_vain(&self, command: &Command) {
        let lead = self.lead();
        let names: Vec<&String> = match command {
            Command::Write(write) => write.sequences.iter().collect(),
            Command::Read(read) => read.sequences.iter().collect(),
            Command::Fill(fill) => fill.sequences.iter().collect(),
            Command::Imaged(imaged) => {
                imaged.tables.iter().flat_map(|table| &table.sequences).map(|(_, name)| name).collect()
            }
            _ => return,
        };
        names.into_iter().for_each(|name| self.database.sequences.advanced(name, None, lead));
    }

    fn explain_error(&self, statement: &Statement, frame: &[u8], shift: usize) -> Trouble {
        let probed =
            matches!(&statement.analysis.command, Command::Read(r) | Command::CopyOut(r) if r.proof == Proof::Probe);
        if probed && is_read_only_violation(frame) && !self.released {
            return Trouble::Writes;
        }
        if let Some(error) = self.explain_lost_cursor(cursor_of(&statement.analysis.command), frame) {
            return error.into();
        }
        Trouble::Answer(shift_position(frame, shift))
    }

    /// The values that defaults took from sequences are among what was captured. They are noted as what the sequence has
    /// at least handed out; its exact state is read from the lead a moment later (`carry_sequences`). Where they are part of
    /// another value (`'x' || nextval('s')`) the lead is asked now: the client must not be told before it is known.
    async fn note_captured_sequences(&mut self, write: &Write, end: &UnitEnd) -> Result<(), Trouble> {
        let WriteForm::Captured(capture) = &write.form else { return Ok(()) };
        let mut hidden = Vec::new();
        for name in &write.sequences {
            if is_temporary_sequence(name) {
                self.temporary_sequence_surely(name).await?;
                continue;
            }
            let column = write.table.sequences.iter().find(|(_, sequence)| sequence == name).map(|(column, _)| *column);
            let at = column.and_then(|column| capture.columns.iter().position(|c| *c == column));
            let values = end.captured.iter().filter_map(|row| {
                let value = row.get(at?)?.as_deref()?;
                std::str::from_utf8(value).ok()?.parse::<i64>().ok()
            });
            let highest = values.max();
            if let (Some(open), Some(value)) = (self.open.as_mut(), highest) {
                let known = open.sequences.entry(name.clone()).or_insert(value);
                *known = value.max(*known);
            }
            self.database.sequences.advanced(name, highest, self.lead());
            if highest.is_none() && !end.captured.is_empty() {
                hidden.push(name.clone());
            }
        }
        if hidden.is_empty() {
            return Ok(());
        }
        match self.sequence_values(&hidden).await {
            Ok(values) => {
                for (name, value) in values {
                    self.database.sequences.advanced(&name, Some(value), self.lead());
                    if let Some(open) = self.open.as_mut() {
                        open.sequences.insert(name, value);
                    }
                }
                Ok(())
            }
            // The statement has taken effect: a change of lead now must not run it again.
            Err(Trouble::LeadChanged | Trouble::MemberLost) => {
                Err(SqlError::retry("the lead was lost before the sequence's state was known").into())
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn after_read(&mut self, read: &Read) -> Result<(), Trouble> {
        if !read.sequences.is_empty() {
            // setval may go back: the state is taken as it is.
            // The statement has taken effect: a change of lead now must not run it again.
            return match self.note_sequences(&read.sequences, true).await {
                Err(Trouble::LeadChanged | Trouble::MemberLost) => {
                    Err(SqlError::retry("the lead was lost before the sequence's state was known").into())
                }
                other => other,
            };
        }
        if let Some(cursor) = &read.cursor {
            self.cursor_used(cursor);
        }
        if read.lead_only
            && let Some(open) = self.open.as_mut()
        {
            open.lead_only_state = true;
        }
        Ok(())
    }

    fn after_write(
        &mut self,
        statement: &Statement,
        write: &Write,
        end: &UnitEnd,
        took: Duration,
    ) -> Result<(), SqlError> {
        if let Some(open) = self.open.as_mut() {
            open.deferred |= write.deferred;
        }
        let touched = decode::tag_rows(&end.tag);
        if touched == 0 {
            // Rule 1: what touched nothing is not sent. The absence of a row is locked by nobody.
            return Ok(());
        }
        // Rows that were named and not touched (ON CONFLICT DO NOTHING) are not locked: then it names the table alone.
        let hint = match (&write.form, &write.footprint) {
            (WriteForm::Captured(_), FootprintHint::Keys(keys)) if keys.len() as u64 != touched => {
                &FootprintHint::Group
            }
            (_, hint) => hint,
        };
        let of_session = write.table.is_of_session();
        // Nobody else can meet the rows of a temporary table.
        let footprint = if of_session { Footprint::Nothing } else { self.footprint(hint, &write.table, statement) };
        let before = self.open.as_ref().map_or(0, |open| open.transcript.len());
        let pushed = self.push_write(statement, write, end, &footprint, took);
        if of_session {
            self.mark_temporary(before);
        }
        pushed
    }

    fn push_write(
        &mut self,
        statement: &Statement,
        write: &Write,
        end: &UnitEnd,
        footprint: &Footprint,
        took: Duration,
    ) -> Result<(), SqlError> {
        let touched = decode::tag_rows(&end.tag);
        match &write.form {
            WriteForm::Keyed { rows } if *rows == touched => {
                self.push_entry(statement.payload(), Some(end.tag.clone()), footprint, took)?;
                self.mark_last(write.plain_insert, &write.table);
                Ok(())
            }
            WriteForm::Keyed { rows } => Err(SqlError::refused(
                format!("it names {rows} rows and touched {touched}: which ones is not known"),
                "Write one row at a time, or add RETURNING.",
            )),
            WriteForm::Locked(_) => self.push_entry(statement.payload(), Some(end.tag.clone()), footprint, took),
            WriteForm::Captured(capture) => {
                let captured = CapturedRows {
                    columns: &capture.columns,
                    key_columns: capture.key_columns,
                    operation: capture.operation,
                };
                if end.captured.len() as u64 != touched {
                    return Err(SqlError::new(
                        "XX000",
                        format!("{touched} rows were touched, {} captured", end.captured.len()),
                        "Report this.",
                    ));
                }
                self.push_rows(&write.table, captured, &end.captured, footprint, took)
            }
        }
    }

    fn after_row_lock(
        &mut self,
        statement: &Statement,
        lock: &RowLock,
        end: &UnitEnd,
        took: Duration,
    ) -> Result<(), SqlError> {
        // Locks write nothing: a commit of them is waited for by nobody. Their own barrier is what they read.
        let barrier = self.footprint(&lock.footprint, &lock.table, statement);
        let before = self.open.as_ref().map(|open| open.footprint.clone()).unwrap_or_default();
        let first = self.open.as_ref().map_or(0, |open| open.transcript.len());
        match &lock.capture {
            None if decode::tag_rows(&end.tag) == 0 => {}
            None => self.push_entry(statement.payload(), Some(end.tag.clone()), &barrier, took)?,
            Some(capture) => {
                let operation = CapturedOperation::Lock(capture.strength);
                let captured =
                    CapturedRows { columns: &capture.columns, key_columns: capture.columns.len(), operation };
                self.push_rows(&lock.table, captured, &end.captured, &barrier, took)?;
            }
        }
        if let Some(open) = self.open.as_mut() {
            for index in first..open.transcript.len() {
                open.transcript.set(index, |entry| entry.frame = true);
            }
            open.footprint = before;
            open.lead_only_state |= end.suspended;
        }
        Ok(())
    }

    pub(super) fn push_rows(
        &mut self,
        table: &Table,
        captured: CapturedRows<'_>,
        rows: &[CapturedRow],
        footprint: &Footprint,
        took: Duration,
    ) -> Result<(), SqlError> {
        let rows: Vec<Vec<Option<&[u8]>>> = rows.iter().map(|row| row.iter().map(|v| v.as_deref()).collect()).collect();
        if let Some(column) = null_of_domain(table, captured.columns.iter().copied(), &rows) {
            return Err(null_refused(&column.name));
        }
        let verb = match captured.operation {
            CapturedOperation::Insert | CapturedOperation::Upsert => "INSERT 0",
            CapturedOperation::Update => "UPDATE",
            CapturedOperation::Delete => "DELETE",
            CapturedOperation::Lock(_) => "SELECT",
        };
        for statement in follower_statements(table, captured, &rows, self.settings.standard_conforming) {
            let tag = Bytes::from(format!("{verb} {}", statement.rows));
            self.push_entry(Payload::Simple(Bytes::from(statement.sql)), Some(tag), footprint, took)?;
            self.mark_last(matches!(captured.operation, CapturedOperation::Insert), table);
        }
        Ok(())
    }

    /// What is known of the entry that was pushed last.
    fn mark_last(&mut self, all_or_nothing: bool, table: &Table) {
        let literals = parametrised::fits(table);
        self.change_last(|entry| {
            entry.all_or_nothing = all_or_nothing;
            entry.literals = literals;
        });
    }

    /// Changes the entry that was pushed last.
    pub(super) fn change_last(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(open) = self.open.as_mut() {
            let last = open.transcript.len().saturating_sub(1);
            open.transcript.set(last, change);
        }
    }

    /// The same, over changes of lead: what made it necessary is in the transcript, and must not run again.
    pub(super) async fn own_catalog_surely(&mut self) -> Result<(), Trouble> {
        while let Err(trouble) = self.read_own_catalog().await {
            match trouble {
                Trouble::LeadChanged => self.change_lead().await?,
                other => return Err(other),
            }
        }
        Ok(())
    }

    /// DDL of this transaction: its later statements must be judged by what it made.
    pub(super) async fn read_own_catalog(&mut self) -> Result<(), Trouble> {
        // Before it is asked: DDL that ends meanwhile may or may not be in the answer.
        let generation = self.database.ddl_generation();
        // The queries change the search path; a savepoint puts it back.
        let sql = format!(
            "SAVEPOINT raidb_catalog;{CATALOG_SQL};ROLLBACK TO SAVEPOINT raidb_catalog;RELEASE SAVEPOINT raidb_catalog"
        );
        let mut results = self.lead_results(&sql).await?;
        results.remove(0);
        results.truncate(CATALOG_RESULTS);
        let had_temporary = self.has_temporary();
        self.temporary.told_at(generation);
        match self.database.catalog_loader().parse(&results) {
            Ok(catalog) => {
                if let Some(open) = self.open.as_mut() {
                    let of_session = had_temporary || open.temporary.is_some() || !catalog.temporary.is_empty();
                    if of_session {
                        open.temporary = Some(catalog.temporary.iter().cloned().collect());
                    }
                    if open.changes_catalog {
                        open.own_catalog = Some(Arc::new(catalog));
                        open.own_catalog_at = open.transcript.len();
                    }
                }
                Ok(())
            }
            Err(error) => {
                Err(SqlError::new("XX000", format!("the catalog cannot be read: {error}"), "Report this.").into())
            }
        }
    }
}

/// The lead has a NULL that followers could not be given: all of them would say 23502, and the lead would be outvoted.
pub(super) fn null_refused(column: &str) -> SqlError {
    SqlError::refused(
        format!("column \"{column}\" becomes NULL, which its domain (NOT NULL) lets through in this statement only"),
        "Use coalesce, or declare the column NOT NULL and the domain without it.",
    )
}

/// The cursor that a statement is about.
pub(super) fn cursor_of(command: &Command) -> Option<&CursorUse> {
    match command {
        Command::Read(read) => read.cursor.as_ref(),
        _ => None,
    }
}
