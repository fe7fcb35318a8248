//! `SELECT function(arguments) [AS name]` and nothing else, read token by token: calls that the session must understand
//! by their values.

use super::super::lexer::TokenKind;
use super::super::text::{Text, latin, parameter};

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A number, with its sign.
    Number(String),
    /// The value of a string.
    Text(String),
    /// `$n`.
    Parameter(u16),
    /// NULL.
    Null,
}

/// A call that is all that its SELECT does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Name of the function, without `pg_catalog`.
    pub(crate) name: String,
    /// Arguments, in order.
    pub(crate) arguments: Vec<Argument>,
    /// Name of the only column.
    pub(crate) column: String,
}

/// Reads the statement as one call, with casts to one of these types allowed; `None`: it is something else.
pub(crate) fn read(text: &Text<'_>, casts: &[&str]) -> Option<Call> {
    if !text.is(0, "select") {
        return None;
    }
    let at = if text.name(1)? == "pg_catalog" && text.symbol(2, ".") { 3 } else { 1 };
    let name = text.name(at)?;
    if !text.symbol(at + 1, "(") {
        return None;
    }
    let close = text.closing(at + 1)?;
    let mut arguments = Vec::new();
    let mut from = at + 2;
    while from < close {
        let (argument, behind) = argument(text, from, casts)?;
        arguments.push(argument);
        from = match behind {
            end if end == close => end,
            comma if text.symbol(comma, ",") && comma + 1 < close => comma + 1,
            _ => return None,
        };
    }
    let alias = close + 1 + usize::from(text.is(close + 1, "as"));
    let column = match text.len() - (close + 1) {
        0 => name.clone(),
        // A bare word may also be the beginning of a clause, but then there is more behind it.
        _ if alias + 1 == text.len() => text.name(alias)?,
        _ => return None,
    };
    Some(Call { name, arguments, column })
}

/// The argument at `at`, and the index behind it.
fn argument(text: &Text<'_>, at: usize, casts: &[&str]) -> Option<(Argument, usize)> {
    if text.is(at, "cast") && text.symbol(at + 1, "(") {
        let (inner, behind) = argument(text, at + 2, casts)?;
        let ends = text.is(behind, "as") && text.any(behind + 1, casts) && text.symbol(behind + 2, ")");
        return ends.then_some((inner, behind + 3));
    }
    let negative = text.operator(at, "-");
    let value = at + usize::from(negative);
    let argument = match text.kind(value)? {
        TokenKind::Number => {
            let digits = latin(text.tokens[value].bytes(text.bytes));
            Argument::Number(if negative { format!("-{digits}") } else { digits })
        }
        _ if negative => return None,
        TokenKind::Parameter => Argument::Parameter(parameter(text.tokens[value].bytes(text.bytes))?),
        TokenKind::Ident => text.is(value, "null").then_some(Argument::Null)?,
        _ => Argument::Text(String::from_utf8(text.string(value)?).ok()?),
    };
    let mut behind = value + 1;
    while text.symbol(behind, "::") || text.operator(behind, "::") {
        if !text.any(behind + 1, casts) {
            return None;
        }
        behind += 2;
    }
    Some((argument, behind))
}
