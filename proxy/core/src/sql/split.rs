//! Cuts the text of a simple query into statements, where PostgreSQL would.
//!
//! A semicolon inside a string, comment, dollar quote, parentheses (`CREATE RULE … DO (a; b)`) or the body of an SQL
//! function (`BEGIN ATOMIC … END`) does not end a statement. If such a construct is not closed, the rest of the text
//! is one statement, which the server will reject.

use std::ops::Range;

use super::lexer::{Token, lex};

/// The statements of `text`, each without its semicolon and outer blanks. Pieces of only blanks and comments are dropped.
#[must_use]
pub fn split(text: &[u8], standard_conforming: bool) -> Vec<Range<usize>> {
    let tokens = lex(text, standard_conforming);
    let mut statements = Vec::new();
    let mut first = 0;
    let mut nesting = Nesting::default();
    for (i, token) in tokens.iter().enumerate() {
        if token.is_symbol(text, ";") && nesting.outside() {
            push(&mut statements, &tokens[first..i]);
            first = i + 1;
            nesting = Nesting::default();
        } else {
            nesting.step(text, &tokens[first..=i]);
        }
    }
    push(&mut statements, &tokens[first..]);
    statements
}

/// Behind the last real token of one statement (a trailing semicolon does not count): where text can be appended.
#[must_use]
pub fn end_of_last_token(text: &[u8], standard_conforming: bool) -> usize {
    let tokens = lex(text, standard_conforming);
    tokens.iter().rev().find(|t| !t.is_symbol(text, ";")).map_or(0, |t| t.end)
}

fn push(statements: &mut Vec<Range<usize>>, tokens: &[Token]) {
    if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
        statements.push(first.start..last.end);
    }
}

#[derive(Default)]
struct Nesting {
    parens: usize,
    /// BEGIN ATOMIC and CASE, each closed by END.
    blocks: usize,
}

impl Nesting {
    fn outside(&self) -> bool {
        self.parens == 0 && self.blocks == 0
    }

    /// `tokens` is the statement up to and with the token to judge.
    fn step(&mut self, text: &[u8], tokens: &[Token]) {
        let Some((token, before)) = tokens.split_last() else {
            return;
        };
        if token.is_symbol(text, "(") {
            self.parens += 1;
        } else if token.is_symbol(text, ")") {
            self.parens = self.parens.saturating_sub(1);
        } else if token.is_word(text, "atomic") {
            let opens = before.last().is_some_and(|t| t.is_word(text, "begin"));
            self.blocks += usize::from(opens && before[0].is_word(text, "create"));
        } else if self.blocks > 0 && token.is_word(text, "case") {
            self.blocks += 1;
        } else if self.blocks > 0 && token.is_word(text, "end") {
            self.blocks -= 1;
        }
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
    }
}
