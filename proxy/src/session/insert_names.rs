//! INSERTs that stand prepared on this session's connections to the lead under names of the proxy's own, so that the lead plans
//! them once. Whether one stands on a certain connection, the connection knows ([`crate::members::pg::link::Link::knows`]).

use bytes::Bytes;

/// Most names of a session; others are parsed each time.
const NAMES_MAX: usize = 16;
/// Longer texts get no name: they stand in memory.
const TEXT_BYTES_MAX: usize = 1024;
/// Marks identities of this kind.
const IDENTITY: u64 = 1 << 60;

#[derive(Debug)]
struct Slot {
    text: Bytes,
    types: Bytes,
    ddl: u64,
    name: Bytes,
    identity: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct InsertNames {
    slots: Vec<Slot>,
    next: u64,
}

impl InsertNames {
    /// Name and identity of a text with these parameter types; `None`: it has none. `ddl`: DDL that has ended. The types of open
    /// parameters are found once, when a statement is prepared; DDL may have changed them since, so it gets another identity.
    pub(crate) fn name(&mut self, text: &Bytes, types: &Bytes, ddl: u64) -> Option<(Bytes, u64)> {
        if text.len() > TEXT_BYTES_MAX || has_long_name(text) {
            return None;
        }
        let found = self.slots.iter().position(|slot| slot.text == *text && slot.types == *types);
        let index = match found {
            Some(index) => index,
            None if self.slots.len() < NAMES_MAX => {
                let name = Bytes::from(format!("raidb_i{}", self.slots.len()));
                let (text, types) = (text.clone(), types.clone());
                self.slots.push(Slot { text, types, ddl, name, identity: 0 });
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index];
        if slot.identity == 0 || slot.ddl != ddl {
            self.next += 1;
            slot.identity = IDENTITY | self.next;
            slot.ddl = ddl;
        }
        Some((slot.name.clone(), slot.identity))
    }

    /// All names: after an error nobody knows which of them stand.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Bytes> {
        self.slots.iter().map(|slot| &slot.name)
    }
}

/// Longer names are cut by PostgreSQL, which says so each time that it reads them: it has to read them each time.
const NAME_BYTES_MAX: usize = 63;

fn has_long_name(text: &[u8]) -> bool {
    let part_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
    text.split(|byte| !part_of_name(byte)).any(|name| name.len() > NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn the_same_text_has_one_name() {
        let mut names = InsertNames::default();
        let first = names.name(&bytes("a"), &bytes("t"), 1).unwrap();
        assert_eq!(names.name(&bytes("a"), &bytes("t"), 1).unwrap(), first);
        assert_ne!(names.name(&bytes("a"), &bytes("u"), 1).unwrap().0, first.0);
    }

    #[test]
    fn ddl_gives_another_identity_under_the_same_name() {
        let mut names = InsertNames::default();
        let before = names.name(&bytes("a"), &bytes("t"), 1).unwrap();
        let behind = names.name(&bytes("a"), &bytes("t"), 2).unwrap();
        assert_eq!(before.0, behind.0);
        assert_ne!(before.1, behind.1);
    }

    #[test]
    fn names_are_few_and_their_texts_short() {
        let mut names = InsertNames::default();
        for n in 0..NAMES_MAX {
            assert!(names.name(&bytes(&n.to_string()), &bytes("t"), 1).is_some());
        }
        assert!(names.name(&bytes("one more"), &bytes("t"), 1).is_none());
        let mut names = InsertNames::default();
        assert!(names.name(&bytes(&"x ".repeat(TEXT_BYTES_MAX / 2 + 1)), &bytes("t"), 1).is_none());
    }

    #[test]
    fn what_postgresql_has_something_to_say_of_is_read_each_time() {
        let mut names = InsertNames::default();
        let text = |length: usize| bytes(&format!("insert into {} values ($1)", "n".repeat(length)));
        assert!(names.name(&text(NAME_BYTES_MAX), &bytes("t"), 1).is_some());
        assert!(names.name(&text(NAME_BYTES_MAX + 1), &bytes("t"), 1).is_none());
    }
}
