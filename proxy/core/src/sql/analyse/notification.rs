//! LISTEN, UNLISTEN, NOTIFY, and `pg_notify` alone in its SELECT. No member hears of them.

use super::super::analysis::{Command, NotificationCommand, TextArgument};
use super::super::text::Text;
use super::call::{self, Argument};
use super::{Judged, Stop, unknown};

/// Judges a statement that starts with one of the three words.
pub(crate) fn judge(text: &Text<'_>, first: &str) -> Result<Judged, Stop> {
    read(text, first)
        .map(|command| Judged::plain(Command::Notification(command)))
        .ok_or_else(|| unknown(&format!("this form of {}", first.to_ascii_uppercase())))
}

fn read(text: &Text<'_>, first: &str) -> Option<NotificationCommand> {
    if first == "unlisten" && text.operator(1, "*") && text.len() == 2 {
        return Some(NotificationCommand::Unlisten(None));
    }
    let channel = text.name(1)?;
    match (first, text.len()) {
        ("listen", 2) => Some(NotificationCommand::Listen(channel)),
        ("unlisten", 2) => Some(NotificationCommand::Unlisten(Some(channel))),
        ("notify", 2) => Some(NotificationCommand::Notify { channel, payload: String::new() }),
        ("notify", 4) if text.symbol(2, ",") => {
            Some(NotificationCommand::Notify { channel, payload: String::from_utf8(text.string(3)?).ok()? })
        }
        _ => None,
    }
}

/// `SELECT pg_notify(channel, payload)`; `None` if it is none, or one that is not understood.
pub(crate) fn function(text: &Text<'_>) -> Option<Judged> {
    let call = call::read(text, &["text", "varchar"])?;
    let [channel, payload] = &call.arguments[..] else { return None };
    if call.name != "pg_notify" {
        return None;
    }
    let argument = |argument: &Argument| match argument {
        Argument::Text(text) => Some(TextArgument::Literal(text.clone())),
        Argument::Parameter(n) => Some(TextArgument::Parameter(*n)),
        Argument::Null => Some(TextArgument::Null),
        Argument::Number(_) => None,
    };
    let (channel, payload) = (argument(channel)?, argument(payload)?);
    Some(Judged::plain(Command::Notification(NotificationCommand::Function { channel, payload, column: call.column })))
}
