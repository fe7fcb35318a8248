//! The simple query protocol: one message, any number of statements.

use bytes::Bytes;
use raidb_core::sql::analysis::Command;
use raidb_core::sql::split::split;

use super::Session;
use super::control::{allowed_when_failed, is_control};
use super::statement::Statement;
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::wire::{decode, encode};

impl Session {
    /// Answers one Query message.
    ///
    /// # Errors
    /// Only what ends the session.
    pub(crate) async fn simple_query(&mut self, frame: &Bytes) -> Result<(), Trouble> {
        let text = match decode::query(frame) {
            Ok(text) => text,
            Err(malformed) => {
                self.fail(SqlError::new("08P01", malformed.to_string(), "").into(), 0).await?;
                return self.ready().await;
            }
        };
        let pieces = split(&text, self.settings.standard_conforming);
        if pieces.is_empty() {
            encode::bare(&mut self.staged, b'I');
            return self.ready().await;
        }
        let single = pieces.len() == 1;
        for piece in pieces {
            let offset = text[..piece.start].iter().filter(|b| !is_continuation(**b)).count();
            let sql = text.slice(piece);
            self.current = sql.clone();
            if let Err(trouble) = self.simple_statement(sql, single).await {
                self.fail(trouble, offset).await?;
                return self.ready().await;
            }
        }
        if self.block == Block::Idle && self.open.is_some() {
            self.current = text;
            if let Err(trouble) = self.commit().await {
                self.fail(trouble, 0).await?;
            }
        }
        self.ready().await
    }

    /// Runs a statement; if DDL has overtaken its analysis and nothing else is in its transaction, again.
    async fn simple_statement(&mut self, sql: Bytes, single: bool) -> Result<(), Trouble> {
        loop {
            let mark = self.staged.len();
            self.stale = false;
            let result = self.try_simple_statement(sql.clone(), single).await;
            if result.is_ok() || !self.stale || !single || self.block != Block::Idle || self.released {
                return result;
            }
            self.unbind_token();
            self.rollback().await;
            self.staged.truncate(mark);
        }
    }

    async fn try_simple_statement(&mut self, sql: Bytes, single: bool) -> Result<(), Trouble> {
        let generation = self.judgeable().await?;
        let analysis = self.analysis(&sql, false);
        let statement = Statement { sql, analysis, bound: None, executes: None, generation };
        let command = &statement.analysis.command;
        if let Some(error) = self.refusal_of_block(command) {
            return Err(error.into());
        }
        match command {
            Command::CopyIn(copy) => self.copy_in(&statement, &copy.clone()).await,
            command if is_control(command) => self.control(&statement).await,
            Command::Execute { name } => {
                let statement = self.execute_statement(&statement, name)?;
                self.plain_statement(&statement, single).await
            }
            _ => self.plain_statement(&statement, single).await,
        }
    }

    /// What a failed (or lost) transaction says to every statement but its end.
    pub(crate) fn refusal_of_block(&mut self, command: &Command) -> Option<SqlError> {
        if let Some(error) = self.lost_transaction.clone()
            && !matches!(command, Command::Rollback { .. } | Command::Commit { .. })
        {
            self.lost_transaction = None;
            return Some(error);
        }
        if self.block == Block::Failed && !allowed_when_failed(command) {
            return Some(SqlError::in_failed_transaction());
        }
        self.refusal_of_meaning(command)
    }

    async fn plain_statement(&mut self, statement: &Statement, single: bool) -> Result<(), Trouble> {
        if self.open.is_none() && single && reads_outside(&statement.analysis.command) {
            return self.balanced_simple(statement).await;
        }
        if single && self.open.is_none() && self.combined(statement).await? {
            return Ok(());
        }
        self.open_implicit();
        self.simple_on_lead(statement).await
    }

    /// EXECUTE name: it is what the prepared statement is, under the text that the client sent.
    pub(crate) fn execute_statement(&mut self, statement: &Statement, name: &str) -> Result<Statement, SqlError> {
        use raidb_core::sql::analysis::{RowLock, Write, WriteForm};
        let name = Bytes::copy_from_slice(name.as_bytes());
        let known = self.known_statement(&name)?;
        let analysis = known.analysis;
        let rewritten = matches!(
            &analysis.command,
            Command::Write(Write { form: WriteForm::Captured(_), .. })
                | Command::RowLock(RowLock { capture: Some(_), .. })
        );
        if rewritten {
            return Err(SqlError::refused(
                "EXECUTE of a statement whose values only the lead can know is not supported",
                "Send the statement itself, or prepare it in the driver (extended protocol).",
            ));
        }
        if is_control(&analysis.command) {
            return Err(SqlError::refused(
                "EXECUTE of this kind of statement is not supported",
                "Send the statement itself.",
            ));
        }
        let executes = Some(self.executed(&known.prepared)?);
        // Parameters come from the EXECUTE's text, which is not looked into: keys are unknown.
        let analysis = std::sync::Arc::new(without_parameters(&analysis));
        Ok(Statement { sql: statement.sql.clone(), analysis, bound: None, executes, generation: statement.generation })
    }

    /// A statement failed: its partial answer is dropped, the error is staged, the transaction is aborted.
    ///
    /// # Errors
    /// What ends the session.
    pub(crate) async fn fail(&mut self, trouble: Trouble, offset: usize) -> Result<(), Trouble> {
        let error = match trouble {
            Trouble::Fatal(_) | Trouble::ClientGone => return Err(trouble),
            Trouble::Sql(error) => super::foreground::local_error(&error),
            Trouble::Answer(frame) => super::trouble::move_position(&frame, offset),
            Trouble::LeadChanged | Trouble::MemberLost | Trouble::ViewChanged => {
                super::foreground::local_error(&SqlError::retry("the lead was lost"))
            }
        };
        self.abort_after_failure().await;
        self.staged.extend_from_slice(&error);
        Ok(())
    }

    /// For an error found before anything was run.
    pub(crate) fn fail_statement(&mut self, error: SqlError) {
        error.write(&mut self.staged, "ERROR");
        if self.block == Block::Open {
            self.undo_failed();
            self.block = Block::Failed;
        }
    }

    async fn abort_after_failure(&mut self) {
        match self.block {
            Block::Idle => self.rollback().await,
            Block::Open | Block::Failed => {
                let gone = self.open.as_ref().is_none_or(|open| {
                    let lost = open.lead_begun && self.slots[usize::from(open.lead.0)].link.is_none();
                    lost || open.epoch != self.view.lead_epoch
                });
                if gone {
                    self.rollback().await;
                } else {
                    self.undo_failed();
                }
                self.block = Block::Failed;
            }
        }
    }
}

/// Bytes that do not start a character in UTF-8 (positions count characters).
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Reads that may go to any member when no transaction is open.
#[must_use]
pub fn reads_outside(command: &Command) -> bool {
    matches!(command, Command::Read(_) | Command::CopyOut(_) | Command::Empty)
}

fn without_parameters(analysis: &raidb_core::sql::analysis::Analysis) -> raidb_core::sql::analysis::Analysis {
    use raidb_core::sql::analysis::FootprintHint;
    let mut analysis = analysis.clone();
    match &mut analysis.command {
        Command::Write(write) if matches!(write.footprint, FootprintHint::Keys(_)) => {
            write.footprint = FootprintHint::Group
        }
        Command::RowLock(lock) => lock.footprint = FootprintHint::Group,
        _ => {}
    }
    analysis.read_key = None;
    analysis
}
