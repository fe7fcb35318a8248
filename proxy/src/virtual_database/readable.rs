//! Messages of several statements that a member's parser has read to their end, so that it is asked once for a kind of them.
//!
//! What is kept only saves a question: whoever finds a message here and is wrong gets the error at the statement itself.

use quick_cache::sync::Cache;
use raidb_core::sql::Settings;
use raidb_core::sql::skeleton::Skeleton;

/// Messages kept; the least used go first.
const MESSAGES_MAX: usize = 4096;
/// Longer ones are asked about each time.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// What is kept of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// All that differ in their literals only.
    Shape(Skeleton),
    /// This one.
    Text { text: Box<[u8]>, standard_conforming: bool },
}

/// See the module.
pub struct Readable(Cache<Key, ()>);

impl Default for Readable {
    fn default() -> Self {
        Readable(Cache::new(MESSAGES_MAX))
    }
}

impl Readable {
    /// Whether a member has read such a message to its end.
    #[must_use]
    pub fn knows(&self, text: &[u8], settings: &Settings) -> bool {
        key(text, settings).is_some_and(|key| self.0.get(&key).is_some())
    }

    /// A member has.
    pub fn learn(&self, text: &[u8], settings: &Settings) {
        if let Some(key) = key(text, settings) {
            self.0.insert(key, ());
        }
    }
}

fn key(text: &[u8], settings: &Settings) -> Option<Key> {
    if text.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let whole = || Key::Text { text: text.into(), standard_conforming: settings.standard_conforming_strings };
    Some(Skeleton::of(text, settings).map_or_else(whole, Key::Shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_shape_are_asked_about_once() {
        let settings = Settings { search_path: Vec::new(), standard_conforming_strings: true };
        let readable = Readable::default();
        readable.learn(b"select 1; select 'a'", &settings);
        readable.learn(b"begin; select 1", &settings);
        assert!(readable.knows(b"select 22;  select ''", &settings));
        assert!(!readable.knows(b"select 22; selec ''", &settings));
        assert!(readable.knows(b"begin; select 1", &settings));
        assert!(!readable.knows(b"begin; select 2", &settings));
    }
}
