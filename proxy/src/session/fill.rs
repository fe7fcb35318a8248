//! CREATE TABLE … AS and SELECT … INTO: the lead makes the table and fills it; followers get the definition and the rows that came of it.
//!
//! Everything is asked first, and then noted without a wait in between: a lead that is lost meanwhile has done nothing that anybody
//! knows of, and the statement runs again on the next one. docs/what-is-replicated-how.md.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::sql::analysis::{Command, Fill, OnCommit, Proof};
use raidb_core::sql::catalog::{RelationKind, Table};
use raidb_core::sql::filled::{DEFINITION_COLUMNS, DEFINITION_TAG, definition_query, fill_statements, rows_query};
use raidb_core::sql::footprint::Footprint;
use raidb_core::sql::quote_qualified;

use super::Session;
use super::foreground::UnitEnd;
use super::simple::take_back_tag;
use super::statement::Statement;
use super::temporary::is_temporary_sequence;
use super::transaction::Payload;
use super::trouble::{SqlError, Trouble};

/// Rows that a table may be made with; beyond, the statement fails with 54000. (Their texts have a limit as well, that of what is
/// captured.)
const FILLED_ROWS_MAX: u64 = 1_000_000;

/// What the lead says of a table that it has made.
struct Made {
    definition: Bytes,
    schema: String,
    /// A column of which the values could not be read back from their texts, by every member alike.
    unreadable: Option<String>,
}

impl Session {
    /// What can be told before the statement runs.
    pub(super) fn check_fill(&self, statement: &Statement, fill: &Fill) -> Result<(), SqlError> {
        if fill.executes.is_some() && statement.executes.is_none() {
            return Err(SqlError::new("XX000", "an EXECUTE without what it executes", "Report this."));
        }
        self.must_show_exactly()?;
        self.must_name_exactly(fill.schema.iter().chain([&fill.name]))
    }

    /// CREATE TABLE … AS EXECUTE: it reads what the prepared statement reads.
    pub(super) fn filled_by_execute(&mut self, statement: &Statement, name: &str) -> Result<Statement, SqlError> {
        let known = self.known_statement(&Bytes::copy_from_slice(name.as_bytes()))?;
        let mut analysis = (*statement.analysis).clone();
        if let Command::Unknown { .. } = &known.analysis.command {
            // Its table is gone, most likely: the lead says so.
            analysis.command = known.analysis.command.clone();
            let executes = Some(self.executed(&known.prepared)?);
            return Ok(Statement { analysis: Arc::new(analysis), executes, ..statement.clone() });
        }
        let (Command::Read(read), Command::Fill(fill)) = (&known.analysis.command, &mut analysis.command) else {
            return Err(not_a_read());
        };
        if read.proof != Proof::Proven {
            return Err(not_a_read());
        }
        fill.sequences.extend(read.sequences.iter().cloned());
        analysis.read_footprint = known.analysis.read_footprint.clone();
        let executes = Some(self.executed(&known.prepared)?);
        Ok(Statement { analysis: Arc::new(analysis), executes, ..statement.clone() })
    }

    /// The lead has answered: what it has made goes into the transcript.
    pub(super) async fn after_fill(
        &mut self,
        statement: &Statement,
        fill: &Fill,
        end: &UnitEnd,
        took: Duration,
    ) -> Result<(), Trouble> {
        let result = self.note_filled(statement, fill, end, took).await;
        if matches!(result, Err(Trouble::Answer(_))) {
            // One of the questions failed, not the statement: its own answer must not stand beside that.
            take_back_tag(&mut self.staged);
        }
        result
    }

    async fn note_filled(
        &mut self,
        statement: &Statement,
        fill: &Fill,
        end: &UnitEnd,
        took: Duration,
    ) -> Result<(), Trouble> {
        for name in &fill.sequences {
            // Whatever comes of it, what they have handed out stays so.
            self.database.sequences.advanced(name, None, self.lead());
        }
        self.check_generation(statement).await?;
        let count =
            end.tag.strip_prefix(b"SELECT ").and_then(|rows| std::str::from_utf8(rows).ok()?.parse::<u64>().ok());
        let Some(count) = count else {
            if fill.if_not_exists {
                // It does.
                return Ok(());
            }
            return Err(
                SqlError::new("XX000", "the lead does not say how many rows it has made", "Report this.").into()
            );
        };
        if count > FILLED_ROWS_MAX {
            return Err(SqlError::new(
                "54000",
                format!("the table is made with more than {FILLED_ROWS_MAX} rows"),
                "CREATE TABLE … WITH NO DATA, then INSERT … SELECT in portions.",
            )
            .into());
        }
        let made = self.made_table(fill).await?;
        // Whatever comes behind it in this transaction is judged by what it has made.
        if fill.temporary.is_none() {
            self.catalog_changed();
        }
        self.read_own_catalog().await?;
        let Some(table) = self.catalog().resolve(Some(&made.schema), &fill.name, &[]).cloned() else {
            return Err(SqlError::new("XX000", "the table that was made is not in the catalog", "Report this.").into());
        };
        self.must_capture_exactly(&table)?;
        let rows = self.rows_of_filled(&table, &made, count).await?;
        let (own, shared) = fill.sequences.iter().cloned().partition::<Vec<_>, _>(|name| is_temporary_sequence(name));
        let own = self.temporary_sequences(&own).await?;
        for (name, value) in self.sequence_values(&shared).await? {
            self.database.sequences.advanced(&name, Some(value), self.lead());
            if let Some(open) = self.open.as_mut() {
                open.sequences.insert(name, value);
                // By setval, perhaps.
                open.sequences_doubted = true;
            }
        }
        self.sequences_of_views(statement);
        self.push_filled(made.definition, &table, rows, fill.temporary.is_some(), took)?;
        self.set_temporary_sequences(own)?;
        match fill.temporary {
            Some(on_commit) => {
                self.temporary_made(on_commit == OnCommit::Drop).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A view that the query reads may call `nextval`, and nothing says of which sequence: the lead is asked for all, a moment later.
    fn sequences_of_views(&self, statement: &Statement) {
        let catalog = self.catalog();
        let is_view =
            |id| catalog.by_id.get(id).is_some_and(|t| t.kind == RelationKind::View && t.schema != "pg_catalog");
        if !statement.analysis.tables.iter().any(is_view) {
            return;
        }
        self.any_sequence_advanced();
    }

    /// The lead is asked for the state of all sequences, a moment later.
    pub(super) fn any_sequence_advanced(&self) {
        let catalog = self.database.catalog();
        for sequence in catalog.by_id.values().filter(|table| table.kind == RelationKind::Sequence) {
            let name = quote_qualified(&sequence.schema, &sequence.name);
            self.database.sequences.advanced(&name, None, self.lead());
        }
    }

    async fn made_table(&mut self, fill: &Fill) -> Result<Made, Trouble> {
        let question = definition_query(fill, self.settings.standard_conforming);
        let rows = self.lead_rows(&question, DEFINITION_COLUMNS).await?;
        let row: Vec<&[u8]> = rows.first().into_iter().flatten().map(|v| v.as_deref().unwrap_or_default()).collect();
        let [schema, definition, lasting, fillable, unreadable] = row[..] else {
            return Err(SqlError::refused(
                "the table that it has made is not to be found by its name",
                "Name the table with its schema.",
            )
            .into());
        };
        if lasting != b"t" {
            return Err(SqlError::refused(
                "it makes a temporary table without saying so, or a column of the type of a temporary table's rows",
                "Say TEMPORARY, or name the schema; name the columns one by one.",
            )
            .into());
        }
        if fillable != b"t" {
            return Err(SqlError::refused(
                "the role that makes the table may not insert into it, as followers would have to",
                "ALTER DEFAULT PRIVILEGES … GRANT INSERT ON TABLES TO the role.",
            )
            .into());
        }
        let schema = String::from_utf8_lossy(schema).into_owned();
        let unreadable = (!unreadable.is_empty()).then(|| String::from_utf8_lossy(unreadable).into_owned());
        Ok(Made { definition: Bytes::copy_from_slice(definition), schema, unreadable })
    }

    async fn rows_of_filled(&mut self, table: &Table, made: &Made, count: u64) -> Result<Vec<Vec<u8>>, Trouble> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if let Some(column) = &made.unreadable {
            return Err(SqlError::refused(
                format!(
                    "column \"{column}\" is of a type whose values have no text that every member could read back (names of objects, \
                     internal ones, domains with NOT NULL or constraints that are NOT VALID)"
                ),
                "Cast it to text, or to the domain's own type.",
            )
            .into());
        }
        let rows = self.lead_rows(rows_query(&table.schema, &table.name).as_bytes(), 1).await?;
        if rows.len() as u64 != count {
            let message = format!("{count} rows were made, {} are there", rows.len());
            return Err(SqlError::new("XX000", message, "Report this.").into());
        }
        Ok(rows.into_iter().map(|row| row.into_iter().next().flatten().unwrap_or_default().to_vec()).collect())
    }

    /// What followers get. No wait in between: a change of lead finds all of it in the transcript, or nothing.
    fn push_filled(
        &mut self,
        definition: Bytes,
        table: &Table,
        rows: Vec<Vec<u8>>,
        temporary: bool,
        took: Duration,
    ) -> Result<(), Trouble> {
        let statements = fill_statements(table, rows, self.settings.standard_conforming)
            .map_err(|_| SqlError::new("XX000", "rows of the table that was made cannot be read", "Report this."))?;
        let before = self.open.as_ref().map_or(0, |open| open.transcript.len());
        let tag = Some(Bytes::from_static(DEFINITION_TAG.as_bytes()));
        // DDL: all that was sent out before comes first. Nobody goes beside it, unless it is the session's own.
        let footprint = if temporary { Footprint::Nothing } else { Footprint::Everything };
        if temporary {
            self.push_lock(definition, tag, &Footprint::Everything, took)?;
        } else {
            self.push_entry(Payload::Simple(definition), tag, &footprint, took)?;
        }
        for statement in statements {
            let tag = Some(Bytes::from(statement.tag));
            self.push_entry(Payload::Simple(Bytes::from(statement.sql)), tag, &footprint, took)?;
        }
        if temporary {
            self.mark_temporary(before);
        }
        Ok(())
    }
}

fn not_a_read() -> SqlError {
    SqlError::refused(
        "the prepared statement that fills the table is not known to be a plain read",
        "CREATE TABLE … AS with the query itself.",
    )
}
