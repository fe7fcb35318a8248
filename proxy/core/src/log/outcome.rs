//! What came of an intent, if not plain success.

use super::{CorruptKind, Position};

/// The intent at this position was not carried out: no member that is left holds it, and its client was told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Position of the intent.
    pub aborted: Position,
}

impl Outcome {
    /// The payload of its record: the position, 8 bytes, little endian.
    pub fn encode(self) -> Vec<u8> {
        self.aborted.0.to_le_bytes().to_vec()
    }

    /// Reads the payload of a record.
    ///
    /// # Errors
    /// [`CorruptKind::Payload`].
    pub fn decode(payload: &[u8]) -> Result<Self, CorruptKind> {
        let bytes = payload.try_into().map_err(|_| CorruptKind::Payload("an outcome has 8 bytes".into()))?;
        Ok(Outcome { aborted: Position(u64::from_le_bytes(bytes)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let outcome = Outcome { aborted: Position(300) };
        assert_eq!(Outcome::decode(&outcome.encode()), Ok(outcome));
        assert!(Outcome::decode(&[1, 2]).is_err());
    }
}
