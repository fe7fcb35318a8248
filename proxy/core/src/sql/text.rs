//! One statement as tokens: the cursor that every hand-written reader of this folder uses, and the values of
//! identifiers and literals.

use super::lexer::{Token, TokenKind, lex};

/// PostgreSQL cuts identifiers to this many bytes.
pub(crate) const IDENTIFIER_BYTES_MAX: usize = 63;

/// A statement's text with its tokens, without trailing semicolons.
#[derive(Clone, Debug)]
pub(crate) struct Text<'t> {
    /// The bytes as the client sent them.
    pub(crate) bytes: &'t [u8],
    /// Tokens.
    pub(crate) tokens: Vec<Token>,
    /// A backslash in `'…'` is an ordinary character.
    pub(crate) standard_conforming: bool,
}

impl<'t> Text<'t> {
    /// Lexes a statement.
    pub(crate) fn new(bytes: &'t [u8], standard_conforming: bool) -> Self {
        let mut tokens = lex(bytes, standard_conforming);
        while tokens.last().is_some_and(|t| t.is_symbol(bytes, ";")) {
            tokens.pop();
        }
        Text { bytes, tokens, standard_conforming }
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Token `i` is this keyword.
    pub(crate) fn is(&self, i: usize, word: &str) -> bool {
        self.tokens.get(i).is_some_and(|t| t.is_word(self.bytes, word))
    }

    /// Tokens from `i` on are these keywords.
    pub(crate) fn are(&self, i: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(k, word)| self.is(i + k, word))
    }

    /// Token `i` is one of these keywords.
    pub(crate) fn any(&self, i: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(i, word))
    }

    /// Token `i` is this punctuation.
    pub(crate) fn symbol(&self, i: usize, symbol: &str) -> bool {
        self.tokens.get(i).is_some_and(|t| t.is_symbol(self.bytes, symbol))
    }

    /// Token `i` is this operator.
    pub(crate) fn operator(&self, i: usize, operator: &str) -> bool {
        self.tokens.get(i).is_some_and(|t| t.kind == TokenKind::Operator && t.bytes(self.bytes) == operator.as_bytes())
    }

    /// The kind of token `i`.
    pub(crate) fn kind(&self, i: usize) -> Option<TokenKind> {
        self.tokens.get(i).map(|t| t.kind)
    }

    /// The unquoted word at `i`, lower case.
    pub(crate) fn word(&self, i: usize) -> Option<String> {
        let token = self.tokens.get(i).filter(|t| t.kind == TokenKind::Ident)?;
        Some(latin(token.bytes(self.bytes)).to_ascii_lowercase())
    }

    /// The identifier at `i` as PostgreSQL stores it: folded unless quoted, cut to 63 bytes.
    pub(crate) fn name(&self, i: usize) -> Option<String> {
        let token = self.tokens.get(i)?;
        match token.kind {
            TokenKind::Ident => Some(cut(latin(token.bytes(self.bytes)).to_ascii_lowercase())),
            TokenKind::QuotedIdent => {
                let bytes = token.bytes(self.bytes);
                let open = bytes.iter().position(|&b| b == b'"')? + 1;
                Some(cut(latin(&bytes[open..bytes.len() - 1]).replace("\"\"", "\"")))
            }
            _ => None,
        }
    }

    /// A name with an optional schema at `i`: (schema, name, index behind). A third part (the database) is dropped.
    pub(crate) fn qualified(&self, i: usize) -> Option<(Option<String>, String, usize)> {
        let mut parts = vec![self.name(i)?];
        let mut at = i + 1;
        while self.symbol(at, ".") {
            let Some(part) = self.name(at + 1) else { break };
            parts.push(part);
            at += 2;
        }
        let name = parts.pop()?;
        Some((parts.pop(), name, at))
    }

    /// The value of the string literal at `i`, or `None` if it is none or its value is not simple to tell.
    pub(crate) fn string(&self, i: usize) -> Option<Vec<u8>> {
        let token = self.tokens.get(i)?;
        string_value(token.kind, token.bytes(self.bytes), self.standard_conforming)
    }

    /// The index of the closing parenthesis for the opening one at `open`.
    pub(crate) fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for i in open..self.len() {
            if self.symbol(i, "(") {
                depth += 1;
            } else if self.symbol(i, ")") {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
        }
        None
    }

    /// Indexes of tokens outside all parentheses and brackets, from `from` on.
    pub(crate) fn top_level(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let mut depth = 0i64;
        (from..self.len()).filter(move |&i| {
            let opens = self.symbol(i, "(") || self.symbol(i, "[");
            let closes = self.symbol(i, ")") || self.symbol(i, "]");
            depth -= i64::from(closes);
            let outside = depth == 0 && !opens && !closes;
            depth += i64::from(opens);
            outside
        })
    }

    /// The highest `$n`.
    pub(crate) fn parameters(&self) -> u16 {
        let numbers = self.tokens.iter().filter(|t| t.kind == TokenKind::Parameter);
        numbers.filter_map(|t| parameter(t.bytes(self.bytes))).max().unwrap_or(0)
    }

    /// How deep parentheses, brackets and CASE nest.
    pub(crate) fn depth(&self) -> usize {
        let (mut depth, mut deepest) = (0usize, 0usize);
        for i in 0..self.len() {
            if self.symbol(i, "(") || self.symbol(i, "[") || self.is(i, "case") {
                depth += 1;
                deepest = deepest.max(depth);
            } else if self.symbol(i, ")") || self.symbol(i, "]") || self.is(i, "end") {
                depth = depth.saturating_sub(1);
            }
        }
        deepest
    }
}

/// The number of `$n`.
pub(crate) fn parameter(bytes: &[u8]) -> Option<u16> {
    std::str::from_utf8(bytes.get(1..)?).ok()?.parse().ok()
}

/// Bytes as text: as UTF-8, or else each byte as one character, so that different bytes stay different.
pub(crate) fn latin(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    }
}

fn cut(mut name: String) -> String {
    if name.len() > IDENTIFIER_BYTES_MAX {
        let end = (0..=IDENTIFIER_BYTES_MAX).rev().find(|&i| name.is_char_boundary(i)).unwrap_or(0);
        name.truncate(end);
    }
    name
}

/// The value of a string literal, or `None` if it is none or its value is not simple to tell.
pub(crate) fn string_value(kind: TokenKind, bytes: &[u8], standard_conforming: bool) -> Option<Vec<u8>> {
    match kind {
        TokenKind::String if standard_conforming => unquote(bytes),
        TokenKind::String | TokenKind::EscapeString => unescape(bytes),
        TokenKind::UnicodeString => unquote(bytes).filter(|value| !value.contains(&b'\\')),
        TokenKind::DollarString => {
            let tag = bytes[1..].iter().position(|&b| b == b'$')? + 2;
            Some(bytes[tag..bytes.len() - tag].to_vec())
        }
        _ => None,
    }
}

/// The content of `'…'` (behind a prefix, with continuations), doubled quotes made single.
fn unquote(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = bytes.iter().position(|&b| b == b'\'')? + 1;
    let mut value = Vec::with_capacity(bytes.len());
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (b'\'', Some(b'\'')) => {
                value.push(b'\'');
                at += 2;
            }
            (b'\'', None) => return Some(value),
            (b'\'', Some(_)) => {
                // A continuation. Comments between the parts could hold quotes: not simple to tell.
                let gap = bytes[at + 1..].iter().position(|b| !b.is_ascii_whitespace())?;
                if bytes[at + 1 + gap] != b'\'' {
                    return None;
                }
                at += gap + 2;
            }
            (b, _) => {
                value.push(b);
                at += 1;
            }
        }
    }
}

/// The content of `E'…'`, or of `'…'` where a backslash escapes. Continued strings are not simple to tell.
fn unescape(bytes: &[u8]) -> Option<Vec<u8>> {
    let open = bytes.iter().position(|&b| b == b'\'')?;
    let mut rest = &bytes[open + 1..bytes.len() - 1];
    let mut value = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\'', [b'\'', tail @ ..]) => {
                value.push(b'\'');
                rest = tail;
            }
            (b'\'', _) => return None,
            (b'\\', [escape, ..]) => rest = unescape_one(*escape, tail, &mut value)?,
            (b, _) => value.push(*b),
        }
    }
    Some(value)
}

/// One escape: `tail` starts with the character behind the backslash. Returns what follows.
fn unescape_one<'b>(escape: u8, tail: &'b [u8], value: &mut Vec<u8>) -> Option<&'b [u8]> {
    let (radix, skip, most) = match escape {
        b'0'..=b'7' => (8, 0, 3),
        b'x' if tail.get(1).is_some_and(u8::is_ascii_hexdigit) => (16, 1, 2),
        b'u' => (16, 1, 4),
        b'U' => (16, 1, 8),
        _ => {
            value.push(match escape {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            });
            return Some(&tail[1..]);
        }
    };
    let digits = tail[skip..].iter().take(most).take_while(|b| char::from(**b).is_digit(radix)).count();
    let number = u32::from_str_radix(std::str::from_utf8(&tail[skip..skip + digits]).ok()?, radix).ok()?;
    if matches!(escape, b'u' | b'U') {
        value.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        value.push((number & 0xff) as u8);
    }
    Some(&tail[skip + digits..])
}

/// `"name"`, safe as an identifier anywhere.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"schema"."name"`.
#[must_use]
pub fn quote_qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}
