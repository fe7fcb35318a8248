//! One line about a record.

use raidb_core::log::{Checkpoint, Intent, IntentStatement, MemberChange, NamedCheckpoint, RecordKind, TokenRecord};
use raidb_core::member::MemberState;

use crate::time;

/// Letters of a statement that are shown. At the limit: cut, with `…`.
const STATEMENT_CHARS_MAX: usize = 80;

/// What a record says, in one line. A payload that cannot be read is said to be so.
pub(super) fn summary(kind: RecordKind, payload: &[u8]) -> String {
    let text = match kind {
        RecordKind::MemberChange => MemberChange::decode(payload).map(|change| member_change(&change)),
        RecordKind::Checkpoint => Checkpoint::decode(payload).map(|checkpoint| {
            let members: Vec<String> = checkpoint.members.iter().map(member_change).collect();
            if members.is_empty() { "no member was ever changed".to_owned() } else { members.join("; ") }
        }),
        RecordKind::NamedCheckpoint => NamedCheckpoint::decode(payload)
            .map(|checkpoint| format!("\"{}\", {}", checkpoint.name, time::utc(checkpoint.when_unix_ms))),
        RecordKind::Token => TokenRecord::decode(payload).map(|record| match record {
            TokenRecord::Given { unix_ms, token } => {
                format!("\"{}\" given, {}", String::from_utf8_lossy(&token), time::utc(unix_ms))
            }
            TokenRecord::KeptSince { unix_ms, first } => {
                format!("all tokens since {} are kept from {first} on", time::utc(unix_ms))
            }
        }),
        RecordKind::Intent => Intent::decode(payload).map(|found| intent(&found)),
        _ => Ok(format!("{} bytes", payload.len())),
    };
    text.unwrap_or_else(|error| error.to_string())
}

/// How many statements, the token if there is one, and the beginning of the first statement.
fn intent(intent: &Intent) -> String {
    let count = intent.entries.len();
    let mut text = format!("{count} statement{}", if count == 1 { "" } else { "s" });
    if let Some(token) = &intent.token {
        text.push_str(&format!(", token \"{}\"", String::from_utf8_lossy(token)));
    }
    if let Some(entry) = intent.entries.first() {
        let (IntentStatement::Simple(sql)
        | IntentStatement::Extended { text: sql, .. }
        | IntentStatement::Copy { text: sql, .. }) = &entry.statement;
        text.push_str(": ");
        text.push_str(&one_line(sql));
    }
    text
}

/// The beginning of a statement, without line breaks and what else a terminal would take for a command.
fn one_line(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(sql);
    let mut letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut line: String = letters.by_ref().take(STATEMENT_CHARS_MAX).collect();
    if letters.next().is_some() {
        line.push('…');
    }
    line
}

/// `named_checkpoint` for a named checkpoint.
pub(super) fn kind_name(kind: RecordKind) -> String {
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn member_change(change: &MemberChange) -> String {
    let state = match change.change {
        MemberState::Enabled => "enabled".to_owned(),
        MemberState::Draining => "draining".to_owned(),
        MemberState::Disabled { reason, position } => format!("disabled ({reason}) at {position}"),
        MemberState::Rejoining { position } => format!("rejoining at {position}"),
        MemberState::Rebuilding { phase } => format!("rebuilding ({phase:?})").to_lowercase(),
    };
    format!("{} {state}, epoch {}, {}", change.member, change.epoch, time::utc(change.when_unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raidb_core::log::{IntentEntry, Position};
    use raidb_core::member::Reason;

    #[test]
    fn one_line_for_every_kind() {
        let change = |member: &str, change| MemberChange {
            member: member.into(),
            change,
            epoch: 3,
            when_unix_ms: 0,
            incident: None,
        };
        let disabled = MemberState::Disabled { reason: Reason::Diverged, position: Position(9) };
        let text = "pg2 disabled (diverged) at position 9, epoch 3, 1970-01-01T00:00:00Z";
        assert_eq!(summary(RecordKind::MemberChange, &change("pg2", disabled).encode()), text);
        let members = vec![change("pg1", MemberState::Enabled), change("pg2", disabled)];
        let both = format!("pg1 enabled, epoch 3, 1970-01-01T00:00:00Z; {text}");
        assert_eq!(summary(RecordKind::Checkpoint, &Checkpoint { members, complete: true }.encode()), both);
        let named = NamedCheckpoint::new("x", 0).unwrap();
        assert_eq!(summary(RecordKind::NamedCheckpoint, &named.encode()), "\"x\", 1970-01-01T00:00:00Z");
        assert_eq!(summary(RecordKind::CopyRows, b"12345"), "5 bytes");
        assert!(summary(RecordKind::Intent, b"12345").contains("an intent that ends or is damaged"));
        let entry = |sql: String| {
            let statement = IntentStatement::Simple(sql.into_bytes());
            IntentEntry { statement, tag: None, alone: false }
        };
        let one = Intent { entries: vec![entry("delete\nfrom t".into())], ..Intent::default() };
        assert_eq!(summary(RecordKind::Intent, &one.encode()), "1 statement: delete from t");
        let (entries, token) = (vec![entry("é".repeat(81)), entry(String::new())], Some(b"x".to_vec()));
        let two = Intent { entries, token, ..Intent::default() };
        let wanted = format!("2 statements, token \"x\": {}…", "é".repeat(80));
        assert_eq!(summary(RecordKind::Intent, &two.encode()), wanted);
        assert!(summary(RecordKind::MemberChange, b"{}").contains("does not have the form"));
        assert_eq!(kind_name(RecordKind::SequenceHighWater), "sequence_high_water");
    }
}
