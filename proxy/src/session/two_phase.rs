//! Two-phase commit, which clients may ask for and members refuse: where `max_prepared_transactions` is 0, PostgreSQL's default, a
//! transaction ends with an error that is PREPARE TRANSACTION's own, and none is ever prepared.
//!
//! Where it is more, these commands are refused: a transaction that is prepared on one member would be in no log, and hold its
//! locks there for ever. So nothing is sent that could prepare one: PREPARE TRANSACTION goes to the lead behind the
//! question, on the connection that holds the transaction block. The setting cannot change under a connection, and without
//! the block the command prepares nothing. COMMIT PREPARED and ROLLBACK PREPARED go nowhere: where none can be prepared, none is there.

use raidb_core::sql::analysis::{Refusal, TwoPhase};

use super::Session;
use super::statement::Statement;
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::wire::decode::{error_field, sqlstate};

/// "0" where no transaction can be prepared.
const PLACES_SQL: &str = "SELECT pg_catalog.current_setting('max_prepared_transactions')";

impl Session {
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    pub(super) async fn two_phase(
        &mut self,
        statement: &Statement,
        command: &TwoPhase,
        refusal: &Refusal,
    ) -> Result<(), Trouble> {
        match command {
            TwoPhase::Prepare => self.prepare_transaction(statement, refusal).await,
            TwoPhase::Finish { commit, identifier } => {
                let name = if *commit { "COMMIT PREPARED" } else { "ROLLBACK PREPARED" };
                self.outside_blocks(statement, name)?;
                let told = self.settings.utf8 || identifier.is_ascii();
                if !told || !self.none_prepared().await? {
                    return Err(self.refused(refusal).into());
                }
                let message = format!("prepared transaction with identifier \"{identifier}\" does not exist");
                Err(SqlError::new("42704", message, "").into())
            }
        }
    }

    /// PostgreSQL's error for a command that cannot run in a transaction block.
    pub(super) fn outside_blocks(&self, statement: &Statement, name: &str) -> Result<(), SqlError> {
        let message = match (self.block, &self.open, &statement.bound) {
            (Block::Idle, None, _) => return Ok(()),
            // Behind something else up to Sync.
            (Block::Idle, Some(_), Some(_)) => format!("{name} cannot be executed within a pipeline"),
            _ => format!("{name} cannot run inside a transaction block"),
        };
        Err(SqlError::new("25001", message, ""))
    }

    async fn prepare_transaction(&mut self, statement: &Statement, refusal: &Refusal) -> Result<(), Trouble> {
        if self.block == Block::Failed {
            return self.rollback_command(false).await;
        }
        self.tell_lost()?;
        if self.block == Block::Idle {
            self.no_block(None)?;
            // A message of several statements is a block; up to Sync there is none, and what came before is committed.
            if self.open.is_none() || statement.bound.is_some() {
                if self.open.is_some() {
                    self.commit().await?;
                }
                self.complete("ROLLBACK");
                return Ok(());
            }
        }
        loop {
            match self.try_prepare(statement, refusal).await {
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                Err(Trouble::MemberLost) => self.next_view().await,
                other => return other,
            }
        }
    }

    async fn try_prepare(&mut self, statement: &Statement, refusal: &Refusal) -> Result<(), Trouble> {
        self.ready_members(false).await?;
        if !self.no_places().await? {
            return Err(self.refused(refusal).into());
        }
        let end = match std::str::from_utf8(&statement.sql) {
            // A lead that is lost from here on has prepared nothing either: the next one is asked again.
            Ok(sql) => self.lead_end(sql, false).await?,
            Err(_) => return Err(self.refused(refusal).into()),
        };
        let Some(frame) = end.error else {
            return Err(Trouble::Fatal(SqlError::new(
                "XX000",
                "the lead has prepared a transaction, and had said that it does not",
                "Look at pg_prepared_xacts on the members, and report this.",
            )));
        };
        if end.status != b'I' {
            // It was refused before it began (its text cannot be read): the block stays, and has failed.
            return Err(Trouble::Answer(frame));
        }
        self.block = Block::Idle;
        if self.open.as_ref().is_some_and(|open| open.imaged && open.deferred) {
            // Triggers that had waited have run. They are undone, but not what they took from sequences, nor locks of the session.
            self.any_sequence_advanced();
            self.drop_lead_locks();
        }
        Err(if self.images_are_temporary(&frame) { disabled().into() } else { Trouble::Answer(frame) })
    }

    /// The lead blames temporary objects, and the session has none: those that hold images of rows are meant.
    fn images_are_temporary(&self, frame: &[u8]) -> bool {
        let blamed = error_field(frame, b'M').is_some_and(|m| m.ends_with(b"temporary objects"));
        let imaged = self.open.as_ref().is_some_and(|open| open.imaged);
        sqlstate(frame) == *b"0A000" && blamed && imaged && !self.has_temporary()
    }

    /// Whether no transaction can be prepared on the lead.
    async fn no_places(&mut self) -> Result<bool, Trouble> {
        let results = self.lead_results(PLACES_SQL).await?;
        let places = results.first().and_then(|rows| rows.first()).and_then(|row| row.first().cloned().flatten());
        Ok(places.as_deref() == Some("0"))
    }

    /// The same outside a transaction.
    async fn none_prepared(&mut self) -> Result<bool, Trouble> {
        loop {
            let asked = match self.ready_members(false).await {
                Ok(_) => self.no_places().await,
                Err(trouble) => Err(trouble),
            };
            match asked {
                Err(Trouble::LeadChanged | Trouble::MemberLost) => self.next_view().await,
                other => return other,
            }
        }
    }
}

/// As PostgreSQL says it.
fn disabled() -> SqlError {
    let hint = "Set max_prepared_transactions to a nonzero value.";
    SqlError::new("55000", "prepared transactions are disabled", hint)
}
