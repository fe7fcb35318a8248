//! A session: one connection, opened again when it is lost; reads that are tried again.

use std::collections::HashMap;
use std::time::Instant;

use tokio_postgres::Row;

use crate::append_once::Receipts;
use crate::block::Block;
use crate::connection::{Backoff, Link, Parameters};
use crate::error::Error;
use crate::floor::Floor;
use crate::store::Store;

/// Leases a block of ids. The number after it comes back.
const LEASE: &str = "UPDATE store_counter SET next = next + $1 WHERE name = 'id' RETURNING next";

/// One session with the store: it does one thing at a time (`&mut self`) on one connection. It may go from task to task.
///
/// A connection that is lost is opened again by the request that meets the loss, with exponential pauses and jitter, up to
/// [`Options::retry_limit`](crate::Options::retry_limit). Reads are then repeated; a write is repeated only when it is certain that it
/// was not carried out and never will be (see [`crate`], *Exactly once*).
///
/// # Cancel safety
/// A dropped future of a read leaves nothing. A dropped future of a write closes the connection, and its outcome is
/// unknown to the caller; nothing is ever left half done. The session can be used again after either.
pub struct Session {
    pub(crate) store: Store,
    /// Taken out by whoever works on it, and put back by who has come to an end with it.
    link: Option<Link>,
    block: Block,
    pub(crate) receipts: Receipts,
    pub(crate) floors: HashMap<String, Floor>,
}

impl Session {
    pub(crate) fn new(store: Store, link: Link) -> Self {
        Self { store, link: Some(link), block: Block::default(), receipts: Receipts::default(), floors: HashMap::new() }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.store.options())
    }

    /// The connection, or a new one; one try.
    pub(crate) async fn take_link(&mut self) -> Result<Link, Error> {
        match self.link.take() {
            Some(link) if !link.is_closed() => Ok(link),
            _ => self.store.connect_once().await,
        }
    }

    /// The next request opens a new connection.
    pub(crate) fn drop_link(&mut self) {
        self.link = None;
    }

    /// A connection on which nothing is open any more.
    pub(crate) fn put_link(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// The connection, or a new one, tried until the limit.
    pub(crate) async fn take_link_within(&mut self, backoff: &mut Backoff) -> Result<Link, Error> {
        loop {
            match self.take_link().await {
                Err(error) if (error.is_lost() || error.is_momentary()) && backoff.wait().await => {}
                taken => return taken,
            }
        }
    }

    /// Rows of a statement that changes nothing, or of which a repetition does no harm; tried until the limit.
    pub(crate) async fn read(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let mut backoff = self.backoff();
        loop {
            let link = self.take_link_within(&mut backoff).await?;
            match link.rows(sql, parameters).await {
                Ok(rows) => {
                    self.put_link(link);
                    return Ok(rows);
                }
                Err(error) => {
                    if !error.is_lost() {
                        self.put_link(link);
                    }
                    let again = error.leaves_doubt() || error.is_momentary();
                    if !(again && backoff.wait().await) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The first of `count` ids in a row that nobody else has or will have.
    pub(crate) async fn reserve(&mut self, count: i64) -> Result<i64, Error> {
        if let Some(first) = self.block.take(count, Instant::now()) {
            return Ok(first);
        }
        // A block whose answer is lost is a gap and no more.
        let (asked, size) = (Instant::now(), self.block.wanted(count, Instant::now()));
        let rows = self.read(LEASE, &[&size]).await?;
        let row =
            rows.first().ok_or_else(|| Error::schema("the store has no counter row 'id': its tables are damaged"))?;
        self.block.leased(row.get(0), size, asked);
        // However long that took, these were leased just now.
        self.block.take(count, asked).ok_or_else(|| Error::schema("the store's counter gave no ids"))
    }
}
