//! The simple query protocol: one message, any number of statements.

use bytes::{Bytes, BytesMut};
use raidb_core::sql::analysis::{Command, CursorUse, Fill, Read};
use raidb_core::sql::split::{split, start_of_token};

use super::Session;
use super::control::{allowed_when_failed, is_control};
use super::statement::Statement;
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::wire::decode::{error_field, sqlstate};
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
        if !single {
            self.current = text.clone();
            match self.unreadable(&text).await {
                Ok(None) => {}
                Ok(Some(error)) => {
                    self.fail(Trouble::Answer(error), 0).await?;
                    return self.ready().await;
                }
                Err(trouble) => {
                    self.fail(trouble, 0).await?;
                    return self.ready().await;
                }
            }
        }
        for piece in pieces {
            let offset = text[..piece.start].iter().filter(|b| !is_continuation(**b)).count();
            let sql = text.slice(piece.clone());
            self.current = sql.clone();
            if let Err(trouble) = self.simple_statement(sql, single).await {
                let trouble = match trouble {
                    Trouble::Answer(error) => Trouble::Answer(at_semicolon(error, &text, piece.start, piece.end)),
                    other => other,
                };
                self.fail(trouble, offset).await?;
                return self.ready().await;
            }
        }
        if self.block == Block::Idle && self.open.is_some() {
            self.current = text;
            if let Err(trouble) = self.commit().await {
                take_back_tag(&mut self.staged);
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
        let mut analysis = self.analysis(&sql, false);
        if self.meaning_for(&analysis.command).await {
            analysis = self.analysis(&sql, false);
        }
        let statement = Statement { sql, analysis, bound: None, executes: None, generation };
        let command = &statement.analysis.command;
        if let Some(error) = self.refusal_of_block(command) {
            // A message of several was read as a whole.
            let refused =
                if single { self.refused_behind_parser(error, command, &statement.sql).await } else { error.into() };
            return Err(refused);
        }
        if !single && belongs_to_block(command) {
            self.open_implicit();
        }
        match command {
            Command::CopyIn(copy) => self.copy_in(&statement, &copy.clone()).await,
            command if is_control(command) => self.control(&statement).await,
            Command::Execute { .. } | Command::Fill(Fill { executes: Some(_), .. }) => {
                let statement = self.executed_statement(statement)?;
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
        if self.open.is_none() && single && self.read_plan(statement).is_some() {
            return self.balanced_simple(statement).await;
        }
        if single {
            self.check_in_block(statement)?;
        }
        if single && self.open.is_none() && self.combined(statement).await? {
            return Ok(());
        }
        self.open_implicit();
        self.simple_on_lead(statement).await
    }

    /// A lock, or a cursor, that is alone in its transaction is of no use to anybody.
    pub(super) fn check_in_block(&self, statement: &Statement) -> Result<(), SqlError> {
        let what = match statement.analysis.command {
            Command::LockTable(_) => "LOCK TABLE",
            Command::Read(Read { cursor: Some(CursorUse::Declare { hold: false, .. }), .. }) => "DECLARE CURSOR",
            _ => return Ok(()),
        };
        if self.block != Block::Idle || (self.open.is_some() && what == "LOCK TABLE") {
            return Ok(());
        }
        Err(SqlError::new("25P01", format!("{what} can only be used in transaction blocks"), ""))
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
            Trouble::LeadChanged
            | Trouble::MemberLost
            | Trouble::ViewChanged
            | Trouble::Undone
            | Trouble::Writes
            | Trouble::Doubtful(_) => super::foreground::local_error(&SqlError::retry("the lead was lost")),
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

/// FETCH or MOVE: what it runs is the query of a cursor.
pub(super) fn moves_cursor(sql: &[u8]) -> bool {
    starts_with(sql, "fetch") || starts_with(sql, "move")
}

pub(super) fn starts_with(sql: &[u8], word: &str) -> bool {
    let start = start_of_token(sql, 0, true);
    sql.get(start..start + word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
}

/// PostgreSQL's parser sees the semicolon behind a statement, which its member was not sent: where a statement ends too early, the error
/// names that.
fn at_semicolon(error: Bytes, message: &[u8], start: usize, end: usize) -> Bytes {
    let blanks = message[end..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    let is_end = error_field(&error, b'M') == Some(b"syntax error at end of input");
    if !is_end || sqlstate(&error) != *b"42601" || message.get(end + blanks) != Some(&b';') {
        return error;
    }
    let before = message[start..end + blanks].iter().filter(|b| !is_continuation(**b)).count();
    let mut out = BytesMut::new();
    let position = (before + 1).to_string();
    let fields = [
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', "42601"),
        (b'M', "syntax error at or near \";\""),
        (b'P', position.as_str()),
    ];
    encode::notice_or_error(&mut out, b'E', &fields);
    out.freeze()
}

/// Takes back the answer that a statement is done, if that is the last that is staged: its transaction did not commit.
pub(super) fn take_back_tag(staged: &mut BytesMut) {
    /// Of what PostgreSQL sends as a command tag.
    const TAG_BYTES_MAX: usize = 64;
    let end = staged.len();
    for start in (end.saturating_sub(5 + TAG_BYTES_MAX)..end.saturating_sub(5)).rev() {
        let Some(([b'C', length @ ..], tag)) = staged[start..].split_first_chunk::<5>() else { continue };
        let whole = u32::from_be_bytes(*length) as usize == end - start - 1;
        let Some((0, tag)) = tag.split_last() else { return };
        if whole && tag.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ') {
            staged.truncate(start);
            return;
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

/// Whether a statement of a message of several acts in the transaction of that message, which PostgreSQL calls an implicit block:
/// all but what begins or ends one, or is the proxy's own.
fn belongs_to_block(command: &Command) -> bool {
    match command {
        Command::Session(_)
        | Command::Prepare { .. }
        | Command::Execute { .. }
        | Command::Deallocate(_)
        | Command::Discard { .. }
        | Command::Read(_)
        | Command::RowLock(_)
        | Command::Write(_)
        | Command::CopyIn(_)
        | Command::Imaged(_)
        | Command::Unproven(_)
        | Command::Fill(_)
        | Command::CopyOut(_)
        | Command::LockTable(_)
        | Command::Advisory(_)
        | Command::Notification(_)
        | Command::Utility(_)
        | Command::Concurrently(_)
        | Command::TwoPhase { .. }
        | Command::Unknown { .. } => true,
        Command::Empty
        | Command::Begin(_)
        | Command::Commit { .. }
        | Command::Rollback { .. }
        | Command::Savepoint(_)
        | Command::Release(_)
        | Command::RollbackTo(_)
        | Command::Token(_)
        | Command::Route { .. }
        | Command::Refused(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_back() {
        let mut staged = BytesMut::new();
        encode::text_row(&mut staged, &["C"]);
        let rows = staged.clone();
        encode::command_complete(&mut staged, "INSERT 0 1");
        take_back_tag(&mut staged);
        assert_eq!(staged, rows);
        take_back_tag(&mut staged);
        assert_eq!(staged, rows, "a row is none");
        let mut nothing = BytesMut::new();
        take_back_tag(&mut nothing);
        assert!(nothing.is_empty());
    }

    #[test]
    fn the_parser_blames_the_semicolon() {
        let error = |message: &str, position: &str| {
            let mut out = BytesMut::new();
            let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', "42601"), (b'M', message), (b'P', position)];
            encode::notice_or_error(&mut out, b'E', &fields);
            out.freeze()
        };
        let ended = error("syntax error at end of input", "9");
        let told = at_semicolon(ended.clone(), "select ä ;".as_bytes(), 0, 9);
        assert_eq!(told, error("syntax error at or near \";\"", "10"));
        assert_eq!(at_semicolon(ended.clone(), b"select @", 0, 8), ended);
        let other = error("syntax error at or near \"x\"", "1");
        assert_eq!(at_semicolon(other.clone(), b"x;", 0, 1), other);
    }
}
