//! What a queue holds.

use std::fmt;

/// Identifies a message within its store; later reservations of one [`Store`](crate::Store) are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(i64);

impl MessageId {
    /// The id with this number, as printed by an earlier one.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The number of this id.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its content.
    pub body: Vec<u8>,
}
