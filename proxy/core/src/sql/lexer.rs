//! PostgreSQL's tokens over raw bytes.
//!
//! Everything that must not be missed (function calls, parameters, statement ends, places for a suffix) is found on
//! tokens, never on the parser's tree: the tree may leave things out, a token stream cannot. The rules are those of
//! PostgreSQL's `scan.l`. The text need not be UTF-8; bytes from 0x80 on belong to identifiers and strings. What is not
//! finished becomes one [`TokenKind::Incomplete`] token up to the end of the text; nothing panics.

use std::ops::Range;

/// What a token is. Blanks and comments are no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An unquoted identifier or keyword.
    Ident,
    /// `"…"` or `U&"…"`.
    QuotedIdent,
    /// `'…'` or `N'…'`, with continuations on following lines.
    String,
    /// `E'…'`.
    EscapeString,
    /// `U&'…'`.
    UnicodeString,
    /// `B'…'` or `X'…'`.
    BitString,
    /// `$tag$…$tag$`.
    DollarString,
    /// `$n`.
    Parameter,
    /// A number.
    Number,
    /// An operator of one or more characters.
    Operator,
    /// One of `, ( ) [ ] . ; :`, or `::`, `:=`, `..`: see [`Token::is_symbol`].
    Symbol,
    /// A string, identifier or comment without an end.
    Incomplete,
    /// A byte that starts no token.
    Junk,
}

/// One token: its kind and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Kind.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

impl Token {
    /// Its bytes.
    #[must_use]
    pub fn bytes<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start..self.end]
    }

    /// Whether it is this piece of punctuation.
    #[must_use]
    pub fn is_symbol(&self, text: &[u8], symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.bytes(text) == symbol.as_bytes()
    }

    /// Whether it is this keyword (unquoted, any case).
    #[must_use]
    pub fn is_word(&self, text: &[u8], word: &str) -> bool {
        self.kind == TokenKind::Ident && self.bytes(text).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Its place in the text.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// All tokens of a text. `standard_conforming`: a backslash in `'…'` is an ordinary character.
#[must_use]
pub fn lex(text: &[u8], standard_conforming: bool) -> Vec<Token> {
    let mut all = Vec::with_capacity(text.len() / 5 + 4);
    all.extend(tokens(text, standard_conforming));
    all
}

/// The tokens of a text one by one, without memory for them.
#[must_use]
pub fn tokens(text: &[u8], standard_conforming: bool) -> Tokens<'_> {
    Tokens { text, at: 0, standard_conforming }
}

/// See [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    standard_conforming: bool,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.next_token()
    }
}

const SPACE: u8 = 1;
const IDENT_START: u8 = 2;
const IDENT_PART: u8 = 4;
const OPERATOR: u8 = 8;

/// What each byte can be part of.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut i = 0;
    while i < 256 {
        classes[i] = match i as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => IDENT_START | IDENT_PART,
            b'0'..=b'9' | b'$' => IDENT_PART,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<'
            | b'>' | b'=' => OPERATOR,
            _ => 0,
        };
        i += 1;
    }
    classes
};

fn is(b: u8, class: u8) -> bool {
    CLASSES[usize::from(b)] & class != 0
}

fn is_ident_start(b: u8) -> bool {
    is(b, IDENT_START)
}

fn is_ident_part(b: u8) -> bool {
    is(b, IDENT_PART)
}

fn is_operator(b: u8) -> bool {
    is(b, OPERATOR)
}

impl Tokens<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Skips blanks and comments; `Err` if a comment has no end.
    #[inline]
    fn skip_blanks(&mut self) -> Result<(), ()> {
        loop {
            self.skip_class(SPACE);
            match self.peek(0) {
                b'-' if self.peek(1) == b'-' => self.skip_line(),
                b'/' if self.peek(1) == b'*' => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    #[inline]
    fn skip_class(&mut self, class: u8) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|b| !is(*b, class)).unwrap_or(rest.len());
    }

    fn skip_line(&mut self) {
        while self.at < self.text.len() && !matches!(self.text[self.at], b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn skip_comment(&mut self) -> Result<(), ()> {
        let mut at = self.at + 2;
        let mut depth = 1usize;
        while depth > 0 {
            match self.text.get(at..at + 2) {
                Some(b"/*") => (depth, at) = (depth + 1, at + 2),
                Some(b"*/") => (depth, at) = (depth - 1, at + 2),
                Some(_) => at += 1,
                None => return Err(()),
            }
        }
        self.at = at;
        Ok(())
    }

    fn next_token(&mut self) -> Option<Token> {
        let blanks = self.skip_blanks();
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let kind = if blanks.is_err() { None } else { self.scan() };
        if kind.is_none() {
            self.at = self.text.len();
        }
        debug_assert!(self.at > start);
        Some(Token { kind: kind.unwrap_or(TokenKind::Incomplete), start, end: self.at })
    }

    /// Scans one token from `at`; `None`: it has no end.
    fn scan(&mut self) -> Option<TokenKind> {
        let (b, next) = (self.peek(0), self.peek(1));
        match (b, next) {
            (b'\'', _) => self.quoted(0, !self.standard_conforming, TokenKind::String),
            (b'"', _) => self.quoted_ident(0),
            (b'e' | b'E', b'\'') => self.quoted(1, true, TokenKind::EscapeString),
            (b'n' | b'N', b'\'') => self.quoted(1, !self.standard_conforming, TokenKind::String),
            (b'b' | b'B' | b'x' | b'X', b'\'') => self.quoted(1, false, TokenKind::BitString),
            (b'u' | b'U', b'&') if self.peek(2) == b'\'' => self.quoted(2, false, TokenKind::UnicodeString),
            (b'u' | b'U', b'&') if self.peek(2) == b'"' => self.quoted_ident(2),
            (b'$', b'0'..=b'9') => {
                self.at += 1;
                self.digits();
                Some(TokenKind::Parameter)
            }
            (b'$', _) => self.dollar(),
            (b'0'..=b'9', _) | (b'.', b'0'..=b'9') => {
                self.number();
                Some(TokenKind::Number)
            }
            (b, _) if is_ident_start(b) => {
                self.skip_class(IDENT_PART);
                Some(TokenKind::Ident)
            }
            (b':', b':' | b'=') | (b'.', b'.') => {
                self.at += 2;
                Some(TokenKind::Symbol)
            }
            (b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':', _) => {
                self.at += 1;
                Some(TokenKind::Symbol)
            }
            (b, _) if is_operator(b) => {
                self.operator();
                Some(TokenKind::Operator)
            }
            _ => {
                self.at += 1;
                Some(TokenKind::Junk)
            }
        }
    }

    /// `'…'` behind a prefix, continued by further `'…'` if only blanks with a line end stand between.
    fn quoted(&mut self, prefix: usize, backslash: bool, kind: TokenKind) -> Option<TokenKind> {
        self.at += prefix;
        loop {
            self.at = end_of_quoted(self.text, self.at, b'\'', backslash)?;
            let end = self.at;
            let continued = self.skip_blanks().is_ok()
                && self.peek(0) == b'\''
                && self.text[end..self.at].iter().any(|b| matches!(b, b'\n' | b'\r'));
            if !continued {
                self.at = end;
                return Some(kind);
            }
        }
    }

    fn quoted_ident(&mut self, prefix: usize) -> Option<TokenKind> {
        self.at = end_of_quoted(self.text, self.at + prefix, b'"', false)?;
        Some(TokenKind::QuotedIdent)
    }

    fn dollar(&mut self) -> Option<TokenKind> {
        let rest = &self.text[self.at + 1..];
        let tag = rest.iter().take_while(|&&b| is_ident_part(b) && b != b'$').count();
        if rest.get(tag) != Some(&b'$') {
            self.at += 1;
            return Some(TokenKind::Junk);
        }
        let delimiter = &self.text[self.at..self.at + tag + 2];
        let body = self.at + delimiter.len();
        let close = find(&self.text[body..], delimiter)?;
        self.at = body + close + delimiter.len();
        Some(TokenKind::DollarString)
    }

    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit() || (self.peek(0) == b'_' && self.peek(1).is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        if self.peek(0) == b'0' && matches!(self.peek(1) | 0x20, b'x' | b'o' | b'b') && self.peek(2).is_ascii_hexdigit()
        {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() || self.peek(0) == b'_' {
                self.at += 1;
            }
            return;
        }
        self.digits();
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
            self.digits();
        }
        let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if matches!(self.peek(0), b'e' | b'E') && self.peek(1 + sign).is_ascii_digit() {
            self.at += 1 + sign;
            self.digits();
        }
    }

    /// The longest operator, without a comment's start, and without a trailing sign unless it holds a character that
    /// standard SQL operators do not have.
    fn operator(&mut self) {
        let rest = &self.text[self.at..];
        let mut len = rest.iter().take_while(|&&b| is_operator(b)).count();
        for i in 1..len {
            if matches!(rest.get(i..i + 2), Some(b"--" | b"/*")) {
                len = i;
                break;
            }
        }
        while len > 1
            && matches!(rest[len - 1], b'+' | b'-')
            && !rest[..len - 1].iter().any(|b| b"~!@#^&|`?%".contains(b))
        {
            len -= 1;
        }
        self.at += len;
    }
}

/// Behind the closing quote of what opens at `open`; a doubled quote does not close.
fn end_of_quoted(text: &[u8], open: usize, quote: u8, backslash: bool) -> Option<usize> {
    let mut at = open + 1;
    loop {
        let b = *text.get(at)?;
        if b == b'\\' && backslash {
            at += 2;
        } else if b != quote {
            at += 1;
        } else if text.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
}

/// Where `needle` first stands in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(TokenKind, &str)]) {
        let tokens = lex(text.as_bytes(), true);
        let got: Vec<_> = tokens.iter().map(|t| (t.kind, &text[t.range()])).collect();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn tokens_as_postgresql_reads_them() {
        use TokenKind::{
            BitString, DollarString, EscapeString, Ident, Incomplete, Number, Operator, Parameter, QuotedIdent, String,
            Symbol, UnicodeString,
        };
        check("a -- c\n/* x /* y */ z */b", &[(Ident, "a"), (Ident, "b")]);
        check(
            "'a''b' E'\\'' U&'x' X'1F'",
            &[(String, "'a''b'"), (EscapeString, "E'\\''"), (UnicodeString, "U&'x'"), (BitString, "X'1F'")],
        );
        check("'a'\n 'b' 'c'", &[(String, "'a'\n 'b'"), (String, "'c'")]);
        check("$$a;b$$ $t$ $$ $t$ $1", &[(DollarString, "$$a;b$$"), (DollarString, "$t$ $$ $t$"), (Parameter, "$1")]);
        check("a$b$c", &[(Ident, "a$b$c")]);
        check("1..2", &[(Number, "1"), (Symbol, ".."), (Number, "2")]);
        check("1.5e-3 .5 1.", &[(Number, "1.5e-3"), (Number, ".5"), (Number, "1.")]);
        check("a=-1", &[(Ident, "a"), (Operator, "="), (Operator, "-"), (Number, "1")]);
        check("a@-1", &[(Ident, "a"), (Operator, "@-"), (Number, "1")]);
        check("a*/*c*/b", &[(Ident, "a"), (Operator, "*"), (Ident, "b")]);
        check("a::int", &[(Ident, "a"), (Symbol, "::"), (Ident, "int")]);
        check("\"a\"\"b\" U&\"x\"", &[(QuotedIdent, "\"a\"\"b\""), (QuotedIdent, "U&\"x\"")]);
        check("a 'b", &[(Ident, "a"), (Incomplete, "'b")]);
        check("a /* b", &[(Ident, "a"), (Incomplete, "/* b")]);
        check("$x$ a", &[(Incomplete, "$x$ a")]);
        check("'a\\' b", &[(String, "'a\\'"), (Ident, "b")]);
        assert_eq!(lex(b"'a\\' b", false)[0].kind, Incomplete);
    }
}
