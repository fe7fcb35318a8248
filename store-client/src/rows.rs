//! Rows of store_message, in and out.

use std::time::SystemTime;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::message::{Body, Draft, INLINE_MAX, Message, MessageId, Priority};

/// Everything of a message that is read; `m` is store_message.
macro_rules! message_columns {
    () => {
        "m.id, m.priority, m.sent, m.expires, m.size, m.chunks, m.body"
    };
}
pub(crate) use message_columns;

/// A message from a row of [`message_columns`].
pub(crate) fn message(row: &Row) -> Message {
    let chunks: i32 = row.get(5);
    let inline: Option<Vec<u8>> = row.get(6);
    Message {
        id: MessageId(row.get(0)),
        priority: Priority::from_stored(row.get(1)),
        sent: row.get(2),
        expires: row.get(3),
        size: row.get::<_, i64>(4).unsigned_abs(),
        body: if chunks == 0 { Body::Inline(inline.unwrap_or_default()) } else { Body::Chunks(chunks) },
    }
}

pub(crate) const INSERT: &str = "INSERT INTO store_message \
     (destination, id, priority, waiting, sent, expires, size, chunks, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// A message of a queue together with the receipt of its transaction, as one statement that is a transaction by itself.
pub(crate) const INSERT_WITH_RECEIPT: &str = "INSERT INTO store_message \
     (destination, id, priority, waiting, sent, expires, size, chunks, body) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9), ('', $10, 0, 0, $11, NULL, 0, 0, NULL)";

/// The values of a row that is to be inserted.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) destination: String,
    pub(crate) id: i64,
    priority: i16,
    pub(crate) waiting: i32,
    pub(crate) sent: SystemTime,
    expires: Option<SystemTime>,
    pub(crate) size: i64,
    pub(crate) chunks: i32,
    pub(crate) body: Option<Vec<u8>>,
}

impl NewRow {
    /// The row, and the body where it is too long to lie in it.
    pub(crate) fn new(destination: String, id: i64, draft: Draft) -> (Self, Option<Vec<u8>>) {
        let Draft { body, priority, expires } = draft;
        let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
        let (body, long) = if body.len() > INLINE_MAX { (None, Some(body)) } else { (Some(body), None) };
        let sent = SystemTime::now();
        let row =
            Self { destination, id, priority: priority.stored(), waiting: 1, sent, expires, size, chunks: 0, body };
        (row, long)
    }

    pub(crate) fn rank(&self) -> i16 {
        Priority::from_stored(self.priority).rank()
    }

    /// As [`INSERT`] takes them.
    pub(crate) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.destination,
            &self.id,
            &self.priority,
            &self.waiting,
            &self.sent,
            &self.expires,
            &self.size,
            &self.chunks,
            &self.body,
        ]
    }
}
