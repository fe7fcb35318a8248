//! What is kept when a member is disabled, so that somebody can find out why.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Reason;
use crate::log::Position;

/// Longest statement that an incident keeps, in bytes. At the limit: cut, with `…`.
const STATEMENT_BYTES_MAX: usize = 4096;

/// Longest single parameter that an incident keeps, in bytes. At the limit: its size instead.
const PARAMETER_BYTES_MAX: usize = 64;

/// Most parameters that an incident keeps. At the limit: their number.
const PARAMETERS_MAX: usize = 32;

/// A member was disabled: why, on which statement, who answered what, and what to do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub when_unix_ms: u64,
    /// Name of the member.
    pub member: String,
    /// Why it was disabled.
    pub reason: Reason,
    /// The statement, if one was the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// A summary of its parameters, see [`summarize_parameters`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// What each member answered.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// The member holds everything up to here.
    pub position: Position,
    /// What the operator should do now.
    pub what_to_do: String,
}

/// One member's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Name of the member.
    pub member: String,
    /// What it answered, as text.
    pub answer: String,
}

impl Incident {
    /// An incident without a statement.
    pub fn new(when_unix_ms: u64, member: impl Into<String>, reason: Reason, position: Position) -> Self {
        let member = member.into();
        Self {
            when_unix_ms,
            what_to_do: reason.what_to_do(&member),
            member,
            reason,
            statement: None,
            parameters: None,
            answers: Vec::new(),
            position,
        }
    }

    /// Adds the statement (cut to a limit) and the summary of its parameters.
    #[must_use]
    pub fn on_statement(mut self, statement: &str, parameters: Option<String>) -> Self {
        self.statement = Some(cut(statement, STATEMENT_BYTES_MAX));
        self.parameters = parameters;
        self
    }

    /// Adds what each member answered; [`crate::verdict::Outcome`] has a `Display` for this.
    #[must_use]
    pub fn with_answers<'a, A: ToString>(mut self, answers: impl IntoIterator<Item = (&'a str, A)>) -> Self {
        let answer = |(member, answer): (&str, A)| Answer { member: member.to_owned(), answer: answer.to_string() };
        self.answers = answers.into_iter().map(answer).collect();
        self
    }
}

/// Parameters for an incident: `$1 = 'abc', $2 = NULL, $3 = 70 bytes`. What is long or not readable text
/// is given by its size.
pub fn summarize_parameters(parameters: &[Option<&[u8]>]) -> String {
    let mut summary = String::new();
    for (number, value) in (1..=PARAMETERS_MAX).zip(parameters) {
        let comma = if number > 1 { ", " } else { "" };
        let text = value.and_then(|value| std::str::from_utf8(value).ok());
        let shown = text.filter(|text| text.len() <= PARAMETER_BYTES_MAX && !text.chars().any(char::is_control));
        // Writing to a String cannot fail.
        let _ = match (value, shown) {
            (None, _) => write!(summary, "{comma}${number} = NULL"),
            (Some(_), Some(text)) => write!(summary, "{comma}${number} = '{text}'"),
            (Some(value), None) => write!(summary, "{comma}${number} = {} bytes", value.len()),
        };
    }
    if parameters.len() > PARAMETERS_MAX {
        let _ = write!(summary, " and {} more", parameters.len() - PARAMETERS_MAX);
    }
    summary
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_statements_within_the_limit() {
        let incident = Incident::new(1, "pg1", Reason::Diverged, Position(7)).on_statement(&"é".repeat(5000), None);
        let statement = incident.statement.clone().unwrap();
        assert!(statement.len() <= STATEMENT_BYTES_MAX + "…".len() && statement.ends_with("é…"));
        assert!(incident.what_to_do.contains("raidb member rebuild pg1"));
    }

    #[test]
    fn summarizes_parameters() {
        let long = [b'x'; 70];
        let summary = summarize_parameters(&[Some(b"abc"), None, Some(&long), Some(&[0, 1]), Some(b"")]);
        assert_eq!(summary, "$1 = 'abc', $2 = NULL, $3 = 70 bytes, $4 = 2 bytes, $5 = ''");
        assert!(summarize_parameters(&[None; 40]).ends_with("$32 = NULL and 8 more"));
        assert_eq!(summarize_parameters(&[]), "");
    }
}
