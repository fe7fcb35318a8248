//! Queues: append, look, count, remove, expire. (How messages are handed to consumers: [`crate::claim`].)

use std::time::SystemTime;

use tokio_postgres::types::ToSql;

use crate::append_once::Write;
use crate::connection::Link;
use crate::error::Error;
use crate::message::{Draft, INLINE_MAX, Message, MessageId, Priority};
use crate::place;
use crate::removal::{By, Removed};
use crate::rows::{INSERT_WITH_RECEIPT, NewRow, message, message_columns};
use crate::session::Session;
use crate::unit::{Prepared, Unit};

const PAGE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM store_message m WHERE m.destination = $1 AND m.id > $2 ORDER BY m.id LIMIT $3"
);
const COUNT: &str = "SELECT count(*) FROM store_message WHERE destination = $1";
const EXPIRED: &str = "SELECT id, priority FROM store_message WHERE destination = $1 AND expires <= now() LIMIT $2";
const SUBSCRIPTIONS: &str = "SELECT id FROM store_subscription WHERE topic = $1";
const STATS: &str = "SELECT destination, count(*), sum(size)::bigint, min(id), min(sent) FROM store_message \
     WHERE destination <> '' GROUP BY destination ORDER BY destination";

/// Most messages of one page or delivery.
pub const PAGE_MAX: u32 = 1000;
/// Expired messages are removed by so many in one transaction.
const EXPIRED_AT_ONCE: i64 = 500;

/// What a queue or topic holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// `queue` or `topic`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Messages, those that are with a consumer or expired included.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The first one's id.
    pub first: MessageId,
    /// When the oldest one was sent, by its producer's clock.
    pub oldest: SystemTime,
}

impl Session {
    /// Appends one message, exactly once, in a transaction of its own.
    ///
    /// # Errors
    /// The name cannot be stored; the endpoint refuses, or cannot be reached: then nothing was changed; or
    /// [`Error::is_unknown_outcome`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn append(&mut self, queue: &str, draft: impl Into<Draft> + Send) -> Result<MessageId, Error> {
        let draft = draft.into();
        if draft.body.len() > INLINE_MAX {
            return self.append_batch(queue, [draft]).await.map(|ids| ids[0]);
        }
        let destination = place::queue(queue)?;
        let id = self.reserve(1).await?;
        let (row, _) = NewRow::new(destination, id, draft);
        self.write_once(&mut Single(row)).await?;
        Ok(MessageId(id))
    }

    /// Appends all messages or none, exactly once; their ids ascend. Up to
    /// [`UNIT_OPERATIONS_MAX`](crate::UNIT_OPERATIONS_MAX) messages and [`UNIT_BYTES_MAX`](crate::UNIT_BYTES_MAX) bytes.
    ///
    /// # Errors
    /// As [`Session::append`]; too many messages or bytes.
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn append_batch<I, D>(&mut self, queue: &str, drafts: I) -> Result<Vec<MessageId>, Error>
    where
        I: IntoIterator<Item = D>,
        D: Into<Draft>,
    {
        let mut unit = Unit::new();
        drafts.into_iter().try_for_each(|draft| unit.append(queue, draft))?;
        if unit.operations() == 0 {
            return Ok(Vec::new());
        }
        self.commit(unit).await
    }

    /// Looks at up to `limit` messages with ids above `after`, in the order of their ids, whether they are with a consumer or
    /// not. It hands out nothing. A message of another producer may still come to lie before one that was seen.
    ///
    /// # Errors
    /// `limit` is not 1 to [`PAGE_MAX`]; the endpoint refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn browse(&mut self, queue: &str, after: Option<MessageId>, limit: u32) -> Result<Vec<Message>, Error> {
        let (destination, after) = (place::queue(queue)?, after.map_or(0, MessageId::number));
        let rows = self.read(PAGE, &[&destination, &after, &checked_limit(limit)?]).await?;
        Ok(rows.iter().map(message).collect())
    }

    /// How many messages the queue holds, those that are with a consumer or expired included.
    ///
    /// # Errors
    /// The endpoint refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn count(&mut self, queue: &str) -> Result<u64, Error> {
        let rows = self.read(COUNT, &[&place::queue(queue)?]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// What each queue and topic holds, by name. Reads the whole table.
    ///
    /// # Errors
    /// The endpoint refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn stats(&mut self) -> Result<Vec<Stats>, Error> {
        let rows = self.read(STATS, &[]).await?;
        let stats = |row: &tokio_postgres::Row| {
            let key: String = row.get(0);
            let kind = if key.starts_with("q/") { "queue" } else { "topic" };
            Stats {
                kind,
                name: key.get(2..).unwrap_or_default().to_owned(),
                messages: row.get::<_, i64>(1).unsigned_abs(),
                bytes: row.get::<_, i64>(2).unsigned_abs(),
                first: MessageId(row.get(3)),
                oldest: row.get(4),
            }
        };
        Ok(rows.iter().map(stats).collect())
    }

    /// Removes messages of a queue, whoever has them, all in one transaction; returns how many were there.
    ///
    /// # Errors
    /// More than [`UNIT_OPERATIONS_MAX`](crate::UNIT_OPERATIONS_MAX) ids; otherwise as [`Session::append`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`]. Removing again does no harm.
    pub async fn remove(&mut self, queue: &str, ids: &[MessageId]) -> Result<u64, Error> {
        let destination = place::queue(queue)?;
        let removed = ids.iter().map(|id| Removed { destination: destination.clone(), id: id.0, rank: 0, by: By::All });
        self.remove_all(removed.collect()).await
    }

    /// Removes what has expired by the server's clock from a queue; returns how many. Expired messages are never
    /// delivered, removed or not.
    ///
    /// # Errors
    /// As [`Session::append`]. Calling it again does no harm.
    ///
    /// # Cancel safety
    /// What was removed is removed; call it again.
    pub async fn remove_expired(&mut self, queue: &str) -> Result<u64, Error> {
        let destination = place::queue(queue)?;
        self.expire(&destination, None).await
    }

    /// Removes what has expired from a topic, for all its subscriptions; returns how many messages.
    ///
    /// # Errors
    /// As [`Session::remove_expired`].
    ///
    /// # Cancel safety
    /// What was removed is removed; call it again.
    pub async fn remove_expired_from_topic(&mut self, topic: &str) -> Result<u64, Error> {
        let destination = place::topic(topic)?;
        self.expire(&destination, Some(topic)).await
    }

    async fn expire(&mut self, destination: &str, topic: Option<&str>) -> Result<u64, Error> {
        let mut count = 0;
        loop {
            let rows = self.read(EXPIRED, &[&destination, &EXPIRED_AT_ONCE]).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            // Behind the messages: so these are all subscriptions that one of them may have been published to.
            let by = match topic {
                None => By::All,
                Some(topic) => {
                    let found = self.read(SUBSCRIPTIONS, &[&topic]).await?;
                    By::Topic(found.iter().map(|row| row.get(0)).collect())
                }
            };
            let removed = rows.iter().map(|row| Removed {
                destination: destination.to_owned(),
                id: row.get(0),
                rank: Priority::from_stored(row.get(1)).rank(),
                by: by.clone(),
            });
            count += self.remove_all(removed.collect()).await?;
        }
    }

    pub(crate) async fn remove_all(&mut self, removed: Vec<Removed>) -> Result<u64, Error> {
        if removed.is_empty() {
            return Ok(0);
        }
        let mut unit = Unit::new();
        unit.remove(removed)?;
        let mut prepared = Prepared::new(self, unit).await?;
        self.write_once(&mut prepared).await?;
        Ok(prepared.found)
    }
}

pub(crate) fn checked_limit(limit: u32) -> Result<i64, Error> {
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(i64::from(limit))
    } else {
        Err(Error::input(format!("a page of {limit} messages; allowed: 1 to {PAGE_MAX}")))
    }
}

/// One message and its receipt: one statement, which is a transaction by itself.
struct Single(NewRow);

impl Write for Single {
    type Done = ();

    async fn attempt(&mut self, link: &Link, receipt: i64) -> Result<(), Error> {
        let mut values: Vec<&(dyn ToSql + Sync)> = self.0.values();
        // The receipt's age counts from this try on.
        let now = SystemTime::now();
        values.extend([&receipt as &(dyn ToSql + Sync), &now]);
        link.execute(INSERT_WITH_RECEIPT, &values).await.map(drop)
    }

    fn committed(&mut self) {}
}
