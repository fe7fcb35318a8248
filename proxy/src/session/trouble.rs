//! Why the work on a statement stopped, by what the caller must do next.

use bytes::{Bytes, BytesMut};
use raidb_core::sql::analysis::Refusal;

use crate::wire::encode;

/// An error that the client gets, made by the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// One clause, lower case.
    pub message: String,
    /// Details, if any.
    pub detail: Option<String>,
    /// What to do now.
    pub hint: Option<String>,
}

impl SqlError {
    /// SQLSTATE of what a failed block refuses.
    pub const FAILED_TRANSACTION: &'static str = "25P02";

    /// An error with a hint.
    #[must_use]
    pub fn new(sqlstate: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        SqlError { sqlstate, message: message.into(), detail: None, hint: (!hint.is_empty()).then_some(hint) }
    }

    /// 0A000: cannot be made safe.
    #[must_use]
    pub fn refused(reason: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        SqlError::new("0A000", format!("raidb does not execute this statement: {reason}"), hint)
    }

    /// 40001: the transaction is gone, run it again.
    #[must_use]
    pub fn retry(reason: impl std::fmt::Display) -> Self {
        SqlError::new("40001", format!("transaction rolled back: {reason}"), "Run the transaction again.")
    }

    /// 57P03: nobody to work with.
    #[must_use]
    pub fn no_member() -> Self {
        SqlError::new(
            "57P03",
            "no member of the virtual database answers",
            "Wait for a member to come back and try again; see `raidb status`.",
        )
    }

    /// 57P03: the virtual database does not serve yet.
    #[must_use]
    pub fn starting() -> Self {
        SqlError::new(
            "57P03",
            "the virtual database is starting",
            "Try again in a moment; `raidb status` shows what the start waits for.",
        )
    }

    /// 57P01: the proxy ends.
    #[must_use]
    pub fn stopping() -> Self {
        SqlError::new(
            "57P01",
            "terminating connection due to administrator command",
            "The proxy is shutting down; connect again.",
        )
    }

    /// 25P02.
    #[must_use]
    pub fn in_failed_transaction() -> Self {
        let message = "current transaction is aborted, commands ignored until end of transaction block";
        SqlError::new(Self::FAILED_TRANSACTION, message, "")
    }

    /// Appends it as an ErrorResponse.
    pub fn write(&self, out: &mut BytesMut, severity: &str) {
        let mut fields = vec![(b'S', severity), (b'V', severity), (b'C', self.sqlstate), (b'M', self.message.as_str())];
        if let Some(detail) = &self.detail {
            fields.push((b'D', detail));
        }
        if let Some(hint) = &self.hint {
            fields.push((b'H', hint));
        }
        encode::notice_or_error(out, b'E', &fields);
    }
}

/// Why the work on a statement stopped.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The statement was undone on the lead, and what it needs was made there: it runs again.
    Undone,
    /// What was taken for a read writes; it has done nothing.
    Writes,
    /// Images do not help, and the statement has done nothing: the configuration lets it run as it is, since only that nobody
    /// can tell stands against it.
    Doubtful(Refusal),
    /// The member that ran the statement is gone (or this connection to it), and nothing was open there: run it elsewhere.
    MemberLost,
    /// The lead changed: complete what the old one answered, then run the statement again on the new one.
    LeadChanged,
    /// Members came or went just before the decision: look again whether all agree. Never leaves [`super::Session::commit`].
    ViewChanged,
    /// The statement fails with an error of the proxy's; the transaction, if any, is to be aborted.
    Sql(SqlError),
    /// A member's own ErrorResponse is the answer (position adjusted); the transaction is to be aborted.
    Answer(Bytes),
    /// The session must end; a client that is still there gets this error.
    Fatal(SqlError),
    /// The client is gone.
    ClientGone,
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Self {
        Trouble::Sql(error)
    }
}

/// Subtracts `chars` from the position field of an ErrorResponse, because the text that the member got was longer at its front.
#[must_use]
pub fn shift_position(frame: &[u8], chars: usize) -> Bytes {
    if chars == 0 { Bytes::copy_from_slice(frame) } else { change_position(frame, |p| p.saturating_sub(chars).max(1)) }
}

/// Adds `chars` to it, because the member got only a part of the client's text.
#[must_use]
pub fn move_position(frame: &[u8], chars: usize) -> Bytes {
    if chars == 0 { Bytes::copy_from_slice(frame) } else { change_position(frame, |p| p + chars) }
}

fn change_position(frame: &[u8], change: impl Fn(usize) -> usize) -> Bytes {
    let position =
        crate::wire::decode::error_field(frame, b'P').and_then(|p| std::str::from_utf8(p).ok()?.parse::<usize>().ok());
    let Some(position) = position else { return Bytes::copy_from_slice(frame) };
    let mut out = BytesMut::with_capacity(frame.len());
    encode::frame(&mut out, frame[0], |out| {
        let mut rest = &frame[5..];
        while let [code, tail @ ..] = rest {
            if *code == 0 {
                break;
            }
            let end = tail.iter().position(|b| *b == 0).unwrap_or(tail.len());
            out.extend_from_slice(&[*code]);
            if *code == b'P' {
                out.extend_from_slice(change(position).to_string().as_bytes());
            } else {
                out.extend_from_slice(&tail[..end]);
            }
            out.extend_from_slice(&[0]);
            rest = tail.get(end + 1..).unwrap_or(&[]);
        }
        out.extend_from_slice(&[0]);
    });
    out.freeze()
}

/// Whether an ErrorResponse announces the end of the connection.
#[must_use]
pub fn is_fatal(frame: &[u8]) -> bool {
    matches!(crate::wire::decode::error_field(frame, b'V'), Some(b"FATAL" | b"PANIC"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;

    #[test]
    fn positions_shift() {
        let mut out = BytesMut::new();
        encode::notice_or_error(&mut out, b'E', &[(b'C', "42601"), (b'P', "16"), (b'M', "x")]);
        let shifted = shift_position(&out, 6);
        assert_eq!(decode::error_field(&shifted, b'P'), Some(&b"10"[..]));
        assert_eq!(decode::error_field(&shifted, b'M'), Some(&b"x"[..]));
        assert_eq!(shift_position(&out, 0), out.freeze());
    }
}
