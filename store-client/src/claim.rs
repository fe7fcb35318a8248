//! How messages are handed to consumers, and come again when a consumer dies.
//!
//! A **delivery** is up to a page of messages under a lease: a row of store_claim with the ids, the holder, when the lease ends by
//! the server's clock, and how often they were handed out. Others pass over these messages until they are acknowledged,
//! given back, or the lease has ended; then whoever comes next takes over the row, and the count goes up. Who hands out messages of a source
//! holds the lock of its row in store_source for that moment, so nobody gets what another is getting.

use std::time::{Duration, SystemTime};

use tokio_postgres::types::ToSql;

use crate::append_once::{Write, in_transaction};
use crate::connection::Link;
use crate::error::Error;
use crate::message::{Message, MessageId};
use crate::place::{From, Source};
use crate::removal::{By, Removed};
use crate::session::Session;
use crate::unit::Unit;

const END: &str = "DELETE FROM store_claim WHERE source = $1 AND id = $2 AND holder = $3";
const HOLDER: &str = "SELECT holder FROM store_claim WHERE source = $1 AND id = $2 FOR UPDATE";
const GIVE_BACK: &str = "UPDATE store_claim SET holder = 0, expires = $4 WHERE source = $1 AND id = $2 AND holder = $3";
const EXTEND: &str = "UPDATE store_claim SET expires = now() + make_interval(secs => $4) \
     WHERE source = $1 AND id = $2 AND holder = $3 RETURNING expires";

/// Messages that were handed to this consumer, under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// How often they were handed out, this time included: 1 for the first. Whether to give up on them is the caller's decision.
    pub deliveries: u32,
    /// When the lease ends, by the server's clock.
    pub lease_ends: SystemTime,
    pub(crate) source: Source,
    pub(crate) claim: i64,
    pub(crate) holder: i64,
}

impl Delivery {
    /// The ids of its messages, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<MessageId> {
        self.messages.iter().map(|message| message.id).collect()
    }

    fn lost(&self) -> Error {
        lost(&self.source.key())
    }
}

fn lost(source: &str) -> Error {
    Error::not_held(format!(
        "the delivery from {source} is not this consumer's any more: its lease ended, or it was acknowledged"
    ))
}

impl Session {
    /// Acknowledges all messages of a delivery, exactly once, and ends it.
    ///
    /// # Errors
    /// The lease has ended and another consumer has the messages ([`Error::is_not_held`]); otherwise as [`Session::commit`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn acknowledge(&mut self, delivery: &Delivery) -> Result<(), Error> {
        let mut unit = Unit::new();
        unit.acknowledge(delivery)?;
        self.commit(unit).await.map(drop)
    }

    /// Acknowledges some messages of a delivery, exactly once; the others stay with this consumer. The last part is better
    /// acknowledged by [`Session::acknowledge`], which ends the delivery.
    ///
    /// # Errors
    /// As [`Session::acknowledge`].
    ///
    /// # Cancel safety
    /// As for every write: see [`Session`].
    pub async fn acknowledge_some(&mut self, delivery: &Delivery, ids: &[MessageId]) -> Result<(), Error> {
        let mut unit = Unit::new();
        unit.acknowledge_some(delivery, ids)?;
        self.commit(unit).await.map(drop)
    }

    /// Gives back what is not acknowledged: the next consumer gets it at once, counted as delivered once more.
    ///
    /// # Errors
    /// The lease has ended and another consumer has the messages ([`Error::is_not_held`]); the endpoint refuses or cannot be
    /// reached: then the messages come again when the lease ends.
    ///
    /// # Cancel safety
    /// Given back or not; if not, they come again when the lease ends.
    pub async fn give_back(&mut self, delivery: Delivery) -> Result<(), Error> {
        self.write_once(&mut GivenBack(delivery)).await
    }

    /// Begins the lease anew, for `lease` from now by the server's clock.
    ///
    /// # Errors
    /// As [`Session::give_back`].
    ///
    /// # Cancel safety
    /// The lease may be longer than the delivery says.
    pub async fn extend(&mut self, delivery: &mut Delivery, lease: Duration) -> Result<(), Error> {
        let Delivery { claim, holder, .. } = delivery;
        let rows = self.read(EXTEND, &[&delivery.source.key(), claim, holder, &lease.as_secs_f64()]).await?;
        let row = rows.first().ok_or_else(|| delivery.lost())?;
        delivery.lease_ends = row.get(0);
        Ok(())
    }
}

/// A delivery that is given back.
struct GivenBack(Delivery);

impl Write for GivenBack {
    type Done = ();

    async fn attempt(&mut self, link: &Link, receipt: i64) -> Result<(), Error> {
        let Delivery { source, claim, holder, .. } = &self.0;
        in_transaction(link, receipt, async {
            let given = link.execute(GIVE_BACK, &[&source.key(), claim, holder, &SystemTime::UNIX_EPOCH]).await?;
            if given == 1 { Ok(()) } else { Err(self.0.lost()) }
        })
        .await
    }

    fn committed(&mut self) {}
}

/// The part of a unit of work that acknowledges messages of one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) source: String,
    pub(crate) claim: i64,
    holder: i64,
    /// Nothing of it is left afterwards.
    whole: bool,
    destination: String,
    subscription: Option<i64>,
    /// Rank and id of each.
    pub(crate) messages: Vec<(i16, i64)>,
}

impl Acknowledged {
    pub(crate) fn all(delivery: &Delivery) -> Self {
        Self::of(delivery, true, |_| true)
    }

    pub(crate) fn some(delivery: &Delivery, ids: &[MessageId]) -> Self {
        Self::of(delivery, false, |message| ids.contains(&message.id))
    }

    fn of(delivery: &Delivery, whole: bool, chosen: impl Fn(&&Message) -> bool) -> Self {
        let messages = delivery.messages.iter().filter(chosen);
        Self {
            source: delivery.source.key(),
            claim: delivery.claim,
            holder: delivery.holder,
            whole,
            destination: delivery.source.destination().to_owned(),
            subscription: match &delivery.source.0 {
                From::Queue(_) => None,
                From::Subscription { id, .. } => Some(*id),
            },
            messages: messages.map(|message| (message.priority.rank(), message.id.0)).collect(),
        }
    }

    pub(crate) fn removals(&self) -> impl Iterator<Item = Removed> + '_ {
        self.messages.iter().map(|&(rank, id)| Removed {
            destination: self.destination.clone(),
            id,
            rank,
            by: self.subscription.map_or(By::All, By::Subscription),
        })
    }
}

/// Makes sure that each delivery is still its holder's, until the transaction's end, and ends those that are whole.
pub(crate) async fn settle(link: &Link, parts: &[Acknowledged]) -> Result<(), Error> {
    for part in parts {
        let keys: [&(dyn ToSql + Sync); 2] = [&part.source, &part.claim];
        let ours = if part.whole {
            link.execute(END, &[keys[0], keys[1], &part.holder]).await? == 1
        } else {
            link.row(HOLDER, &keys).await?.is_some_and(|row| row.get::<_, i64>(0) == part.holder)
        };
        if !ours {
            return Err(lost(&part.source));
        }
    }
    Ok(())
}
