//! One line about a record.

use raidb_core::log::{Checkpoint, MemberChange, NamedCheckpoint, RecordKind, TokenRecord};
use raidb_core::member::MemberState;

use crate::time;

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
        // The decoder of intents goes here.
        _ => Ok(format!("{} bytes", payload.len())),
    };
    text.unwrap_or_else(|error| error.to_string())
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
    use raidb_core::log::Position;
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
        assert_eq!(summary(RecordKind::Intent, b"12345"), "5 bytes");
        assert!(summary(RecordKind::MemberChange, b"{}").contains("does not have the form"));
        assert_eq!(kind_name(RecordKind::SequenceHighWater), "sequence_high_water");
    }
}
