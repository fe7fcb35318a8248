//! What the log says about members: the last change of each.

use std::collections::BTreeMap;

use super::{Checkpoint, CorruptKind, MemberChange, Record, RecordKind};

/// The last change of every member that the log names. A member without one was never changed; or, if the log names all,
/// never was a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    last: BTreeMap<String, MemberChange>,
    complete: bool,
}

impl Membership {
    /// Takes in the next record.
    ///
    /// # Errors
    /// The payload does not have the form of its kind.
    pub fn apply(&mut self, record: &Record) -> Result<(), CorruptKind> {
        match record.kind {
            RecordKind::MemberChange => self.set(MemberChange::decode(&record.payload)?),
            RecordKind::Checkpoint => {
                let checkpoint = Checkpoint::decode(&record.payload)?;
                self.complete |= checkpoint.complete;
                for change in checkpoint.members {
                    self.set(change);
                }
            }
            RecordKind::Intent
            | RecordKind::Outcome
            | RecordKind::SequenceHighWater
            | RecordKind::CopyRows
            | RecordKind::Token
            | RecordKind::NamedCheckpoint => {}
        }
        Ok(())
    }

    /// The newest epoch that one record's payload tells; 0 if it tells none.
    pub fn epoch_in(kind: RecordKind, payload: &[u8]) -> u64 {
        match kind {
            RecordKind::MemberChange => MemberChange::decode(payload).map_or(0, |change| change.epoch),
            RecordKind::Checkpoint => Checkpoint::decode(payload)
                .map_or(0, |checkpoint| checkpoint.members.iter().map(|change| change.epoch).max().unwrap_or(0)),
            RecordKind::Intent
            | RecordKind::Outcome
            | RecordKind::SequenceHighWater
            | RecordKind::CopyRows
            | RecordKind::Token
            | RecordKind::NamedCheckpoint => 0,
        }
    }

    fn set(&mut self, change: MemberChange) {
        self.last.insert(change.member.clone(), change);
    }

    /// The last change of each member, by name.
    pub fn changes(&self) -> impl Iterator<Item = &MemberChange> {
        self.last.values()
    }

    /// The last change of one member.
    pub fn of(&self, member: &str) -> Option<&MemberChange> {
        self.last.get(member)
    }

    /// Whether the log names every member that there ever was.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The newest epoch; 0 if nothing ever changed.
    pub fn epoch(&self) -> u64 {
        self.changes().map(|change| change.epoch).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Position;
    use crate::member::MemberState;

    fn record(position: u64, kind: RecordKind, payload: Vec<u8>) -> Record {
        Record { position: Position(position), kind, payload }
    }

    fn change(member: &str, change: MemberState, epoch: u64) -> MemberChange {
        MemberChange { member: member.into(), change, epoch, when_unix_ms: 0, incident: None }
    }

    #[test]
    fn the_last_change_counts_and_a_checkpoint_stands_for_all() {
        let draining = change("pg1", MemberState::Draining, 2);
        let mut membership = Membership::default();
        let enabled = change("pg1", MemberState::Enabled, 1);
        membership.apply(&record(1, RecordKind::MemberChange, enabled.encode())).unwrap();
        membership.apply(&record(2, RecordKind::Intent, b"opaque".to_vec())).unwrap();
        membership.apply(&record(3, RecordKind::MemberChange, draining.encode())).unwrap();
        assert_eq!((membership.of("pg1"), membership.epoch()), (Some(&draining), 2));
        assert_eq!(Membership::epoch_in(RecordKind::MemberChange, &draining.encode()), 2);
        let checkpoint = Checkpoint::of(&membership).encode();
        assert_eq!(Membership::epoch_in(RecordKind::Checkpoint, &checkpoint), 2);
        assert_eq!(Membership::epoch_in(RecordKind::Intent, &checkpoint), 0);
        assert_eq!(membership.of("pg2"), None);

        let mut again = Membership::default();
        again.apply(&record(4, RecordKind::Checkpoint, Checkpoint::of(&membership).encode())).unwrap();
        assert_eq!(again, membership);
        assert!(!again.is_complete());
        let complete = Checkpoint { members: Vec::new(), complete: true };
        again.apply(&record(5, RecordKind::Checkpoint, complete.encode())).unwrap();
        assert!(again.is_complete() && again.of("pg1") == Some(&draining));
        let mut later = Membership::default();
        later.apply(&record(6, RecordKind::Checkpoint, Checkpoint::of(&again).encode())).unwrap();
        assert_eq!(later, again);
        assert!(again.apply(&record(5, RecordKind::MemberChange, b"x".to_vec())).is_err());
    }
}
