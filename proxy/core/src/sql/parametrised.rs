//! A statement's literals as parameters: texts that differ in nothing else are planned once by a member, not each time.
//!
//! **When it means the same.** A literal becomes a parameter only where PostgreSQL treats both alike:
//! * an integer constant is of type int4, or int8 if it is too large for that (`make_const` in PostgreSQL's
//!   `parse_node.c`); the parameter is declared as of that type;
//! * a string constant is of no type until its context gives it one, and so is a parameter that is declared without
//!   (`coerce_type` in `parse_coerce.c` and the parameter hooks in `parse_param.c`);
//! * places where the grammar wants a constant (`LIMIT`, type modifiers, `INTERVAL '…'`, casts) are left out: a literal
//!   is taken between operators, or in the only row of a VALUES list, and nowhere else.
//!
//! * One type reads a constant with its column's modifier and a parameter without (`coerce_type` again): `'5'` for an
//!   `interval minute` is five minutes as a constant, and five seconds, so none, as a parameter. So tables with a column of
//!   type interval, or of a type of users, which may be made of it, are left out ([`fits`]).
//!
//! All literals of a statement become parameters, or none. Pure; the caller must know that backslashes in strings are
//! ordinary characters (`standard_conforming_strings`).

use super::catalog::Table;
use super::lexer::{Token, TokenKind, lex};
use super::text::string_value;

/// Longer statements are sent as they are.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// More literals are sent as they are.
const PARAMETERS_MAX: usize = 200;

const INT4: u32 = 23;
const INT8: u32 = 20;
/// The context decides.
const OPEN: u32 = 0;

/// Operators next to which both operands may be of any kind.
const OPERATORS: [&[u8]; 11] = [b"=", b"<", b">", b"<=", b">=", b"<>", b"!=", b"+", b"-", b"*", b"/"];
/// Words that may stand behind a literal.
const BEHIND: [&str; 5] = ["where", "and", "or", "returning", "on"];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parametrised {
    /// The text with `$1`, `$2`, … in place of its literals.
    pub text: Vec<u8>,
    /// Type (0: open) and value, as text, of each.
    pub parameters: Vec<(u32, Vec<u8>)>,
}

/// Types made by users (domains among them) have oids from here on.
const FIRST_USER_OID: u32 = 16_384;
/// interval, and its array.
const INTERVALS: [u32; 2] = [1186, 1187];

/// Whether statements on this table alone mean the same with parameters.
#[must_use]
pub fn fits(table: &Table) -> bool {
    table.columns.iter().all(|c| c.type_oid < FIRST_USER_OID && !INTERVALS.contains(&c.type_oid))
}

/// What an open parenthesis is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paren {
    /// The row of a VALUES list.
    Row,
    /// It groups an expression.
    Group,
    /// Anything else: literals in it are left alone.
    Other,
}

impl Parametrised {
    /// The statement with its literals as parameters; `None` if it has none, or one that must stay where it is.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let tokens = lex(text, true);
        let first = tokens.first()?;
        if !["insert", "update", "delete"].iter().any(|verb| first.is_word(text, verb)) {
            return None;
        }
        let mut result = Parametrised { text: Vec::with_capacity(text.len() + 16), parameters: Vec::new() };
        let mut open: Vec<Paren> = Vec::new();
        let mut copied = 0;
        let mut rows = 0;
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|n| tokens.get(n));
            match token.kind {
                TokenKind::Symbol if token.is_symbol(text, "(") => {
                    let paren = paren(text, before);
                    rows += usize::from(paren == Paren::Row);
                    open.push(paren);
                }
                TokenKind::Symbol if token.is_symbol(text, ")") => drop(open.pop()?),
                // Of several rows the types of all are looked at together.
                TokenKind::Symbol if rows > 0 && open.is_empty() && token.is_symbol(text, ",") => return None,
                TokenKind::Number | TokenKind::String => {
                    let places = Places { text, before, behind: tokens.get(at + 1), within: open.last().copied() };
                    let parameter = places.parameter(token)?;
                    result.text.extend_from_slice(&text[copied..token.start]);
                    result.parameters.push(parameter);
                    result.text.extend_from_slice(format!("${}", result.parameters.len()).as_bytes());
                    copied = token.end;
                }
                TokenKind::Ident | TokenKind::QuotedIdent | TokenKind::Operator | TokenKind::Symbol => {}
                _ => return None,
            }
        }
        result.text.extend_from_slice(&text[copied..]);
        (1..=PARAMETERS_MAX).contains(&result.parameters.len()).then_some(result)
    }
}

fn paren(text: &[u8], before: Option<&Token>) -> Paren {
    match before {
        Some(token) if token.is_word(text, "values") => Paren::Row,
        Some(token) if is_operator(text, token) => Paren::Group,
        Some(token) if ["where", "and", "or"].iter().any(|word| token.is_word(text, word)) => Paren::Group,
        _ => Paren::Other,
    }
}

fn is_operator(text: &[u8], token: &Token) -> bool {
    token.kind == TokenKind::Operator && OPERATORS.contains(&token.bytes(text))
}

/// Where a literal stands.
struct Places<'t> {
    text: &'t [u8],
    before: Option<&'t Token>,
    behind: Option<&'t Token>,
    within: Option<Paren>,
}

impl Places<'_> {
    fn parameter(&self, token: &Token) -> Option<(u32, Vec<u8>)> {
        let text = self.text;
        let before = self.before?;
        let operand = is_operator(text, before);
        let begins = self.within == Some(Paren::Group) && before.is_symbol(text, "(");
        let item = self.within == Some(Paren::Row) && (before.is_symbol(text, "(") || before.is_symbol(text, ","));
        let ends = self.behind.is_none_or(|behind| {
            is_operator(text, behind)
                || behind.is_symbol(text, ")")
                || behind.is_symbol(text, ",")
                || BEHIND.iter().any(|word| behind.is_word(text, word))
        });
        if self.within == Some(Paren::Other) || !(operand || begins || item) || !ends {
            return None;
        }
        let bytes = token.bytes(text);
        if token.kind == TokenKind::Number {
            let negative = before.bytes(text) == b"-";
            return integer(bytes, negative).map(|oid| (oid, bytes.to_vec()));
        }
        // N'…' is of a type of its own.
        let plain = bytes.first() == Some(&b'\'');
        plain.then(|| string_value(token.kind, bytes, true)).flatten().map(|value| (OPEN, value))
    }
}

/// The type of an integer constant; `None` for other numbers. (The grammar folds a minus sign into the constant before its
/// type is chosen, so those at the border are left alone.)
fn integer(digits: &[u8], negative: bool) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match i32::try_from(value) {
        Ok(_) => Some(INT4),
        Err(_) if negative => None,
        Err(_) => Some(INT8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str, parameters: &[(u32, &str)]) {
        let found = Parametrised::of(text.as_bytes()).unwrap_or_else(|| panic!("no parameters in {text}"));
        assert_eq!(String::from_utf8_lossy(&found.text), expected);
        let values: Vec<_> =
            found.parameters.iter().map(|(o, v)| (*o, String::from_utf8_lossy(v).into_owned())).collect();
        assert_eq!(values, parameters.iter().map(|(o, v)| (*o, (*v).to_owned())).collect::<Vec<_>>());
    }

    #[test]
    fn literals_become_parameters() {
        check(
            "UPDATE a SET b = b + -17 WHERE id = 5 AND (c = 'it''s' OR d <= 3000000000)",
            "UPDATE a SET b = b + -$1 WHERE id = $2 AND (c = $3 OR d <= $4)",
            &[(23, "17"), (23, "5"), (0, "it's"), (20, "3000000000")],
        );
        check(
            r#"INSERT INTO "t" ("k", a) OVERRIDING SYSTEM VALUE VALUES ('1', NULL, 7, -2) ON CONFLICT (k) DO NOTHING"#,
            r#"INSERT INTO "t" ("k", a) OVERRIDING SYSTEM VALUE VALUES ($1, NULL, $2, -$3) ON CONFLICT (k) DO NOTHING"#,
            &[(0, "1"), (23, "7"), (23, "2")],
        );
        check("delete from t where k='\\' -- 5\n", "delete from t where k=$1 -- 5\n", &[(0, "\\")]);
    }

    #[test]
    fn where_a_constant_is_meant_it_stays() {
        for text in [
            "SELECT 1 + 2",
            "UPDATE t SET a = b WHERE c = d",
            "UPDATE t SET a = 1.5 WHERE k = 1",
            "UPDATE t SET a = '1'::int WHERE k = 1",
            "UPDATE t SET a = CAST('1' AS int) WHERE k = 1",
            "UPDATE t SET a = interval '1 day' WHERE k = 1",
            "UPDATE t SET a = f(1) WHERE k = 1",
            "UPDATE t SET a = b::numeric(10, 2) WHERE k = 1",
            "UPDATE t SET a = E'x' WHERE k = 1",
            "UPDATE t SET a = N'x' WHERE k = 1",
            "UPDATE t SET a = x'1f' WHERE k = 1",
            "UPDATE t SET a = $$x$$ WHERE k = 1",
            "UPDATE t SET a[1] = 5 WHERE k = 1",
            "UPDATE t SET a = 5 WHERE k = $1",
            "UPDATE t SET a = 5 WHERE k IN (1, 2)",
            "UPDATE t SET a = 5 WHERE k BETWEEN 1 AND 2",
            "UPDATE t SET a = - 2147483648 WHERE k = 1",
            "UPDATE t SET a = 99999999999999999999 WHERE k = 1",
            "INSERT INTO t VALUES (1), (2)",
            "INSERT INTO t SELECT 1",
            "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1 WHERE f(2)",
            "DELETE FROM t WHERE k = 1 ORDER BY 1",
            "DELETE FROM t WHERE a LIKE 'x%'",
            "DELETE FROM t WHERE k = 'a' 'b'",
            "DELETE FROM t WHERE (a, b) = (1, 2)",
            "DELETE FROM t WHERE k = 'open",
        ] {
            assert_eq!(Parametrised::of(text.as_bytes()), None, "{text}");
        }
    }
}
