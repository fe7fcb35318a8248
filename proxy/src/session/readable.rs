//! A message of several statements is parsed as a whole before the first runs: of one that cannot be read, nothing runs.
//!
//! Only a member can say what PostgreSQL's parser reads. It is sent the message with something behind it that no parser reads,
//! so that nothing of it can run, whatever it says: where the error stands tells whether all before it was read. That parser
//! looks at no table and keeps no state; in a block a savepoint saves the transaction from the error.
//!
//! In a failed block the parser comes before the refusal, as in PostgreSQL: 42601, not 25P02. There is nothing to be saved from the
//! error then, and nothing that could end the block, since nothing runs.

use bytes::Bytes;
use raidb_core::sql::analysis::Command;

use super::Session;
use super::foreground::{Reading, Rows};
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;
use crate::wire::decode::{error_field, sqlstate};

/// Stands behind the message, in a statement of its own.
const END: &str = "raidb_end_of_message";
/// What is sent behind the message.
const BEFORE_END: &[u8] = b"\n;raidb_end_of_message";
const SAVEPOINT: &[u8] = b"SAVEPOINT raidb_parse";
const BACK: &[u8] = b"ROLLBACK TO SAVEPOINT raidb_parse;RELEASE SAVEPOINT raidb_parse";

impl Session {
    /// The error of a message that the parser cannot read; `None`: it reads it.
    pub(super) async fn unreadable(&mut self, text: &Bytes) -> Result<Option<Bytes>, Trouble> {
        // In a block that is lost the first statement is told so anyway.
        if self.lost_transaction.is_some() {
            return Ok(None);
        }
        if self.block == Block::Failed {
            return self.unreadable_when_failed(text).await;
        }
        self.judgeable().await?;
        let settings = self.settings.meaning(&self.catalog().default_search_path);
        if self.database.readable.knows(text, &settings) {
            return Ok(None);
        }
        let mark = self.staged.len();
        let frame = loop {
            match self.ask_parser(text).await {
                Ok(frame) => break frame,
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                Err(Trouble::MemberLost) => self.next_view().await,
                Err(other) => return Err(other),
            }
        };
        if reads_it(&frame) {
            // Warnings of the parser come again with the statements.
            self.staged.truncate(mark);
            self.database.readable.learn(text, &settings);
            return Ok(None);
        }
        Ok(Some(at_its_end(text, frame)))
    }

    /// The same in a failed block.
    async fn unreadable_when_failed(&mut self, text: &Bytes) -> Result<Option<Bytes>, Trouble> {
        let mark = self.staged.len();
        match self.ask_parser(text).await {
            // Warnings of the parser stay: nothing comes behind them.
            Ok(frame) if reads_it(&frame) => Ok(None),
            Ok(frame) => Ok(Some(at_its_end(text, frame))),
            Err(trouble @ (Trouble::Fatal(_) | Trouble::ClientGone)) => Err(trouble),
            // The transaction is gone with its lead. The block has failed with and without it.
            Err(_) => {
                self.staged.truncate(mark);
                Ok(None)
            }
        }
    }

    /// What a statement is told that its block refuses: PostgreSQL parses it before.
    pub(super) async fn refused_behind_parser(
        &mut self,
        refusal: SqlError,
        command: &Command,
        text: &Bytes,
    ) -> Trouble {
        // No member can read what is the proxy's own.
        let own = matches!(command, Command::Token(_) | Command::Route { .. });
        if own || refusal.sqlstate != SqlError::FAILED_TRANSACTION {
            return refusal.into();
        }
        match self.unreadable(text).await {
            Ok(unreadable) => unreadable.map_or_else(|| refusal.into(), Trouble::Answer),
            Err(trouble) => trouble,
        }
    }

    /// The parser's error.
    async fn ask_parser(&mut self, text: &Bytes) -> Result<Bytes, Trouble> {
        let lead = self.ready_members(false).await?;
        let begun = self.open.as_ref().is_some_and(|open| open.lead_begun);
        let gone = if self.open.is_some() { Trouble::LeadChanged } else { Trouble::MemberLost };
        let saved = begun && self.block != Block::Failed;
        let Some(link) = self.link(lead) else { return Err(gone) };
        if saved {
            link.simple(&[SAVEPOINT], Owner::Discarded);
        }
        link.simple(&[text, BEFORE_END], Owner::Foreground);
        if saved {
            link.simple(&[BACK], Owner::ProbeEnd);
        }
        let end = self.read_unit(lead, Reading { rows: Rows::Discard, silent: true, ..Reading::default() }).await?;
        // It cannot run: not even the end of it is SQL.
        end.error.ok_or_else(|| SqlError::new("XX000", "a member's parser reads what is no SQL", "Report this.").into())
    }
}

/// Whether the parser has read all of the message: its error is about what stands behind it.
fn reads_it(frame: &Bytes) -> bool {
    let message = error_field(frame, b'M').unwrap_or_default();
    // The parser names one token: with something before ours it is a quoted text without an end.
    let named = find(message, END.as_bytes()).is_some() && find(message, BEFORE_END).is_none();
    sqlstate(frame) == *b"42601" && named
}

/// The error as the message alone would have got it: where it stops in the middle of a statement the parser blames our semicolon,
/// and a quoted text without an end goes on into what is ours.
fn at_its_end(text: &[u8], frame: Bytes) -> Bytes {
    let characters = text.iter().filter(|b| **b & 0xc0 != 0x80).count();
    let field = |code| error_field(&frame, code).map(|value| String::from_utf8_lossy(value).into_owned());
    let position = field(b'P').and_then(|p| p.parse::<usize>().ok());
    let ours = field(b'M').filter(|message| find(message.as_bytes(), BEFORE_END).is_some());
    let (message, position) = match (ours, position) {
        (Some(message), _) => (message.replacen("\n;raidb_end_of_message", "", 1), field(b'P').unwrap_or_default()),
        (None, Some(position)) if position > characters => {
            ("syntax error at end of input".to_owned(), (characters + 1).to_string())
        }
        (None, _) => return frame,
    };
    let code = String::from_utf8_lossy(&sqlstate(&frame)).into_owned();
    let mut out = bytes::BytesMut::new();
    let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', code.as_str()), (b'M', &message), (b'P', position.as_str())];
    crate::wire::encode::notice_or_error(&mut out, b'E', &fields);
    out.freeze()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str, position: &str) -> Bytes {
        let mut out = bytes::BytesMut::new();
        let fields = [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', "42601"), (b'M', message), (b'P', position)];
        crate::wire::encode::notice_or_error(&mut out, b'E', &fields);
        out.freeze()
    }

    #[test]
    fn errors_are_those_of_the_message_alone() {
        let inside = error("syntax error at or near \"selec\"", "11");
        assert_eq!(at_its_end(b"select 1; selec 1", inside.clone()), inside);
        let at_end = at_its_end(b"select 1; select (", error("syntax error at or near \";\"", "20"));
        assert_eq!(at_end, error("syntax error at end of input", "19"));
        let quoted = error("unterminated quoted string at or near \"'a\n;raidb_end_of_message\"", "18");
        let alone = error("unterminated quoted string at or near \"'a\"", "18");
        assert_eq!(at_its_end(b"select 1; select 'a", quoted), alone);
    }
}
