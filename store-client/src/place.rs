//! Names in the tables: of queues, topics, and what messages are handed out from.

use crate::error::Error;
use crate::message::check_name;
use crate::topic::Subscription;

/// The key of a queue's messages.
pub(crate) fn queue(name: &str) -> Result<String, Error> {
    check_name("queue", name)?;
    Ok(format!("q/{name}"))
}

/// The key of a topic's messages.
pub(crate) fn topic(name: &str) -> Result<String, Error> {
    check_name("topic", name)?;
    Ok(format!("t/{name}"))
}

/// What a consumer takes messages from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(pub(crate) From);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// The key of a queue's messages.
    Queue(String),
    Subscription {
        id: i64,
        /// The key of its topic's messages.
        topic: String,
    },
}

impl Source {
    /// A queue; it need not hold anything.
    ///
    /// # Errors
    /// The name is empty, longer than [`NAME_MAX`](crate::NAME_MAX) bytes, or holds a zero byte.
    pub fn queue(name: &str) -> Result<Self, Error> {
        Ok(Self(From::Queue(queue(name)?)))
    }

    /// A durable subscription.
    #[must_use]
    pub fn subscription(subscription: &Subscription) -> Self {
        let topic = format!("t/{}", subscription.topic);
        Self(From::Subscription { id: subscription.id, topic })
    }

    /// Its name in the tables of claims and sources.
    pub(crate) fn key(&self) -> String {
        match &self.0 {
            From::Queue(key) => key.clone(),
            From::Subscription { id, .. } => format!("s/{id}"),
        }
    }

    /// Where its messages are.
    pub(crate) fn destination(&self) -> &str {
        match &self.0 {
            From::Queue(key) => key,
            From::Subscription { topic, .. } => topic,
        }
    }
}
