//! Topics with durable subscriptions: a message is stored once, with one small row for each subscription that has still to
//! acknowledge it, and goes with the last of them.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::claim::Delivery;
use crate::connection::Link;
use crate::error::Error;
use crate::message::{Draft, MessageId, check_name};
use crate::place::Source;
use crate::removal::{By, Removed};
use crate::rows::NewRow;
use crate::session::Session;
use crate::unit::Unit;

const SUBSCRIBE: &str = "INSERT INTO store_subscription (topic, client, name, id, selector, closed) VALUES ($1, $2, $3, $4, $5, false) \
     ON CONFLICT (topic, client, name) DO NOTHING";
const FIND: &str = "SELECT topic, client, name, id, selector, closed FROM store_subscription \
     WHERE topic = $1 AND client = $2 AND name = $3";
const LIST: &str = "SELECT topic, client, name, id, selector FROM store_subscription WHERE topic = $1 AND NOT closed ORDER BY client, name";
const IDS: &str = "SELECT id FROM store_subscription WHERE topic = $1 AND NOT closed ORDER BY id";
const CLOSED: &str = "SELECT topic, client, name, id, selector FROM store_subscription WHERE closed";
/// A subscription's id is never used again.
const ORPHANS: &str = "SELECT name FROM store_source WHERE name LIKE 's/%' AND NOT EXISTS \
     (SELECT 1 FROM store_subscription WHERE 's/' || id = name)";
const CLOSE: &str = "UPDATE store_subscription SET closed = true WHERE topic = $1 AND client = $2 AND name = $3 AND id = $4 RETURNING id";
const UNSUBSCRIBE: &str = "DELETE FROM store_subscription WHERE topic = $1 AND client = $2 AND name = $3 AND id = $4";
const INSERT_PENDING: &str = "INSERT INTO store_pending (subscription, rank, message) VALUES ($1, $2, $3)";
const PENDING: &str =
    "SELECT rank, message FROM store_pending WHERE subscription = $1 ORDER BY rank, message LIMIT 500";
const COUNT: &str = "SELECT count(*) FROM store_pending WHERE subscription = $1";
const CLAIMS: &str = "SELECT id FROM store_claim WHERE source = $1";
const DELETE_CLAIM: &str = "DELETE FROM store_claim WHERE source = $1 AND id = $2";
const DELETE_SOURCE: &str = "DELETE FROM store_source WHERE name = $1";

/// Most rows for subscriptions (messages times subscriptions) in one unit.
const PENDING_MAX: usize = 100_000;

/// A durable subscription: whoever has it gets what was published since it was made, whether connected at that time or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic's name.
    pub topic: String,
    /// Id of the client that it belongs to; with `name` it is unique in the topic.
    pub client: String,
    /// Its name.
    pub name: String,
    /// The selector's text, kept as it was given. The store does not read it: who takes messages acknowledges those that it does
    /// not select.
    pub selector: Option<String>,
    pub(crate) id: i64,
}

impl Subscription {
    fn from_row(row: &Row) -> Self {
        Self { topic: row.get(0), client: row.get(1), name: row.get(2), id: row.get(3), selector: row.get(4) }
    }
}

impl Session {
    /// Makes a durable subscription, or finds it. Every publication that begins when this has returned is stored for it.
    ///
    /// # Errors
    /// A name cannot be stored; the subscription exists with another selector (unsubscribe first, as JMS has it); the endpoint
    /// refuses or cannot be reached. Calling it again does no harm.
    ///
    /// # Cancel safety
    /// It is made or not; call it again.
    pub async fn subscribe(
        &mut self,
        topic: &str,
        client: &str,
        name: &str,
        selector: Option<&str>,
    ) -> Result<Subscription, Error> {
        [("topic", topic), ("client", client), ("subscription", name)]
            .iter()
            .try_for_each(|(what, name)| check_name(what, name))?;
        let mut found = self.read(FIND, &[&topic, &client, &name]).await?;
        if let Some(row) = found.first().filter(|row| row.get::<_, bool>(5)) {
            // Somebody has begun to remove it and has not come to the end.
            self.unsubscribe(&Subscription::from_row(row)).await?;
            found.clear();
        }
        if found.is_empty() {
            let id = self.reserve(1).await?;
            // Not a read, but the second time it changes nothing.
            self.read(SUBSCRIBE, &[&topic, &client, &name, &id, &selector]).await?;
            found = self.read(FIND, &[&topic, &client, &name]).await?;
        }
        let row = found
            .first()
            .filter(|row| !row.get::<_, bool>(5))
            .ok_or_else(|| Error::not_held(format!("subscription {name} of {topic} was removed meanwhile")))?;
        let subscription = Subscription::from_row(row);
        if subscription.selector.as_deref() != selector {
            return Err(Error::input(format!(
                "subscription {name} of client {client} in topic {topic} has the selector {:?}, not {selector:?}: unsubscribe first",
                subscription.selector
            )));
        }
        Ok(subscription)
    }

    /// The subscriptions of a topic, by client and name.
    ///
    /// # Errors
    /// The endpoint refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn subscriptions(&mut self, topic: &str) -> Result<Vec<Subscription>, Error> {
        Ok(self.read(LIST, &[&topic]).await?.iter().map(Subscription::from_row).collect())
    }

    /// Removes a subscription and what it had still to acknowledge, in portions. Removing one that is gone is no error.
    ///
    /// # Errors
    /// As [`Session::append`]. Calling it again does no harm.
    ///
    /// # Cancel safety
    /// A part of its messages may be gone. Call it again.
    pub async fn unsubscribe(&mut self, subscription: &Subscription) -> Result<(), Error> {
        let Subscription { topic, client, name, id, .. } = subscription;
        let source = Source::subscription(subscription).key();
        let mut backoff = self.backoff();
        // From now on nothing is published to it, but by those who have looked already: there is an end to what it has to acknowledge.
        self.read(CLOSE, &[topic, client, name, id]).await?;
        loop {
            self.acknowledge_everything(subscription).await?;
            let link = self.take_link_within(&mut backoff).await?;
            match link.execute(UNSUBSCRIBE, &[topic, client, name, id]).await {
                Ok(_) => {
                    self.put_link(link);
                    break;
                }
                // Something was published in between (23503), or it failed for a moment: from the beginning, which does no harm.
                Err(error) if error.leaves_doubt() || error.is_momentary() => {
                    if !error.is_lost() {
                        self.put_link(link);
                    }
                    if !backoff.wait().await {
                        return Err(error);
                    }
                }
                Err(error) => {
                    self.put_link(link);
                    return Err(error);
                }
            }
        }
        // Consumers need the source's row as long as there is something to take.
        self.forget_source(&source).await
    }

    async fn forget_source(&mut self, source: &str) -> Result<(), Error> {
        for claim in self.read(CLAIMS, &[&source]).await? {
            self.read(DELETE_CLAIM, &[&source, &claim.get::<_, i64>(0)]).await?;
        }
        self.read(DELETE_SOURCE, &[&source]).await.map(drop)
    }

    /// Completes what clients have left that ended in [`Session::unsubscribe`].
    pub(crate) async fn sweep_subscriptions(&mut self) -> Result<(), Error> {
        for row in self.read(CLOSED, &[]).await? {
            self.unsubscribe(&Subscription::from_row(&row)).await?;
        }
        for row in self.read(ORPHANS, &[]).await? {
            self.forget_source(row.get(0)).await?;
        }
        Ok(())
    }

    async fn acknowledge_everything(&mut self, subscription: &Subscription) -> Result<(), Error> {
        loop {
            let rows = self.read(PENDING, &[&subscription.id]).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let removed = rows.iter().map(|row| Removed {
                destination: format!("t/{}", subscription.topic),
                id: row.get(1),
                rank: row.get(0),
                by: By::Subscription(subscription.id),
            });
            self.remove_all(removed.collect()).await?;
        }
    }

    /// Publishes one message, exactly once: stored for all subscriptions of the topic, or not at all if there are none. The id is
    /// given either way.
    ///
    /// # Errors
    /// As [`Session::append`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn publish(&mut self, topic: &str, draft: impl Into<Draft> + Send) -> Result<MessageId, Error> {
        let mut unit = Unit::new();
        unit.publish(topic, draft)?;
        self.commit(unit).await.map(|ids| ids[0])
    }

    /// How many messages a subscription has still to acknowledge, those that are with a consumer or expired included.
    ///
    /// # Errors
    /// The endpoint refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing remains of a dropped one.
    pub async fn count_pending(&mut self, subscription: &Subscription) -> Result<u64, Error> {
        let rows = self.read(COUNT, &[&subscription.id]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    }

    /// Takes messages of a subscription, the highest priority first, then in the order of ids: [`Session::take`].
    ///
    /// # Errors
    /// As [`Session::take`].
    ///
    /// # Cancel safety
    /// As [`Session::take`].
    pub async fn take_subscribed(
        &mut self,
        subscription: &Subscription,
        limit: u32,
        lease: Duration,
    ) -> Result<Option<Delivery>, Error> {
        self.take(&Source::subscription(subscription), limit, lease).await
    }
}

/// A row of store_pending that goes with a message.
pub(crate) struct Pending {
    subscription: i64,
    rank: i16,
    message: i64,
}

/// Finds out for whom the rows of topics are; sets their `waiting`, to 0 where there is nobody.
pub(crate) async fn address(link: &Link, rows: &mut [NewRow]) -> Result<Vec<Pending>, Error> {
    let mut pending = Vec::new();
    let mut last: Option<(String, Vec<i64>)> = None;
    for row in rows {
        let Some(topic) = row.destination.strip_prefix("t/") else { continue };
        let subscriptions = match last.take() {
            Some((known, ids)) if known == topic => ids,
            _ => link.rows(IDS, &[&topic]).await?.iter().map(|row| row.get(0)).collect(),
        };
        let (rank, message) = (row.rank(), row.id);
        pending.extend(subscriptions.iter().map(|&subscription| Pending { subscription, rank, message }));
        last = Some((topic.to_owned(), subscriptions.clone()));
        if pending.len() > PENDING_MAX {
            return Err(Error::input(format!(
                "the unit of work is for more than {PENDING_MAX} subscriptions and messages together; allowed: fewer messages"
            )));
        }
        row.waiting = i32::try_from(subscriptions.len()).unwrap_or(i32::MAX);
    }
    Ok(pending)
}

pub(crate) async fn insert_pending(link: &Link, pending: &[Pending]) -> Result<(), Error> {
    let sets: Vec<Vec<&(dyn ToSql + Sync)>> =
        pending.iter().map(|row| vec![&row.subscription as _, &row.rank as _, &row.message as _]).collect();
    link.execute_each(INSERT_PENDING, &sets).await.map(drop)
}
