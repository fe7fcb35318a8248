//! What the log says about clients' tokens: [`TokenRecord`].
//!
//! | field | bytes |
//! |---|---|
//! | version | 1 |
//! | form | 1: 0 given, 1 kept since |
//! | milliseconds since 1970-01-01 UTC | 8 |
//! | given: the token | all others |
//! | kept since: position of the first record of the log | 8 |
//!
//! Integers are little endian.

use super::{CorruptKind, Position};

/// Version of the form above.
const VERSION: u8 = 1;

/// The payload of a [`super::RecordKind::Token`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRecord {
    /// A client gave a token to a transaction that has begun. If no intent bears it, the transaction was never decided.
    Given {
        /// When.
        unix_ms: u64,
        /// The token.
        token: Vec<u8>,
    },
    /// Of tokens given since then every intent is in the log, as long as the log begins at `first` or before.
    KeptSince {
        /// Since when.
        unix_ms: u64,
        /// The first record that this promise reckons with.
        first: Position,
    },
}

impl TokenRecord {
    /// The payload of its record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (form, unix_ms) = match self {
            TokenRecord::Given { unix_ms, .. } => (0, unix_ms),
            TokenRecord::KeptSince { unix_ms, .. } => (1, unix_ms),
        };
        let mut out = vec![VERSION, form];
        out.extend(unix_ms.to_le_bytes());
        match self {
            TokenRecord::Given { token, .. } => out.extend_from_slice(token),
            TokenRecord::KeptSince { first, .. } => out.extend(first.0.to_le_bytes()),
        }
        out
    }

    /// Reads the payload of a record.
    ///
    /// # Errors
    /// [`CorruptKind::Payload`].
    pub fn decode(payload: &[u8]) -> Result<Self, CorruptKind> {
        read(payload).ok_or_else(|| CorruptKind::Payload("a token record that does not have the form".into()))
    }
}

fn read(payload: &[u8]) -> Option<TokenRecord> {
    let (head, rest) = payload.split_at_checked(2)?;
    let (ms, rest) = rest.split_at_checked(8)?;
    let unix_ms = u64::from_le_bytes(ms.try_into().ok()?);
    match head {
        [VERSION, 0] if !rest.is_empty() => Some(TokenRecord::Given { unix_ms, token: rest.to_vec() }),
        [VERSION, 1] => {
            let first = Position(u64::from_le_bytes(rest.try_into().ok()?));
            Some(TokenRecord::KeptSince { unix_ms, first })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let given = TokenRecord::Given { unix_ms: 7, token: b"t".to_vec() };
        assert_eq!(given.encode(), [1, 0, 7, 0, 0, 0, 0, 0, 0, 0, b't'], "the form is part of the format");
        for record in [given, TokenRecord::KeptSince { unix_ms: u64::MAX, first: Position(300) }] {
            let bytes = record.encode();
            assert_eq!(TokenRecord::decode(&bytes), Ok(record));
            for length in 0..10 {
                assert!(TokenRecord::decode(&bytes[..length]).is_err(), "cut at {length}");
            }
        }
        assert!(TokenRecord::decode(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(TokenRecord::decode(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err(), "a token is not empty");
    }
}
