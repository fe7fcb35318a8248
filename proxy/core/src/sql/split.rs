//! Cuts the text of a simple query into statements, where PostgreSQL would.
//!
//! A semicolon inside a string, comment, dollar quote, parentheses (`CREATE RULE … DO (a; b)`) or the body of an SQL
//! function (`BEGIN ATOMIC … END`) does not end a statement. If such a construct is not closed, the rest of the text
//! is one statement, which the server will reject.

use std::ops::Range;

use super::lexer::{Token, TokenKind, tokens};

/// The statements of `text`, each without its semicolon and outer blanks. Pieces of only blanks and comments are dropped.
#[must_use]
pub fn split(text: &[u8], standard_conforming: bool) -> Vec<Range<usize>> {
    let mut statements = Vec::with_capacity(1);
    let mut statement = Statement::default();
    for token in tokens(text, standard_conforming) {
        if token.is_symbol(text, ";") && statement.outside() {
            statements.extend(std::mem::take(&mut statement).range());
        } else {
            statement.step(text, token);
        }
    }
    statements.extend(statement.range());
    statements
}

/// Behind the last real token of one statement (a trailing semicolon does not count): where text can be appended.
#[must_use]
pub fn end_of_last_token(text: &[u8], standard_conforming: bool) -> usize {
    tokens(text, standard_conforming).filter(|t| !t.is_symbol(text, ";")).last().map_or(0, |t| t.end)
}

/// Where a token starts, counted from 0; the text's end if it has fewer.
#[must_use]
pub fn start_of_token(text: &[u8], token: usize, standard_conforming: bool) -> usize {
    tokens(text, standard_conforming).nth(token).map_or(text.len(), |t| t.start)
}

/// The text with blanks in place of these tokens (counted from 0): what stands behind them keeps its place.
#[must_use]
pub fn blanked(text: &[u8], words: &[usize], standard_conforming: bool) -> Vec<u8> {
    let mut blanked = text.to_vec();
    for (_, token) in tokens(text, standard_conforming).enumerate().filter(|(i, _)| words.contains(i)) {
        blanked[token.range()].fill(b' ');
    }
    blanked
}

/// One statement up to the token in hand.
#[derive(Default)]
struct Statement {
    first: Option<Token>,
    last: Option<Token>,
    parens: usize,
    /// BEGIN ATOMIC and CASE, each closed by END.
    blocks: usize,
}

impl Statement {
    fn outside(&self) -> bool {
        self.parens == 0 && self.blocks == 0
    }

    fn range(self) -> Option<Range<usize>> {
        Some(self.first?.start..self.last?.end)
    }

    fn step(&mut self, text: &[u8], token: Token) {
        match token.kind {
            TokenKind::Symbol if token.is_symbol(text, "(") => self.parens += 1,
            TokenKind::Symbol if token.is_symbol(text, ")") => self.parens = self.parens.saturating_sub(1),
            TokenKind::Ident if token.is_word(text, "atomic") => {
                let opens = self.last.is_some_and(|t| t.is_word(text, "begin"))
                    && self.first.is_some_and(|t| t.is_word(text, "create"));
                self.blocks += usize::from(opens);
            }
            TokenKind::Ident if self.blocks > 0 && token.is_word(text, "case") => self.blocks += 1,
            TokenKind::Ident if self.blocks > 0 && token.is_word(text, "end") => self.blocks -= 1,
            _ => {}
        }
        self.first.get_or_insert(token);
        self.last = Some(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let got: Vec<_> = split(text.as_bytes(), true).into_iter().map(|r| &text[r]).collect();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn statements_end_where_postgresql_ends_them() {
        check("", &[]);
        check(" ; -- x\n ;/* ; */;", &[]);
        check("a; b ;c", &["a", "b", "c"]);
        check("select ';' ; select $$;$$; select \";\" -- ;\n", &["select ';'", "select $$;$$", "select \";\""]);
        check("create rule r as on insert to t do (a; b); x", &["create rule r as on insert to t do (a; b)", "x"]);
        check(
            "create function f() begin atomic select case when a then b end; select 1; end; x",
            &["create function f() begin atomic select case when a then b end; select 1; end", "x"],
        );
        check("begin; select 1; end; x", &["begin", "select 1", "end", "x"]);
        check("begin atomic; x", &["begin atomic", "x"]);
        check("select 'a; b", &["select 'a; b"]);
        check("select $1; /* a */ b", &["select $1", "b"]);
    }

    #[test]
    fn backslash_needs_the_setting() {
        assert_eq!(split(b"select '\\'; a'; b", true).len(), 2);
        assert_eq!(split(b"select '\\'; a'; b", false), vec![0..14, 16..17]);
    }

    #[test]
    fn suffix_goes_before_a_comment() {
        let text = b"insert into t values (1) -- x\n ; ";
        assert_eq!(end_of_last_token(text, true), 24);
        assert_eq!(end_of_last_token(b" -- only", true), 0);
        assert_eq!(start_of_token(text, 2, true), 12);
        assert_eq!(start_of_token(text, 99, true), text.len());
    }
}
