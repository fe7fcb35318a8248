//! What the proxy itself answers: `raidb.token` and `raidb.outcome('…')`. Nothing of them reaches a member.

use super::super::analysis::{Command, TokenCommand, TokenText};
use super::super::lexer::TokenKind;
use super::super::text::{Text, latin, parameter};
use super::{Judged, Stop, refuse};

/// The setting.
pub(crate) const SETTING: &str = "raidb.token";

/// Judges a statement about tokens, but SET and RESET (`session` reads those); `None` if it is none.
pub(crate) fn judge(text: &Text<'_>, first: &str) -> Option<Result<Judged, Stop>> {
    if first == "show"
        && text.qualified(1).is_some_and(|(schema, name, behind)| {
            behind == text.len() && (schema.as_deref() == Some("raidb") && name == "token" || name == SETTING)
        })
    {
        return Some(command(TokenCommand::Show));
    }
    // `raidb.outcome (`, the name in quotes or not.
    let call = (1..text.len().saturating_sub(3)).find(|i| {
        text.symbol(i + 1, ".")
            && text.symbol(i + 3, "(")
            && text.name(i + 2).is_some_and(|name| name == "outcome")
            && text.name(*i).is_some_and(|name| name == "raidb")
    })?;
    let plain = call == 1 && matches!(first, "select" | "show");
    let asked = value(text, 5).filter(|_| plain).and_then(|token| {
        let cast = text.symbol(6, "::") && text.any(7, &["text", "varchar"]);
        let close = if cast { 8 } else { 6 };
        (text.symbol(close, ")") && close + 1 == text.len()).then_some(token)
    });
    Some(match asked {
        Some(token) => command(TokenCommand::Outcome { token, show: first == "show" }),
        None => Err(refuse(
            "raidb.outcome() is answered by the proxy and stands alone",
            "send SELECT raidb.outcome('…'), SELECT raidb.outcome($1) or SHOW raidb.outcome('…') and nothing else",
        )),
    })
}

/// SET [LOCAL] raidb.token: its value begins at `at`.
pub(crate) fn set(text: &Text<'_>, at: usize) -> Result<Judged, Stop> {
    if text.is(at, "default") && at + 1 == text.len() {
        return reset();
    }
    match value(text, at).filter(|_| at + 1 == text.len()) {
        Some(token) => command(TokenCommand::Set(token)),
        None => Err(refuse("raidb.token is one text", "send SET raidb.token = '…' with a text in quotes")),
    }
}

/// RESET raidb.token.
pub(crate) fn reset() -> Result<Judged, Stop> {
    command(TokenCommand::Reset)
}

/// Another way to set it.
pub(crate) fn refuse_set_config() -> Stop {
    refuse("raidb.token is no setting of a member", "send SET raidb.token = '…' (a parameter is allowed: = $1)")
}

fn value(text: &Text<'_>, at: usize) -> Option<TokenText> {
    match text.kind(at)? {
        TokenKind::Parameter => {
            let number = parameter(text.tokens[at].bytes(text.bytes))?;
            (number == 1).then_some(TokenText::Parameter)
        }
        TokenKind::Ident | TokenKind::QuotedIdent => None,
        TokenKind::Number => Some(TokenText::Literal(latin(text.tokens[at].bytes(text.bytes)))),
        _ => Some(TokenText::Literal(latin(&text.string(at)?))),
    }
}

fn command(command: TokenCommand) -> Result<Judged, Stop> {
    Ok(Judged::plain(Command::Token(command)))
}
