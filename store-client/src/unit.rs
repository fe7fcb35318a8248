//! A unit of work: what a transacted session does in several queues and topics, all of it or nothing.
//!
//! It is collected in memory and sent by [`Session::commit`]: so nothing waits in an open transaction for its client, and a
//! unit that met a deadlock or a lost connection can be run again from its beginning. Rolling back is dropping it.

use crate::append_once::{Write, in_transaction};
use crate::body;
use crate::claim::{self, Acknowledged, Delivery};
use crate::connection::Link;
use crate::error::Error;
use crate::message::{BODY_MAX, Draft, MessageId};
use crate::place;
use crate::removal::{self, Removed};
use crate::rows::{INSERT, NewRow};
use crate::session::Session;
use crate::topic;

/// Most bytes of bodies in one unit.
pub const UNIT_BYTES_MAX: usize = 256 << 20;
/// Most operations (messages appended, acknowledged, removed) in one unit.
pub const UNIT_OPERATIONS_MAX: usize = 10_000;

/// Operations that take effect together. Up to [`UNIT_OPERATIONS_MAX`] messages and [`UNIT_BYTES_MAX`] bytes of bodies.
///
/// Acknowledgements come first, then what is appended, in the order in which it was added.
#[derive(Debug, Default)]
pub struct Unit {
    drafts: Vec<(String, Draft)>,
    acknowledged: Vec<Acknowledged>,
    removed: Vec<Removed>,
    bytes: usize,
}

impl Unit {
    /// An empty unit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to a queue.
    ///
    /// # Errors
    /// The name cannot be stored, or the unit is full; the unit is as it was.
    pub fn append(&mut self, queue: &str, draft: impl Into<Draft>) -> Result<(), Error> {
        self.add(place::queue(queue)?, draft.into())
    }

    /// Publishes to a topic: stored for those who have a subscription when the unit is committed.
    ///
    /// # Errors
    /// As [`Unit::append`].
    pub fn publish(&mut self, topic: &str, draft: impl Into<Draft>) -> Result<(), Error> {
        self.add(place::topic(topic)?, draft.into())
    }

    /// Acknowledges all messages of a delivery, and ends it.
    ///
    /// # Errors
    /// The unit is full; the unit is as it was.
    pub fn acknowledge(&mut self, delivery: &Delivery) -> Result<(), Error> {
        self.add_acknowledged(Acknowledged::all(delivery))
    }

    /// Acknowledges some messages of a delivery, which stays. Those that are no part of it are not looked at.
    ///
    /// # Errors
    /// As [`Unit::acknowledge`].
    pub fn acknowledge_some(&mut self, delivery: &Delivery, ids: &[MessageId]) -> Result<(), Error> {
        self.add_acknowledged(Acknowledged::some(delivery, ids))
    }

    /// How many messages it appends, acknowledges or removes.
    #[must_use]
    pub fn operations(&self) -> usize {
        let acknowledged: usize = self.acknowledged.iter().map(|part| part.messages.len()).sum();
        self.drafts.len() + acknowledged + self.removed.len()
    }

    pub(crate) fn remove(&mut self, removed: impl IntoIterator<Item = Removed>) -> Result<(), Error> {
        self.removed.extend(removed);
        self.room(0, 0)
    }

    fn add(&mut self, destination: String, draft: Draft) -> Result<(), Error> {
        if draft.body.len() as u64 > BODY_MAX {
            return Err(Error::input(format!("the body has {} bytes; allowed: up to {BODY_MAX}", draft.body.len())));
        }
        self.room(1, draft.body.len())?;
        self.bytes += draft.body.len();
        self.drafts.push((destination, draft));
        Ok(())
    }

    fn add_acknowledged(&mut self, part: Acknowledged) -> Result<(), Error> {
        self.room(part.messages.len(), 0)?;
        self.acknowledged.push(part);
        Ok(())
    }

    fn room(&self, operations: usize, bytes: usize) -> Result<(), Error> {
        let (operations, bytes) = (self.operations() + operations, self.bytes + bytes);
        // One body alone may be longer.
        if operations > UNIT_OPERATIONS_MAX || (bytes > UNIT_BYTES_MAX && operations > 1) {
            return Err(Error::input(format!(
                "the unit of work would have {operations} messages and {bytes} bytes; allowed: \
                 {UNIT_OPERATIONS_MAX} messages and {UNIT_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }
}

impl Session {
    /// Commits a unit of work, exactly once. Returns the ids of what it appended and published, in that order.
    ///
    /// # Errors
    /// A delivery that it acknowledges is another one's by now ([`Error::is_not_held`]), the endpoint refuses, or cannot be
    /// reached: then nothing was changed; or [`Error::is_unknown_outcome`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn commit(&mut self, unit: Unit) -> Result<Vec<MessageId>, Error> {
        let mut prepared = Prepared::new(self, unit).await?;
        self.write_once(&mut prepared).await?;
        Ok(prepared.ids())
    }
}

/// A unit with its ids, ready to be run, again and again.
pub(crate) struct Prepared {
    rows: Vec<NewRow>,
    /// Bodies that are too long for their row: index of the row, body.
    long: Vec<(usize, Vec<u8>)>,
    acknowledged: Vec<Acknowledged>,
    removed: Vec<Removed>,
    /// Messages that `removed` found.
    pub(crate) found: u64,
}

impl Prepared {
    pub(crate) async fn new(session: &mut Session, unit: Unit) -> Result<Self, Error> {
        let Unit { drafts, mut acknowledged, mut removed, .. } = unit;
        let first = if drafts.is_empty() {
            0
        } else {
            session.reserve(i64::try_from(drafts.len()).unwrap_or(i64::MAX)).await?
        };
        let (mut rows, mut long) = (Vec::with_capacity(drafts.len()), Vec::new());
        for (id, (destination, draft)) in (first..).zip(drafts) {
            let (mut row, body) = NewRow::new(destination, id, draft);
            if let Some(body) = body {
                row.chunks = body::pieces(&body);
                long.push((rows.len(), body));
            }
            rows.push(row);
        }
        // All units lock in one order, so that they do not wait for each other in a circle.
        acknowledged.sort_by(|a, b| (&a.source, a.claim).cmp(&(&b.source, b.claim)));
        removed.sort_by(|a, b| (&a.destination, a.id).cmp(&(&b.destination, b.id)));
        Ok(Self { rows, long, acknowledged, removed, found: 0 })
    }

    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.rows.iter().map(|row| MessageId(row.id)).collect()
    }

    /// Everything but BEGIN and COMMIT. `more` are rows whose bodies are written already.
    pub(crate) async fn run(&mut self, link: &Link, more: &[NewRow]) -> Result<(), Error> {
        claim::settle(link, &self.acknowledged).await?;
        let handled = self.acknowledged.iter().flat_map(Acknowledged::removals);
        let mut removals: Vec<Removed> = handled.chain(self.removed.iter().cloned()).collect();
        removals.sort_by(|a, b| (&a.destination, a.id).cmp(&(&b.destination, b.id)));
        self.found = removal::remove(link, &removals).await?;
        let published = topic::address(link, &mut self.rows).await?;
        for (index, body) in &self.long {
            // Nothing is stored of what nobody subscribed to.
            if self.rows[*index].waiting > 0 {
                body::write_long(link, self.rows[*index].id, body).await?;
            }
        }
        let stored = self.rows.iter().filter(|row| row.waiting > 0).chain(more);
        let sets: Vec<_> = stored.map(NewRow::values).collect();
        link.execute_each(INSERT, &sets).await?;
        topic::insert_pending(link, &published).await
    }
}

impl Write for Prepared {
    type Done = ();

    async fn attempt(&mut self, link: &Link, receipt: i64) -> Result<(), Error> {
        in_transaction(link, receipt, self.run(link, &[])).await
    }

    fn committed(&mut self) {}
}
