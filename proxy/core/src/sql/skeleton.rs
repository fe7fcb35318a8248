//! What is the same in all texts that differ only in their literals: the key of the cache of analyses.
//!
//! A client that does not prepare sends another text for every row. Its analysis is the same each time, and costs
//! fifty times what the skeleton costs.
//!
//! **Why texts with one skeleton have one analysis** (under one catalog and the same settings):
//! 1. The analysis is a function of the tokens; blanks and comments between them do not reach it (a place in the text
//!    is told as the index of a token). The skeleton is the sequence of tokens, byte by byte, except that a number is
//!    replaced by one byte, and so is a string `'…'` or `E'…'`; and it can be read back: the bytes of a token tell
//!    its end, and no token starts with such a byte (a text in which one would is not given a skeleton). So texts with
//!    one skeleton have the same tokens at the same indexes, up to the values of those literals.
//! 2. The parser does not see values: it gets each literal as the index of its token (`analyse/tree.rs`). What the
//!    tree says of a literal (that it pins a key) is again its index ([`super::analysis::LiteralAt`]).
//! 3. Of the values of numbers nothing is asked. Of the values of strings it is asked (a) whether they can be told and
//!    are UTF-8, (b) whether they may mean the current time, (c) what sequence they name behind `nextval(` and the
//!    like, (d) what SET and its like set. Strings for which (a) is no or (b) is yes give the text no skeleton. Those of
//!    (c) stay in the skeleton. For (d): only queries, INSERT, UPDATE and DELETE have a skeleton, and of their analyses
//!    only reads, writes (also imaged ones) and row locks are shared ([`is_shareable`]); `SELECT set_config(…)` is none of these.
//!
//! `analyse/tests/shapes.rs` checks it: the tests' statements and random ones, with their literals exchanged.

use super::analyse::Settings;
use super::analysis::{Analysis, Command};
use super::functions::{may_mean_now, names_now};
use super::lexer::{Token, TokenKind, tokens};
use super::text::string_value;

const NUMBER: u8 = 1;
const STRING: u8 = 2;
const ESCAPE_STRING: u8 = 3;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Skeleton(Box<[u8]>);

impl Skeleton {
    /// The skeleton of a statement; `None`: it must be analysed by itself.
    #[must_use]
    pub fn of(text: &[u8], settings: &Settings) -> Option<Self> {
        if !settings.standard_conforming_strings {
            return None;
        }
        let mut tokens = tokens(text, true).peekable();
        if !tokens.peek().is_some_and(|first| is_any(text, first, &["select", "insert", "update", "delete", "with"])) {
            return None;
        }
        let mut key = Vec::with_capacity(text.len() + text.len() / 4 + 8);
        let mut place = Place::Elsewhere;
        for token in tokens {
            let bytes = token.bytes(text);
            match token.kind {
                TokenKind::Number => key.push(NUMBER),
                TokenKind::String if bytes[0] == b'\'' && place != Place::SequenceName => {
                    is_plain(&bytes[1..bytes.len() - 1]).then(|| key.push(STRING))?;
                }
                TokenKind::EscapeString if place != Place::SequenceName => {
                    is_plain_escaped(bytes).then(|| key.push(ESCAPE_STRING))?;
                }
                TokenKind::QuotedIdent if is_sequence_function(bytes) => return None,
                TokenKind::Junk | TokenKind::Incomplete => return None,
                _ => key.extend_from_slice(bytes),
            }
            key.push(b' ');
            place = place.behind(text, &token);
        }
        Some(Skeleton(key.into_boxed_slice()))
    }

    /// Its size, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// Whether an analysis stands for all texts with its text's skeleton.
#[must_use]
pub fn is_shareable(analysis: &Analysis) -> bool {
    analysis.standard_conforming
        && matches!(analysis.command, Command::Read(_) | Command::Write(_) | Command::Imaged(_) | Command::RowLock(_))
}

/// What the next token is, as far as it matters for a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// Behind `nextval` or the like.
    SequenceCall,
    /// Behind its parenthesis.
    SequenceName,
}

/// All of them have 6 or 7 letters.
const SEQUENCE_FUNCTIONS: [&str; 4] = ["nextval", "setval", "currval", "lastval"];

impl Place {
    fn behind(self, text: &[u8], token: &Token) -> Self {
        match token.kind {
            TokenKind::Ident
                if matches!(token.end - token.start, 6 | 7) && is_any(text, token, &SEQUENCE_FUNCTIONS) =>
            {
                Place::SequenceCall
            }
            TokenKind::Symbol if self == Place::SequenceCall && token.is_symbol(text, "(") => Place::SequenceName,
            _ => Place::Elsewhere,
        }
    }
}

fn is_any(text: &[u8], token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(text, word))
}

/// A quoted name of such a function, or one that is not simple to tell.
fn is_sequence_function(quoted: &[u8]) -> bool {
    quoted[0] != b'"' || SEQUENCE_FUNCTIONS.iter().any(|name| &quoted[1..quoted.len() - 1] == name.as_bytes())
}

/// The value of `'content'` can be told (it is not continued behind a line end), is UTF-8, and cannot mean the
/// current time.
fn is_plain(content: &[u8]) -> bool {
    /// Twice what `may_mean_now` reads: a doubled quote is one character.
    const DATE_CONTENT_BYTES_MAX: usize = 320;
    let continued = || {
        let mut rest = content.iter();
        while rest.any(|b| *b == b'\'') {
            if rest.next() != Some(&b'\'') {
                return true;
            }
        }
        false
    };
    !continued()
        && (content.is_ascii() || std::str::from_utf8(content).is_ok())
        && (content.len() > DATE_CONTENT_BYTES_MAX || !names_now(content))
}

/// The same of `E'…'`.
fn is_plain_escaped(bytes: &[u8]) -> bool {
    if !bytes.contains(&b'\\') {
        return is_plain(&bytes[2..bytes.len() - 1]);
    }
    string_value(TokenKind::EscapeString, bytes, true)
        .is_some_and(|value| std::str::from_utf8(&value).is_ok() && !may_mean_now(&value))
}
