//! Taking messages from a source: what was given back or has lost its holder first, then what nobody has.

use std::time::{Duration, Instant, SystemTime};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::append_once::{Write, commit, end};
use crate::claim::Delivery;
use crate::connection::Link;
use crate::error::Error;
use crate::floor::{Floor, Start};
use crate::message::Message;
use crate::place::{From, Source};
use crate::queue::checked_limit;
use crate::rows::{message, message_columns};
use crate::session::Session;

const KNOW_SOURCE: &str = "INSERT INTO store_source (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
const LOCK_SOURCE: &str = "SELECT name FROM store_source WHERE name = $1 FOR UPDATE";
const NOW: &str = "SELECT clock_timestamp(), next FROM store_counter WHERE name = 'id'";
const CLAIMS: &str = "SELECT id, holder, deliveries, expires, messages FROM store_claim WHERE source = $1 ORDER BY id";
const CLAIM: &str =
    "INSERT INTO store_claim (source, id, holder, deliveries, expires, messages) VALUES ($1, $2, $3, 1, $4, $5)";
const TAKE_OVER: &str =
    "UPDATE store_claim SET holder = $3, deliveries = $4, expires = $5 WHERE source = $1 AND id = $2";
const END: &str = "DELETE FROM store_claim WHERE source = $1 AND id = $2";
const FREE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM store_message m WHERE m.destination = $1 AND m.id > $2 AND m.id <> ALL ($3) \
     AND (m.expires IS NULL OR m.expires > $4) ORDER BY m.id LIMIT $5"
);
const CLAIMED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM store_message m WHERE m.destination = $1 AND m.id = ANY ($2) \
     AND (m.expires IS NULL OR m.expires > $3) ORDER BY m.id"
);
const FREE_SUBSCRIBED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM store_pending p JOIN store_message m ON m.destination = $1 AND m.id = p.message WHERE p.subscription = $2 \
     AND p.message <> ALL ($3) AND (m.expires IS NULL OR m.expires > $4) ORDER BY p.rank, p.message LIMIT $5"
);
const CLAIMED_SUBSCRIBED: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM store_message m JOIN store_pending p ON p.subscription = $2 AND p.rank = 9 - m.priority AND p.message = m.id \
     WHERE m.destination = $1 AND m.id = ANY ($3) AND (m.expires IS NULL OR m.expires > $4) ORDER BY p.rank, p.message"
);

impl Session {
    /// Takes up to `limit` messages in order, for `lease` from now by the server's clock; none if there are none for the
    /// moment. It does not wait for messages. Other consumers do not get them until they are given back or the lease has
    /// ended. A message whose transaction took seconds may be seen some seconds late. What another consumer had comes as it had it: in one delivery of its own, which may be larger than `limit`.
    ///
    /// # Errors
    /// `limit` is not 1 to [`PAGE_MAX`](crate::PAGE_MAX); otherwise as [`Session::append`].
    ///
    /// # Cancel safety
    /// A dropped one may have taken messages: they come again when the lease ends.
    pub async fn take(&mut self, source: &Source, limit: u32, lease: Duration) -> Result<Option<Delivery>, Error> {
        let limit = checked_limit(limit)?;
        let holder = match self.holder {
            Some(holder) => holder,
            None => self.reserve(1).await?,
        };
        self.holder = Some(holder);
        let key = source.key();
        if !self.known_sources.contains(&key) {
            self.read(KNOW_SOURCE, &[&key]).await?;
            self.known_sources.insert(key.clone());
        }
        let claim = self.reserve(1).await?;
        let floor = self.floors.remove(&key).unwrap_or_default();
        let mut take = Take { key, source, holder, claim, limit, lease, floor, taken: None };
        let done = self.write_once(&mut take).await;
        self.floors.insert(take.key, take.floor);
        done
    }
}

/// One take, to be repeated until it is committed.
struct Take<'a> {
    key: String,
    source: &'a Source,
    holder: i64,
    /// Id of the claim that it makes.
    claim: i64,
    limit: i64,
    lease: Duration,
    floor: Floor,
    taken: Option<Delivery>,
}

/// The time of the server and its counter of ids.
struct Now {
    time: SystemTime,
    counter: i64,
}

/// A row of store_claim.
struct Claim {
    id: i64,
    deliveries: i32,
    expires: SystemTime,
    messages: Vec<i64>,
}

impl Claim {
    fn from_row(row: &Row) -> Self {
        Self { id: row.get(0), deliveries: row.get(2), expires: row.get(3), messages: row.get(4) }
    }
}

impl Write for Take<'_> {
    type Done = Option<Delivery>;

    async fn attempt(&mut self, link: &Link, receipt: i64) -> Result<Self::Done, Error> {
        let taken = async {
            self.taken = self.take(link).await?;
            if self.taken.is_some() { commit(link, receipt).await } else { link.batch("ROLLBACK").await }
        };
        end(link, taken.await).await?;
        Ok(self.taken.clone())
    }

    fn committed(&mut self) -> Self::Done {
        self.taken.take()
    }

    fn left_receipt(&self) -> bool {
        self.taken.is_some()
    }
}

impl Take<'_> {
    async fn take(&mut self, link: &Link) -> Result<Option<Delivery>, Error> {
        for sql in [LOCK_SOURCE, NOW, CLAIMS] {
            link.prepare(sql).await?;
        }
        // One pipeline. The server begins each behind the end of the one before: the claims are read under the lock.
        let key: [&(dyn ToSql + Sync); 1] = [&self.key];
        let (begin, lock) = (link.batch("BEGIN"), link.row(LOCK_SOURCE, &key));
        let ((), _, now, claims) = tokio::try_join!(biased; begin, lock, link.row(NOW, &[]), link.rows(CLAIMS, &key))?;
        let row = now.ok_or_else(|| Error::schema("the store's counter row is missing"))?;
        let now = Now { time: row.get(0), counter: row.get(1) };
        let claims: Vec<Claim> = claims.iter().map(Claim::from_row).collect();
        let (held, free): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(|claim| claim.expires > now.time);
        for claim in &free {
            if let Some(delivery) = self.take_over(link, claim, &now).await? {
                return Ok(Some(delivery));
            }
        }
        self.take_free(link, &held, &now).await
    }

    /// Takes what a claim is left with; a claim of which nothing is left goes.
    async fn take_over(&self, link: &Link, claim: &Claim, now: &Now) -> Result<Option<Delivery>, Error> {
        let destination = self.source.destination();
        let rows = match &self.source.0 {
            From::Queue(_) => link.rows(CLAIMED, &[&destination, &claim.messages, &now.time]).await?,
            From::Subscription { id, .. } => {
                link.rows(CLAIMED_SUBSCRIBED, &[&destination, id, &claim.messages, &now.time]).await?
            }
        };
        if rows.is_empty() {
            link.execute(END, &[&self.key, &claim.id]).await?;
            return Ok(None);
        }
        let (deliveries, expires) = (claim.deliveries.saturating_add(1), now.time + self.lease);
        link.execute(TAKE_OVER, &[&self.key, &claim.id, &self.holder, &deliveries, &expires]).await?;
        Ok(Some(self.delivery(&rows, claim.id, deliveries, expires)))
    }

    async fn take_free(&mut self, link: &Link, held: &[Claim], now: &Now) -> Result<Option<Delivery>, Error> {
        let claimed: Vec<i64> = held.iter().flat_map(|claim| claim.messages.iter().copied()).collect();
        let destination = self.source.destination().to_owned();
        let rows = match self.source.0 {
            From::Queue(_) => {
                let start = self.floor.start(Instant::now());
                let rows = link.rows(FREE, &[&destination, &start.after, &claimed, &now.time, &self.limit]).await?;
                self.saw(start, &rows, &claimed, now);
                rows
            }
            From::Subscription { id, .. } => {
                link.rows(FREE_SUBSCRIBED, &[&destination, &id, &claimed, &now.time, &self.limit]).await?
            }
        };
        if rows.is_empty() {
            return Ok(None);
        }
        let expires = now.time + self.lease;
        let delivery = self.delivery(&rows, self.claim, 1, expires);
        let ids: Vec<i64> = delivery.messages.iter().map(|message| message.id.0).collect();
        link.execute(CLAIM, &[&self.key, &self.claim, &self.holder, &expires, &ids]).await?;
        Ok(Some(delivery))
    }

    fn saw(&mut self, start: Start, rows: &[Row], claimed: &[i64], now: &Now) {
        let first = rows.iter().map(|row| row.get(0)).chain(claimed.iter().copied()).min();
        self.floor.saw(start, first, now.counter, Instant::now());
    }

    fn delivery(&self, rows: &[Row], claim: i64, deliveries: i32, lease_ends: SystemTime) -> Delivery {
        let messages: Vec<Message> = rows.iter().map(message).collect();
        let source = self.source.clone();
        Delivery { messages, deliveries: deliveries.unsigned_abs(), lease_ends, source, claim, holder: self.holder }
    }
}
