//! The members of a virtual database: those of the start, and those that were added since. None ever leaves the list.
//!
//! Looked at with every statement, so without a lock: a place is filled once, and stays as it is.

use std::ops::Index;
use std::sync::OnceLock;

use parking_lot::Mutex;
use raidb_core::config::VirtualDatabase as Configured;
use raidb_core::ids::MemberId;

use super::member::Member;

/// See the module.
#[derive(Debug)]
pub struct Members {
    at_start: Vec<Member>,
    added: [OnceLock<Member>; Configured::MEMBERS_MAX],
    /// One at a time is added.
    adding: Mutex<()>,
}

impl Members {
    /// The members of the configuration.
    #[must_use]
    pub fn new(at_start: Vec<Member>) -> Self {
        Members { at_start, added: [const { OnceLock::new() }; Configured::MEMBERS_MAX], adding: Mutex::new(()) }
    }

    /// All, in the order of [`MemberId`].
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.at_start.iter().chain(self.added.iter().map_while(OnceLock::get))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at_start.len() + self.added.iter().take_while(|place| place.get().is_some()).count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more, with the number that it gets. `None`: there are [`Configured::MEMBERS_MAX`].
    pub fn add(&self, member: impl FnOnce(MemberId) -> Member) -> Option<MemberId> {
        let _one_at_a_time = self.adding.lock();
        let count = self.len();
        let place = self.added.get(count - self.at_start.len()).filter(|_| count < Configured::MEMBERS_MAX)?;
        let id = MemberId(u8::try_from(count).ok()?);
        place.set(member(id)).ok().map(|()| id)
    }
}

impl Index<usize> for Members {
    type Output = Member;

    /// Like an index of a `Vec`: whoever has a [`MemberId`] has it from here.
    fn index(&self, index: usize) -> &Member {
        let behind = index.checked_sub(self.at_start.len());
        match behind.and_then(|behind| self.added.get(behind)).and_then(OnceLock::get) {
            Some(member) => member,
            None => &self.at_start[index],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::pg::target::{Address, Login, MemberTls, Target};

    fn member(id: MemberId) -> Member {
        let address = Address::Tcp { host: "h".into(), port: 1 };
        let name = format!("pg{}", id.0);
        let target = Target { id, name, address, database: "d".into(), tls: MemberTls::Disabled };
        Member::new(target, Login { user: "u".into(), password: None }, 1, 1)
    }

    #[test]
    fn grows_up_to_the_limit() {
        let members = Members::new((0..2).map(MemberId).map(member).collect());
        let first = &members[0];
        for number in 2..32 {
            assert_eq!(members.add(member), Some(MemberId(number)));
        }
        assert_eq!((members.add(member), members.len()), (None, 32));
        let names: Vec<&str> = members.iter().map(|m| m.target.name.as_str()).collect();
        assert_eq!(names, (0..32).map(|n| format!("pg{n}")).collect::<Vec<_>>());
        assert!((0..32_usize).all(|n| members[n].target.name == names[n]));
        assert_eq!(first.target.name, "pg0", "what was borrowed before stays");
    }
}
