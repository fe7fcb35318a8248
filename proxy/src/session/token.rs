//! `SET raidb.token` and `raidb.outcome(…)`: a client names a transaction, and asks on another connection what became of it.
//!
//! Nothing of this reaches a member. **The one moment** at which a question and a COMMIT exclude each other is
//! [`Session::decide_token`], right before the intent is appended; see [`raidb_core::token`].

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use raidb_core::log::{Position, RecordKind, TokenRecord};
use raidb_core::sql::analysis::{Analysis, Command, NotificationCommand, TokenCommand, TokenText};
use raidb_core::sql::column_of_setting;
use raidb_core::token::{NotTaken, Token};

use super::Session;
use super::lead_unit::result_formats_at;
use super::notifications::parameters_of;
use super::prepared::Prepared;
use super::statement::{Bound, Statement};
use super::trouble::{SqlError, Trouble};
use crate::time::utc;
use crate::virtual_database::tokens::TokenOutcome;
use crate::wire::{decode, encode};

/// A question about a transaction that is being carried out waits this long; then it is answered with 08007 (ask again).
pub const OUTCOME_WAIT_MAX: Duration = Duration::from_secs(30);

/// The type `text`.
const TEXT_OID: u32 = 25;

/// What a session's token stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// There is none.
    #[default]
    Nothing,
    /// The next transaction that writes.
    Next(Token),
    /// The open transaction.
    This(Token),
}

impl Named {
    fn token(&self) -> Option<&Token> {
        match self {
            Named::Nothing => None,
            Named::Next(token) | Named::This(token) => Some(token),
        }
    }

    fn of_transaction(&self) -> Option<&Token> {
        match self {
            Named::This(token) => Some(token),
            Named::Nothing | Named::Next(_) => None,
        }
    }
}

/// What a question was told meanwhile.
fn told_aborted() -> SqlError {
    SqlError::new(
        "40001",
        "transaction rolled back: its outcome was asked for by its token, and told to be aborted",
        "Whoever asked may have run it again already.",
    )
}

impl Session {
    /// Runs one of the commands; its answer is staged.
    pub(crate) async fn token_command(&mut self, statement: &Statement, command: &TokenCommand) -> Result<(), Trouble> {
        match command {
            TokenCommand::Set(text) => {
                let token = token_of(text, statement.bound.as_ref())?;
                self.set_token(token).await?;
                encode::command_complete(&mut self.staged, "SET");
            }
            TokenCommand::Reset if self.named.of_transaction().is_some() => {
                // Without it the transaction could commit, and somebody be told that it is aborted.
                return Err(SqlError::new(
                    "55000",
                    "the transaction keeps its token to its end",
                    "ROLLBACK or COMMIT, then the token is gone by itself.",
                )
                .into());
            }
            TokenCommand::Reset => {
                self.forget_token();
                encode::command_complete(&mut self.staged, "RESET");
            }
            TokenCommand::Show => {
                let token = self.named.token().map(|token| token.as_str().to_owned()).unwrap_or_default();
                self.answer_token(statement, command, &token);
            }
            TokenCommand::Outcome { token, .. } => {
                let token = token_of(token, statement.bound.as_ref())?;
                let outcome = self.outcome_of(token).await?;
                self.answer_token(statement, command, &outcome);
            }
        }
        Ok(())
    }

    fn answer_token(&mut self, statement: &Statement, command: &TokenCommand, value: &str) {
        let Some((column, tag)) = column(command) else { return };
        if statement.bound.is_none() {
            encode::text_row_description(&mut self.staged, &[column]);
        }
        encode::text_row(&mut self.staged, &[value]);
        encode::command_complete(&mut self.staged, tag);
    }

    async fn set_token(&mut self, token: Token) -> Result<(), Trouble> {
        if self.named.token() == Some(&token) {
            return Ok(());
        }
        if self.open.is_some() && self.named != Named::Nothing {
            return Err(SqlError::new(
                "55000",
                "the transaction has another token already, or one that waits for it",
                "A transaction has one token, and gives it up at its end: COMMIT or ROLLBACK first.",
            )
            .into());
        }
        // The log hears of one at a time from a session.
        if let Some(noting) = self.noting_token.take() {
            let _the_log_says_the_rest = self.drive(noting).await;
        }
        let given = self.database.tokens.give(&token, self.handle.id, self.database.journal.end());
        let unix_ms = given.map_err(not_taken)?;
        self.forget_token();
        let payload = TokenRecord::Given { unix_ms, token: token.as_str().as_bytes().to_vec() }.encode();
        let database = self.database.clone();
        // Not waited for: without it a start knows nothing of a transaction that was never decided.
        self.noting_token = Some(tokio::spawn(async move {
            if let Err(error) = database.journal.note(RecordKind::Token, payload).await {
                tracing::debug!("a token was not logged: {error}");
            }
        }));
        self.named = if self.open.is_some() { Named::This(token) } else { Named::Next(token) };
        Ok(())
    }

    async fn outcome_of(&mut self, token: Token) -> Result<String, Trouble> {
        if self.named.token() == Some(&token) {
            return Err(SqlError::new(
                "55000",
                "this session has that token itself, and its transaction has not ended",
                "End the transaction, or ask on another connection.",
            )
            .into());
        }
        let database = self.database.clone();
        let asking = self.drive(async move { database.tokens.outcome(&token).await });
        match tokio::time::timeout(OUTCOME_WAIT_MAX, asking).await {
            Ok(TokenOutcome::Committed) => Ok("committed".into()),
            Ok(TokenOutcome::Aborted) => Ok("aborted".into()),
            Ok(TokenOutcome::Unknown { since_ms }) => {
                // Rounded up: what is told holds from then on.
                let since = utc(since_ms.div_ceil(1000).saturating_mul(1000));
                Ok(format!("unknown, tokens are kept since {since}"))
            }
            Ok(TokenOutcome::Full) => Err(SqlError::new(
                "53400",
                "too many unknown tokens were asked about",
                "Try again when older sessions have ended.",
            )
            .into()),
            Err(_) => Err(SqlError::new(
                "08007",
                "transaction resolution unknown: it is decided, and not carried out yet",
                "Ask again.",
            )
            .into()),
        }
    }

    /// The token names nothing any more: no transaction, or one that is rolled back.
    fn forget_token(&mut self) {
        if let Some(token) = std::mem::take(&mut self.named).token() {
            self.database.tokens.aborted(token);
        }
    }

    /// RESET ALL, DISCARD ALL: the next user of the connection must not inherit a token.
    pub(crate) fn forget_waiting_token(&mut self) {
        if matches!(self.named, Named::Next(_)) {
            self.forget_token();
        }
    }

    /// A statement of the open transaction is about to write: it is the one that a waiting token names.
    pub(crate) fn bind_token(&mut self) {
        if self.open.is_some()
            && let Named::Next(token) = &self.named
        {
            self.named = Named::This(token.clone());
        }
    }

    /// The transaction is rolled back in order to be run again, unseen.
    pub(crate) fn unbind_token(&mut self) {
        if let Named::This(token) = &self.named {
            self.named = Named::Next(token.clone());
        }
    }

    /// The open transaction's token, for its intent.
    pub(super) fn transaction_token(&self) -> Option<Vec<u8>> {
        self.named.of_transaction().map(|token| token.as_str().as_bytes().to_vec())
    }

    /// Right before the intent is appended, and nowhere else: from here on a question waits for what comes of it.
    ///
    /// # Errors
    /// 40001: somebody was told that the transaction is aborted. Nothing may be appended.
    pub(super) fn decide_token(&self) -> Result<(), SqlError> {
        let Some(token) = self.named.of_transaction() else { return Ok(()) };
        let decided = self.database.tokens.decide(token, self.database.journal.end());
        decided.then_some(()).ok_or_else(told_aborted)
    }

    /// The intent is durable.
    pub(super) fn token_positioned(&self, position: Position) {
        if let Some(token) = self.named.of_transaction() {
            self.database.tokens.positioned(token, position);
        }
    }

    /// Whether the transaction may go on. Cheap; what counts is [`Session::decide_token`].
    ///
    /// # Errors
    /// 40001.
    pub(super) fn check_token(&self) -> Result<(), SqlError> {
        let told =
            self.open.is_some() && self.named.of_transaction().is_some_and(|t| self.database.tokens.is_aborted(t));
        if told { Err(told_aborted()) } else { Ok(()) }
    }

    /// Every member has the transaction.
    pub(super) fn token_committed(&mut self) {
        if let Named::This(token) = &self.named {
            self.database.tokens.committed(token);
            self.named = Named::Nothing;
        }
    }

    /// The transaction is rolled back, or about to be, and nothing of it can be carried out.
    pub(super) fn token_aborted(&mut self) {
        if matches!(self.named, Named::This(_)) {
            self.forget_token();
        }
    }

    /// The session ends.
    pub(super) fn token_gone(&mut self) {
        if let Some(token) = std::mem::take(&mut self.named).token() {
            self.database.tokens.gone(token);
        }
    }
}

fn not_taken(why: NotTaken) -> SqlError {
    match why {
        NotTaken::Used => SqlError::new(
            "42710",
            "this token was used before",
            "Every transaction has a token of its own. SELECT raidb.outcome('…') tells what became of that one.",
        ),
        NotTaken::Asked => SqlError::new(
            "42710",
            "the outcome of this token was asked for before it was used, and told to be unknown",
            "Every transaction has a token of its own: take a new one.",
        ),
        NotTaken::Full => SqlError::new(
            "53400",
            format!("{} transactions with tokens are open", raidb_core::token::TOKENS_MAX),
            "End some, or go on without a token.",
        ),
    }
}

/// The token that a statement names.
fn token_of(text: &TokenText, bound: Option<&Bound>) -> Result<Token, SqlError> {
    let token = match (text, bound) {
        (TokenText::Literal(text), _) => Token::new(text.as_bytes()),
        (TokenText::Parameter, None) => return Err(SqlError::new("42P02", "there is no parameter $1", "")),
        (TokenText::Parameter, Some(bound)) => {
            // A text is the same bytes in both formats.
            let parameters = decode::bind_parameters(&bound.tail);
            parameters.first().and_then(|parameter| Token::new(parameter.value?))
        }
    };
    token.ok_or_else(|| {
        SqlError::new(
            "22023",
            format!("a token is 1 to {} printable ASCII characters", Token::BYTES_MAX),
            "A random UUID as text is a good token.",
        )
    })
}

/// Name of the answer's column, and the command tag; `None`: there are no rows.
fn column(command: &TokenCommand) -> Option<(&'static str, &'static str)> {
    match command {
        TokenCommand::Set(_) | TokenCommand::Reset => None,
        TokenCommand::Show => Some(("raidb.token", "SHOW")),
        TokenCommand::Outcome { show: true, .. } => Some(("outcome", "SHOW")),
        TokenCommand::Outcome { show: false, .. } => Some(("outcome", "SELECT 1")),
    }
}

/// The answer to Describe of a statement that the proxy runs itself.
pub(super) fn describe_statement(analysis: &Analysis, prepared: &Prepared) -> Bytes {
    let mut out = BytesMut::new();
    let types = &prepared.types;
    let command = &analysis.command;
    let parameters = match command {
        Command::Route { .. } => analysis.parameters,
        Command::Token(TokenCommand::Set(text) | TokenCommand::Outcome { token: text, .. }) => {
            u16::from(*text == TokenText::Parameter)
        }
        Command::Notification(command) => parameters_of(command),
        _ => 0,
    };
    encode::frame(&mut out, b't', |out| {
        out.put_u16(parameters);
        for n in 0..usize::from(parameters) {
            let declared = types.get(2 + 4 * n..6 + 4 * n).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            out.put_u32(if declared == 0 { TEXT_OID } else { declared });
        }
    });
    describe_rows(analysis, &prepared.text, false, &mut out);
    out.freeze()
}

/// The answer to Describe of a portal (`tail`: that of its Bind) of a statement that the proxy runs itself.
pub(super) fn describe_portal(analysis: &Analysis, text: &[u8], tail: &[u8]) -> Bytes {
    let formats = result_formats_at(tail).and_then(|at| tail.get(at..)).unwrap_or_default();
    let mut out = BytesMut::new();
    // One column: one format, for it or for all.
    describe_rows(analysis, text, matches!(formats, [0, 1, 0, 1]), &mut out);
    out.freeze()
}

fn describe_rows(analysis: &Analysis, text: &[u8], binary: bool, out: &mut BytesMut) {
    match &analysis.command {
        Command::Notification(NotificationCommand::Function { column, .. }) => {
            encode::void_row_description(out, column);
        }
        Command::Token(command) => match column(command) {
            Some((column, _)) => encode::text_row_description(out, &[column]),
            None => return encode::bare(out, b'n'),
        },
        Command::Route { .. } => encode::text_row_description(out, &[super::route::COLUMN]),
        // SELECT set_config(…).
        Command::Session(_) => match column_of_setting(text, analysis.standard_conforming) {
            Some(column) => encode::text_row_description(out, &[&column]),
            None => return encode::bare(out, b'n'),
        },
        _ => return encode::bare(out, b'n'),
    }
    if binary && let Some(format) = out.last_mut() {
        *format = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOME: &str = "select raidb.outcome($1)";

    fn prepared(text: &str, types: &'static [u8]) -> Prepared {
        let text = Bytes::copy_from_slice(text.as_bytes());
        Prepared { identity: 1, name: Bytes::new(), text, types: Bytes::from_static(types), by_sql: None }
    }

    #[test]
    fn descriptions() {
        let analysed = |sql: &str| {
            let settings = raidb_core::sql::Settings { search_path: Vec::new(), standard_conforming_strings: true };
            raidb_core::sql::analyse(sql.as_bytes(), &raidb_core::sql::catalog::Catalog::default(), &settings)
        };
        let asked_about = |sql: &str, types: &'static [u8]| describe_statement(&analysed(sql), &prepared(sql, types));
        let one_text = |frames: &[u8]| frames.windows(4).filter(|w| *w == TEXT_OID.to_be_bytes()).count();
        let asked = asked_about("select raidb.outcome($1)", &[0, 0]);
        assert_eq!((asked[0], &asked[5..11], asked[11]), (b't', &[0, 1, 0, 0, 0, 25][..], b'T'));
        assert_eq!(one_text(&asked), 2);
        let varchar = asked_about("select raidb.outcome($1)", &[0, 1, 0, 0, 4, 19]);
        assert_eq!(&varchar[5..11], &[0, 1, 0, 0, 4, 19]);
        let literal = asked_about("select raidb.outcome('x')", &[0, 0]);
        assert_eq!((&literal[5..7], literal[7]), (&[0, 0][..], b'T'));
        let set = asked_about("set raidb.token = $1", &[0, 0]);
        assert_eq!((set[0], set[11]), (b't', b'n'));
        for (sql, column) in [
            ("select set_config('a.b', 'c', false)", "set_config"),
            ("select pg_catalog.set_config('a.b', 'c', true) as \"Was\"", "Was"),
            ("select set_config('a.b', 'c', true) was", "was"),
        ] {
            let asked = asked_about(sql, &[0, 0]);
            let mut row = BytesMut::new();
            encode::text_row_description(&mut row, &[column]);
            assert_eq!((&asked[..7], &asked[7..]), (&[b't', 0, 0, 0, 6, 0, 0][..], &row[..]), "{sql}");
        }
        assert_eq!(asked_about("set a.b = 'c'", &[0, 0])[7], b'n');
        let route = asked_about("explain route select $1, $2", &[0, 1, 0, 0, 0, 23]);
        assert_eq!((&route[5..15], route[15]), (&[0, 2, 0, 0, 0, 23, 0, 0, 0, 25][..], b'T'));
        assert_eq!(describe_portal(&analysed("begin"), b"begin", &[0, 0, 0, 0, 0, 0])[0], b'n');
        for (tail, format) in
            [(&[0, 0, 0, 0, 0, 0][..], 0), (&[0, 0, 0, 0, 0, 1, 0, 1], 1), (&[0, 0, 0, 0, 0, 1, 0, 0], 0)]
        {
            let frame = describe_portal(&analysed(OUTCOME), OUTCOME.as_bytes(), tail);
            assert_eq!((frame[0], frame.last()), (b'T', Some(&format)), "{tail:?}");
        }
    }

    #[test]
    fn tokens_in_texts_and_parameters() {
        let of = |text: &TokenText, tail: &[u8]| {
            let bound = Bound { prepared: prepared("", &[0, 0]).into(), tail: Bytes::copy_from_slice(tail) };
            token_of(text, Some(&bound)).map(|token| token.as_str().to_owned()).map_err(|error| error.sqlstate)
        };
        let none = &[0, 0, 0, 0, 0, 0];
        assert_eq!(of(&TokenText::Literal("x".into()), none), Ok("x".into()));
        assert_eq!(of(&TokenText::Literal(String::new()), none), Err("22023"));
        assert_eq!(of(&TokenText::Parameter, none), Err("22023"));
        assert_eq!(of(&TokenText::Parameter, &[0, 0, 0, 1, 255, 255, 255, 255, 0, 0]), Err("22023"), "NULL");
        for format in [&[0, 0][..], &[0, 1, 0, 1]] {
            let tail = [format, &[0, 1, 0, 0, 0, 2, b'a', b'b', 0, 0]].concat();
            assert_eq!(of(&TokenText::Parameter, &tail), Ok("ab".into()), "{format:?}");
        }
        assert_eq!(token_of(&TokenText::Parameter, None).map_err(|error| error.sqlstate), Err("42P02"));
    }
}
