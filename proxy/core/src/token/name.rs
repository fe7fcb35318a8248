//! A token: a client's own name for one transaction.

use std::fmt;
use std::sync::Arc;

/// 1 to [`Token::BYTES_MAX`] printable ASCII characters: bytes that mean the same in every client encoding.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Arc<str>);

impl Token {
    /// Longest token, in bytes.
    pub const BYTES_MAX: usize = 200;

    /// A token of these bytes; `None` if they are none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|b| (b' '..=b'~').contains(b));
        std::str::from_utf8(bytes).ok().filter(|_| fits).map(|text| Token(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_may_be() {
        for good in ["x", "2f1c8a5e-0000-4000-8000-000000000000", " a b ", "'", &"x".repeat(200)] {
            assert_eq!(Token::new(good.as_bytes()).expect(good).as_str(), good);
        }
        for bad in ["", "é", "a\nb", "a\0", "\x7f", &"x".repeat(201)] {
            assert_eq!(Token::new(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Token::new(&[0xff]), None);
    }
}
