//! A place in the log that an operator has named.

use serde::{Deserialize, Serialize};

use super::CorruptKind;
use super::member_change::{from_json, to_json};

/// Names its own position: "everything up to here". It changes no state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCheckpoint {
    /// As the operator gave it.
    pub name: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub when_unix_ms: u64,
}

impl NamedCheckpoint {
    /// Longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 200;

    /// A checkpoint of this name.
    ///
    /// # Errors
    /// What a name has to be.
    pub fn new(name: &str, when_unix_ms: u64) -> Result<Self, &'static str> {
        if name.trim().is_empty() || name.len() > Self::NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err("a checkpoint's name has 1 to 200 bytes, not only blanks, and no control characters");
        }
        Ok(Self { name: name.to_owned(), when_unix_ms })
    }

    /// The payload of its record.
    #[must_use]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_part_of_the_format() {
        let checkpoint = NamedCheckpoint::new("before upgrade", 7).unwrap();
        assert_eq!(checkpoint.encode(), br#"{"name":"before upgrade","when_unix_ms":7}"#);
        assert_eq!(NamedCheckpoint::decode(&checkpoint.encode()), Ok(checkpoint));
        assert!(matches!(NamedCheckpoint::decode(b"{}"), Err(CorruptKind::Payload(_))));
        for name in ["", "  ", "a\nb", &"x".repeat(201)] {
            assert!(NamedCheckpoint::new(name, 0).is_err(), "{name:?}");
        }
    }
}
