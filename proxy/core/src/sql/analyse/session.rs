//! What changes the session itself: SET, RESET, PREPARE, EXECUTE, DEALLOCATE, DISCARD.

use std::sync::Arc;

use super::super::analysis::{Command, Refusal, SessionChange};
use super::super::lexer::TokenKind;
use super::super::text::{Text, latin};
use super::temporary::{is_temporary, names_numbered_schema, names_row_type, numbered_schema};
use super::{Judged, Scope, Stop, analyse, refuse, temporary, token, transaction, unknown};

/// Judges a statement about the session; `None` if it is none.
pub(crate) fn judge(text: &Text<'_>, first: &str, scope: &Scope<'_>) -> Option<Result<Judged, Stop>> {
    match first {
        "set" => Some(set(text)),
        "reset" => Some(reset(text)),
        "discard" => Some(discard(text, scope)),
        "deallocate" => Some(deallocate(text)),
        "prepare" => Some(prepare(text, scope)),
        "execute" => Some(execute(text, scope)),
        _ => None,
    }
}

fn session(change: SessionChange) -> Result<Judged, Stop> {
    Ok(Judged::plain(Command::Session(change)))
}

fn set(text: &Text<'_>) -> Result<Judged, Stop> {
    if text.is(1, "constraints") {
        return session(SessionChange::Constraints { immediate: (2..text.len()).any(|i| text.is(i, "immediate")) });
    }
    let modes = |at| transaction::modes(text, at).ok_or_else(|| unknown("these transaction modes"));
    if text.is(1, "transaction") {
        if text.is(2, "snapshot") {
            return Err(refuse("a snapshot belongs to one member", "use ISOLATION LEVEL REPEATABLE READ"));
        }
        return session(SessionChange::TransactionModes(modes(2)?));
    }
    if text.are(1, &["session", "characteristics", "as", "transaction"]) {
        return session(SessionChange::SessionModes(modes(5)?));
    }
    let local = text.is(1, "local");
    let at = 1 + usize::from(local || (text.is(1, "session") && !text.is(2, "authorization")));
    let (name, value_at) = setting(text, at)?;
    if name == token::SETTING {
        return token::set(text, value_at);
    }
    let values = values(text, value_at);
    let default = text.is(value_at, "default") && value_at + 1 == text.len();
    check_setting(&name, values.as_deref())?;
    session(match (local, default && name != "timezone") {
        (true, _) => SessionChange::SetLocal { name, values: values.filter(|_| !default) },
        (false, true) => SessionChange::Reset { name },
        (false, false) => SessionChange::Set { name, values: values.filter(|_| !default) },
    })
}

/// The setting named at `at` and where its value starts.
fn setting(text: &Text<'_>, at: usize) -> Result<(String, usize), Stop> {
    let special = [
        (&["time", "zone"][..], "timezone"),
        (&["names"][..], "client_encoding"),
        (&["schema"][..], "search_path"),
        (&["role"][..], "role"),
        (&["session", "authorization"][..], "session_authorization"),
        (&["xml", "option"][..], "xmloption"),
    ];
    for (words, name) in special {
        let behind = at + words.len();
        if text.are(at, words) && !text.operator(behind, "=") && !text.is(behind, "to") {
            return Ok((name.to_owned(), behind));
        }
    }
    let (prefix, name, behind) = text.qualified(at).ok_or_else(|| unknown("this form of SET"))?;
    if !text.operator(behind, "=") && !text.is(behind, "to") {
        return Err(unknown("this form of SET"));
    }
    let name = prefix.map_or(name.clone(), |prefix| format!("{prefix}.{name}"));
    Ok((name.to_ascii_lowercase(), behind + 1))
}

/// The constants from `at` to the end, if it is a plain list of them.
fn values(text: &Text<'_>, mut at: usize) -> Option<Vec<String>> {
    let mut values = Vec::new();
    loop {
        let negative = text.operator(at, "-");
        at += usize::from(negative);
        let value = match text.kind(at)? {
            TokenKind::Ident | TokenKind::QuotedIdent => text.name(at)?,
            TokenKind::Number => latin(text.tokens[at].bytes(text.bytes)),
            _ => latin(&text.string(at)?),
        };
        values.push(if negative { format!("-{value}") } else { value });
        at += 1;
        if at == text.len() {
            return Some(values);
        }
        if !text.symbol(at, ",") {
            return None;
        }
        at += 1;
    }
}

/// Encodings in which a byte of a character may look like a quote or a backslash: statements in them cannot be read
/// byte by byte.
const UNREADABLE_ENCODINGS: &[&str] = &["sjis", "shiftjis", "shiftjis2004", "big5", "gbk", "uhc", "gb18030", "johab"];

/// Values of `synchronous_commit` under which a member's own disk is waited for.
const WAITS_FOR_DISK: &[&str] = &["on", "true", "yes", "1", "local", "remote_write", "remote_apply", "default"];

/// Why a setting of a start packet is not accepted, if so.
#[must_use]
pub fn start_setting(name: &str, value: &str) -> Option<Refusal> {
    let values: Vec<String> = value.split(',').map(|v| v.trim().trim_matches('"').to_owned()).collect();
    match check_setting(&name.to_ascii_lowercase(), Some(&values)) {
        Err(Stop::Refused(refusal) | Stop::Hidden(refusal)) => Some(refusal),
        Ok(()) | Err(Stop::Unknown(_)) => None,
    }
}

/// Settings that would make members differ, or lose what is acknowledged.
pub(crate) fn check_setting(name: &str, values: Option<&[String]>) -> Result<(), Stop> {
    let value = values.and_then(<[String]>::first).map(String::as_str);
    match name {
        token::SETTING => Err(token::refuse_set_config()),
        "raidb.capture" => {
            Err(refuse("raidb.capture is raidb's own: it makes triggers take images of rows", "leave it to raidb"))
        }
        "session_replication_role" => Err(refuse(
            "session_replication_role turns off foreign keys, on which the members' equality rests",
            "use ALTER TABLE … DISABLE TRIGGER USER to skip triggers",
        )),
        "synchronous_commit" if !value.is_some_and(|v| WAITS_FOR_DISK.contains(&v.to_ascii_lowercase().as_str())) => {
            Err(refuse(
                "without synchronous_commit a member that crashes loses commits that were acknowledged",
                "leave it as it is (SET synchronous_commit = DEFAULT)",
            ))
        }
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => Err(refuse(
            format!("{name} is a mode of the transaction, which followers do not share"),
            "use BEGIN or SET TRANSACTION with ISOLATION LEVEL, READ ONLY, DEFERRABLE",
        )),
        "session_authorization" => Err(refuse(
            "SET SESSION AUTHORIZATION needs a superuser on every member",
            "connect as that user, or use SET ROLE",
        )),
        "extra_float_digits" if value.is_none_or(|v| v.parse::<i32>().is_ok_and(|digits| digits < 1)) => Err(refuse(
            "with extra_float_digits below 1 the text of a float is not exact, and followers get values as text",
            "use 1 (the default) or more",
        )),
        "search_path" if values.is_some_and(|values| values.iter().any(|value| names_numbered_schema(value))) => {
            Err(numbered_schema())
        }
        "client_encoding" => {
            let plain: String = value.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
            if UNREADABLE_ENCODINGS.contains(&plain.to_ascii_lowercase().as_str()) {
                return Err(refuse(format!("raidb cannot read statements in the encoding {plain}"), "use UTF8"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn reset(text: &Text<'_>) -> Result<Judged, Stop> {
    if text.is(1, "all") && text.len() == 2 {
        return session(SessionChange::ResetAll);
    }
    let name = if text.are(1, &["time", "zone"]) {
        "timezone".to_owned()
    } else if text.are(1, &["session", "authorization"]) {
        "session_authorization".to_owned()
    } else if text.are(1, &["transaction", "isolation", "level"]) {
        "transaction_isolation".to_owned()
    } else {
        let (prefix, name, _) = text.qualified(1).ok_or_else(|| unknown("this form of RESET"))?;
        prefix.map_or(name.clone(), |prefix| format!("{prefix}.{name}")).to_ascii_lowercase()
    };
    if name == "transaction_isolation" {
        check_setting(&name, None)?;
    }
    if name == token::SETTING {
        return token::reset();
    }
    session(SessionChange::Reset { name })
}

fn discard(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    match text.word(1).as_deref() {
        Some("all") => Ok(Judged::plain(Command::Discard { all: true })),
        Some("temp" | "temporary") => {
            Ok(temporary::discard(scope).unwrap_or_else(|| Judged::plain(Command::Discard { all: false })))
        }
        Some("plans" | "sequences") => Ok(Judged::plain(Command::Discard { all: false })),
        _ => Err(unknown("this form of DISCARD")),
    }
}

fn deallocate(text: &Text<'_>) -> Result<Judged, Stop> {
    let at = 1 + usize::from(text.is(1, "prepare") && text.len() > 2);
    if text.is(at, "all") {
        return Ok(Judged::plain(Command::Deallocate(None)));
    }
    let name = text.name(at).ok_or_else(|| unknown("this form of DEALLOCATE"))?;
    Ok(Judged::plain(Command::Deallocate(Some(name))))
}

fn prepare(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let malformed = || unknown("this form of PREPARE");
    let name = text.name(1).ok_or_else(malformed)?;
    let mut at = 2;
    if text.symbol(at, "(") {
        at = text.closing(at).ok_or_else(malformed)? + 1;
    }
    let plain = &["select", "insert", "update", "delete", "merge", "values", "with", "table"];
    if !text.is(at, "as") || !(text.any(at + 1, plain) || text.symbol(at + 1, "(")) {
        return Err(malformed());
    }
    if names_row_type(text, scope) || (2..at).any(|i| text.name(i).is_some_and(|name| is_temporary(&name, scope))) {
        return Err(of_row_type("PREPARE"));
    }
    let inner = text.tokens[at + 1].start;
    let analysis = analyse(&text.bytes[inner..], scope.catalog, scope.settings);
    match analysis.command {
        Command::Refused(refusal) => return Err(Stop::Refused(refusal)),
        // Arguments of EXECUTE are not looked into.
        Command::Advisory(_) | Command::Notification(_) => {
            return Err(refuse(
                "PREPARE of advisory locks and notifications is not supported",
                "send the statement itself, or prepare it in the driver (extended protocol)",
            ));
        }
        _ => {}
    }
    Ok(Judged::plain(Command::Prepare { name, inner, analysis: Arc::new(analysis) }))
}

/// EXECUTE name (arguments): the arguments are evaluated on every member, so they must be plain.
fn execute(text: &Text<'_>, scope: &Scope<'_>) -> Result<Judged, Stop> {
    let name = text.name(1).ok_or_else(|| unknown("this form of EXECUTE"))?;
    let effects = super::scan(text, 2..text.len(), scope);
    if let Some(refusal) = effects.denied {
        return Err(Stop::Refused(refusal));
    }
    if names_row_type(text, scope) {
        return Err(of_row_type("EXECUTE"));
    }
    if let Some(what) = effects.lead_only.or(effects.unproven) {
        return Err(refuse(
            format!("an argument of EXECUTE is {what}, which every member would compute for itself"),
            "send the statement without PREPARE, or as a prepared statement of the driver",
        ));
    }
    Ok(Judged::plain(Command::Execute { name }))
}

/// A name that means something in this session alone would get into the recovery log.
fn of_row_type(what: &str) -> Stop {
    refuse(
        format!("{what} with the type of a temporary table's rows"),
        "send the statement itself, with the columns' values one by one",
    )
}
