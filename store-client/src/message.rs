//! What a queue or a topic holds.

use std::fmt;
use std::time::SystemTime;

use crate::error::Error;

/// Bodies up to this many bytes lie in the message's row and come with it; longer ones lie in chunks.
pub const INLINE_MAX: usize = 64 * 1024;
/// Bytes of one chunk of a long body: what a session holds of it at a time.
pub const CHUNK: usize = 256 * 1024;
/// Longest body, in bytes.
pub const BODY_MAX: u64 = 1 << 30;
/// Longest name of a queue, topic, client or subscription, in bytes.
pub const NAME_MAX: usize = 500;

/// Identifies a message within its store. Ids that one session gives out ascend; those of several sessions are in about the
/// order of time (within a second), not exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(crate) i64);

impl MessageId {
    /// The id with this number, as printed by an earlier one.
    #[must_use]
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The number of this id; above 0.
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

/// Rank of a message in a topic: 0 (last) to 9 (first). Queues keep it and do not order by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// # Errors
    /// Above 9.
    pub fn new(number: u8) -> Result<Self, Error> {
        if number <= 9 { Ok(Self(number)) } else { Err(Error::input(format!("priority {number}; allowed: 0 to 9"))) }
    }

    /// 0 to 9.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn stored(self) -> i16 {
        i16::from(self.0)
    }

    pub(crate) fn from_stored(number: i16) -> Self {
        Self(u8::try_from(number.clamp(0, 9)).unwrap_or_default())
    }

    /// Ascends where priority descends.
    pub(crate) fn rank(self) -> i16 {
        9 - self.stored()
    }
}

impl Default for Priority {
    /// 4, as in JMS.
    fn default() -> Self {
        Self(4)
    }
}

/// A message that is to be stored: a body, and what is not ordinary about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub(crate) body: Vec<u8>,
    pub(crate) priority: Priority,
    pub(crate) expires: Option<SystemTime>,
}

impl Draft {
    /// A message of ordinary priority that never expires. The body has up to [`BODY_MAX`] bytes.
    #[must_use]
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), priority: Priority::default(), expires: None }
    }

    /// With this priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Not delivered behind this time (microseconds count; compared with the server's clock).
    #[must_use]
    pub fn expires(self, at: SystemTime) -> Self {
        Self { expires: Some(at), ..self }
    }
}

impl<B: Into<Vec<u8>>> From<B> for Draft {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its priority.
    pub priority: Priority,
    /// When it was appended, by its producer's clock.
    pub sent: SystemTime,
    /// When it expires.
    pub expires: Option<SystemTime>,
    /// Bytes of its body.
    pub size: u64,
    /// Its body, or how to get it.
    pub body: Body,
}

impl Message {
    /// The body, if it came with the message: up to [`INLINE_MAX`] bytes. Others: [`Session::read_body`](crate::Session::read_body).
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Inline(bytes) => Some(bytes),
            Body::Chunks(_) => None,
        }
    }
}

/// Where a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Here.
    Inline(Vec<u8>),
    /// In so many chunks in the store; see [`Session::read_body`](crate::Session::read_body).
    Chunks(i32),
}

/// Refuses names that cannot be stored, before anything is sent.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        let length = name.len();
        return Err(Error::input(format!(
            "the name of a {what} has {length} bytes{}; allowed: 1 to {NAME_MAX} bytes of UTF-8 without zero bytes",
            if name.contains('\0') { ", one of them zero" } else { "" }
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_priorities_say_what_is_allowed() {
        check_name("queue", "orders/näh").expect("a name");
        for bad in ["", "a\0b", &"x".repeat(NAME_MAX + 1)] {
            let error = check_name("queue", bad).expect_err("no name").to_string();
            assert!(error.contains("allowed: 1 to 500"), "{error}");
        }
        assert_eq!(Priority::new(9).expect("nine").rank(), 0);
        assert!(Priority::new(10).expect_err("ten").to_string().contains("allowed: 0 to 9"));
    }
}
