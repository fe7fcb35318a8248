//! A member's new state, as the log keeps it.

use serde::{Deserialize, Serialize};

use super::CorruptKind;
use crate::member::{Incident, MemberState, Reason};

/// A member has changed its state. The payload is JSON: these records are rare, and their shape grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChange {
    /// Name of the member.
    pub member: String,
    /// Its new state.
    pub change: MemberState,
    /// Epoch of the membership from this change on.
    pub epoch: u64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub when_unix_ms: u64,
    /// What led to it, if it was disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
}

impl MemberChange {
    /// Why the member is disabled, if it is.
    pub fn reason(&self) -> Option<Reason> {
        match self.change {
            MemberState::Disabled { reason, .. } => Some(reason),
            MemberState::Enabled
            | MemberState::Draining
            | MemberState::Rejoining { .. }
            | MemberState::Rebuilding { .. } => None,
        }
    }

    /// The payload of its record.
    pub fn encode(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads the payload of a record.
    ///
    /// # Errors
    /// [`CorruptKind::Payload`].
    pub fn decode(payload: &[u8]) -> Result<Self, CorruptKind> {
        from_json(payload)
    }
}

/// JSON of a value that has no map with keys other than text, so that writing cannot fail.
pub(super) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads what [`to_json`] wrote.
pub(super) fn from_json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, CorruptKind> {
    serde_json::from_slice(payload).map_err(|error| CorruptKind::Payload(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Position;

    #[test]
    fn reads_what_it_writes() {
        let position = Position(7);
        let mut change = MemberChange {
            member: "pg2".into(),
            change: MemberState::Disabled { reason: Reason::Diverged, position },
            epoch: 3,
            when_unix_ms: 1,
            incident: Some(Incident::new(1, "pg2", Reason::Diverged, position).on_statement("select 1", None)),
        };
        assert_eq!(MemberChange::decode(&change.encode()), Ok(change.clone()));
        assert_eq!(change.reason(), Some(Reason::Diverged));
        change.incident = None;
        change.change = MemberState::Enabled;
        assert_eq!(MemberChange::decode(&change.encode()), Ok(change.clone()));
        assert_eq!(change.reason(), None);
        assert!(matches!(MemberChange::decode(b"{}"), Err(CorruptKind::Payload(_))));
    }

    #[test]
    fn the_form_is_part_of_the_format() {
        let text = r#"{"member":"pg1","change":{"state":"disabled","reason":"resource:53100","position":9},"epoch":2,"when_unix_ms":5}"#;
        let change = MemberChange::decode(text.as_bytes()).unwrap();
        assert_eq!(change.encode(), text.as_bytes());
    }
}
