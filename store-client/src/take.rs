//! Taking messages from a source: what was given back or has lost its holder first, then what nobody has.

use std::time::{Duration, Instant, SystemTime};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::append_once::{Write, commit, end};
use crate::claim::Delivery;
use crate::connection::{BEGIN, Link};
use crate::error::Error;
use crate::floor::{Floor, Start};
use crate::message::Message;
use crate::place::{From, Source};
use crate::queue::checked_limit;
use crate::rows::{message, message_columns};
use crate::session::Session;

const MAKE_SOURCE: &str = "INSERT INTO store_source (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
const IS_SUBSCRIBED: &str = "SELECT id FROM store_subscription WHERE id = $1 AND NOT closed";
const LOCK_SOURCE: &str = "SELECT name FROM store_source WHERE name = $1 FOR UPDATE";
const NOW: &str = "SELECT clock_timestamp(), next FROM store_counter WHERE name = 'id'";
const CLAIMS: &str = "SELECT id, deliveries, expires, messages FROM store_claim WHERE source = $1 ORDER BY id";
/// The claim as it is, and stays: none if its holder is about to do something with it, or has done so.
const LOCK_CLAIM: &str = "SELECT id, deliveries, expires, messages FROM store_claim WHERE source = $1 AND id = $2 \
     FOR UPDATE SKIP LOCKED";
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

/// Longest lease.
const LEASE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Queues of which a session remembers where they begin.
const FLOORS_MAX: usize = 1000;

impl Session {
    /// Takes up to `limit` messages in order, for `lease` from now by the server's clock; none if there are none for the
    /// moment. It does not wait for messages. Other consumers do not get them until they are given back or the lease has
    /// ended. A message whose transaction took seconds may be seen some seconds late. What another consumer had comes as it had it: in one delivery of its own, which may be larger than `limit`.
    ///
    /// # Errors
    /// `limit` is not 1 to [`PAGE_MAX`](crate::PAGE_MAX), or the lease longer than a year; the subscription was removed
    /// ([`Error::is_not_held`]); otherwise as [`Session::append`].
    ///
    /// # Cancel safety
    /// A dropped one may have taken messages: they come again when the lease ends.
    pub async fn take(&mut self, source: &Source, limit: u32, lease: Duration) -> Result<Option<Delivery>, Error> {
        let limit = checked_limit(limit)?;
        if lease > LEASE_MAX {
            return Err(Error::input(format!("a lease of {lease:?}; allowed: up to {LEASE_MAX:?}")));
        }
        let key = source.key();
        // Of this take alone, not of the session: who has let a delivery's lease end does not hold the next one by it.
        let holder = self.reserve(2).await?;
        let floor = self.floors.remove(&key).unwrap_or_default();
        let mut take =
            Take { key, source, holder, claim: holder + 1, limit, lease, floor, has_tidied: false, taken: None };
        let done = self.write_once(&mut take).await;
        if self.floors.len() >= FLOORS_MAX {
            // It costs the next takes a look from the front.
            self.floors.clear();
        }
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
    /// It has made the source's row, or removed claims of which nothing was left.
    has_tidied: bool,
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
        Self { id: row.get(0), deliveries: row.get(1), expires: row.get(2), messages: row.get(3) }
    }
}

impl Write for Take<'_> {
    type Done = Option<Delivery>;

    async fn attempt(&mut self, link: &Link, receipt: i64) -> Result<Self::Done, Error> {
        self.has_tidied = false;
        let taken = async {
            self.taken = self.take(link).await?;
            match (&self.taken, self.has_tidied) {
                (Some(_), _) => commit(link, receipt).await,
                // Whether it is carried out makes no difference to anybody, so it has no receipt.
                (None, true) => link.batch("COMMIT").await,
                (None, false) => link.batch("ROLLBACK").await,
            }
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
        let (now, claims) = self.lock(link).await?;
        let (mut held, free): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(|claim| claim.expires > now.time);
        for claim in free {
            // Its holder may be late and not gone: whoever has the claim's row settles that. Messages are read behind the lock, so what
            // the holder has acknowledged by then is not among them.
            let locked = link.row(LOCK_CLAIM, &[&self.key, &claim.id]).await?.as_ref().map(Claim::from_row);
            match locked.filter(|locked| locked.expires <= now.time) {
                Some(claim) => {
                    if let Some(delivery) = self.take_over(link, &claim, &now).await? {
                        return Ok(Some(delivery));
                    }
                }
                None => held.push(claim),
            }
        }
        self.take_free(link, &held, &now).await
    }

    /// Begins, locks the source, and reads its claims under that lock.
    async fn lock(&mut self, link: &Link) -> Result<(Now, Vec<Claim>), Error> {
        for sql in [LOCK_SOURCE, NOW, CLAIMS] {
            link.prepare(sql).await?;
        }
        // One pipeline. The server begins each behind the end of the one before.
        let source = self.key.clone();
        let key: [&(dyn ToSql + Sync); 1] = [&source];
        let (begin, lock) = (link.batch(BEGIN), link.row(LOCK_SOURCE, &key));
        let ((), mut locked, mut now, mut claims) =
            tokio::try_join!(biased; begin, lock, link.row(NOW, &[]), link.rows(CLAIMS, &key))?;
        if locked.is_none() {
            // Nobody has taken from it yet: a row that is not there is locked by nobody.
            self.make_source(link).await?;
            locked = link.row(LOCK_SOURCE, &key).await?;
            now = link.row(NOW, &[]).await?;
            claims = link.rows(CLAIMS, &key).await?;
        }
        locked.ok_or_else(|| Error::not_held(format!("{} was removed at this moment", self.key)))?;
        let row = now.ok_or_else(|| Error::schema("the store's counter row is missing"))?;
        Ok((Now { time: row.get(0), counter: row.get(1) }, claims.iter().map(Claim::from_row).collect()))
    }

    async fn make_source(&mut self, link: &Link) -> Result<(), Error> {
        if let From::Subscription { id, .. } = &self.source.0
            && link.row(IS_SUBSCRIBED, &[id]).await?.is_none()
        {
            return Err(Error::not_held("the subscription was removed"));
        }
        self.has_tidied = true;
        link.execute(MAKE_SOURCE, &[&self.key]).await.map(drop)
    }

    /// Takes what a claim is left with; a claim of which nothing is left goes. The claim's row is locked.
    async fn take_over(&mut self, link: &Link, claim: &Claim, now: &Now) -> Result<Option<Delivery>, Error> {
        let destination = self.source.destination();
        let rows = match &self.source.0 {
            From::Queue(_) => link.rows(CLAIMED, &[&destination, &claim.messages, &now.time]).await?,
            From::Subscription { id, .. } => {
                link.rows(CLAIMED_SUBSCRIBED, &[&destination, id, &claim.messages, &now.time]).await?
            }
        };
        if rows.is_empty() {
            self.has_tidied = true;
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
