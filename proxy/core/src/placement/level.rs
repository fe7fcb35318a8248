//! The RAIDb names, as presets that expand to factors.

use super::{ErrorCheck, Pick, Placement, Policy, WaitFor};

/// A RAIDb name. It fixes placement and error check; pick and wait-for stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// One member, no redundancy.
    Single,
    /// Every table on exactly one member.
    Raidb0,
    /// Every table on every member.
    Raidb1,
    /// Like [`Level::Raidb1`], and reads are compared.
    Raidb1Ec,
    /// Every table on some members.
    Raidb2,
    /// Like [`Level::Raidb2`], and reads are compared.
    Raidb2Ec,
}

impl Level {
    /// The placement that this name stands for.
    pub fn placement(self) -> Placement {
        match self {
            Self::Single => Placement::Single,
            Self::Raidb0 => Placement::Partitioned,
            Self::Raidb1 | Self::Raidb1Ec => Placement::Full,
            Self::Raidb2 | Self::Raidb2Ec => Placement::Partial,
        }
    }

    /// Whether this name stands for compared reads.
    pub fn error_check(self) -> ErrorCheck {
        match self {
            Self::Single | Self::Raidb0 | Self::Raidb1 | Self::Raidb2 => ErrorCheck::Off,
            Self::Raidb1Ec | Self::Raidb2Ec => ErrorCheck::Vote,
        }
    }

    /// Expands the name to the four factors.
    pub fn policy(self, pick: Pick, wait_for: WaitFor) -> Policy {
        Policy { placement: self.placement(), pick, wait_for, error_check: self.error_check() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_expand_to_factors() {
        let expect = [
            (Level::Single, Placement::Single, ErrorCheck::Off),
            (Level::Raidb0, Placement::Partitioned, ErrorCheck::Off),
            (Level::Raidb1, Placement::Full, ErrorCheck::Off),
            (Level::Raidb1Ec, Placement::Full, ErrorCheck::Vote),
            (Level::Raidb2, Placement::Partial, ErrorCheck::Off),
            (Level::Raidb2Ec, Placement::Partial, ErrorCheck::Vote),
        ];
        for (level, placement, error_check) in expect {
            let policy = level.policy(Pick::Weighted, WaitFor::All);
            assert_eq!(policy, Policy { placement, pick: Pick::Weighted, wait_for: WaitFor::All, error_check });
        }
    }
}
