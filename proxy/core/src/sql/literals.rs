//! The literals of a text: where an analysis says "the literal at token 7", this is what stands there.
//!
//! An analysis is shared by texts that differ in their literals only, so it cannot hold their values; they are read
//! from the text when a footprint is made.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::analysis::{Analysis, LiteralAt};
use super::lexer::{Token, TokenKind, lex};
use super::text::string_value;

/// See the module. The text is read at the first question.
#[derive(Debug)]
pub struct Literals<'t> {
    text: &'t [u8],
    standard_conforming: bool,
    tokens: OnceCell<Vec<Token>>,
}

impl<'t> Literals<'t> {
    /// The literals of a text of which this is the analysis.
    #[must_use]
    pub fn of(text: &'t [u8], analysis: &Analysis) -> Self {
        Literals::new(text, analysis.standard_conforming)
    }

    /// Where it is certain that nobody asks.
    #[must_use]
    pub fn none() -> Self {
        Literals::new(b"", true)
    }

    pub(crate) fn new(text: &'t [u8], standard_conforming: bool) -> Self {
        Literals { text, standard_conforming, tokens: OnceCell::new() }
    }

    /// The text of a number, or the value of a string; `None` if there is no such literal.
    pub(crate) fn value(&self, at: LiteralAt) -> Option<Cow<'t, [u8]>> {
        let token = self.tokens.get_or_init(|| lex(self.text, self.standard_conforming)).get(at.token)?;
        let bytes = token.bytes(self.text);
        match (token.kind, at.negative) {
            (TokenKind::Number, false) => Some(Cow::Borrowed(bytes)),
            (TokenKind::Number, true) => Some(Cow::Owned([b"-", bytes].concat())),
            (kind, false) => string_value(kind, bytes, self.standard_conforming).map(Cow::Owned),
            (_, true) => None,
        }
    }
}
