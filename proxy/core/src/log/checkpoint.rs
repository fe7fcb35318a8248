//! The states of all members at one position, so that older segments can go.

use serde::{Deserialize, Serialize};

use super::member_change::{from_json, to_json};
use super::{CorruptKind, MemberChange, Membership};

/// The last change of every member. What came before is not needed to know the membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last change of each member, by name.
    pub members: Vec<MemberChange>,
    /// Every member that there was is named, here or before: one that is not has never been a member.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
}

impl Checkpoint {
    /// A checkpoint of this membership.
    pub fn of(membership: &Membership) -> Self {
        Self { members: membership.changes().cloned().collect(), complete: membership.is_complete() }
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
