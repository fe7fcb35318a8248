//! The store client as a load: producers, and consumers that move what they take to another queue. Every message is
//! somewhere, and only once: with exactly-once append on, no fault may cost one or double one.

mod consumer;
mod fates;
mod producer;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store_client::{Error, Store};

use super::{Course, SCHEMA, Workload};
use crate::sql::Endpoint;
use crate::workloads::Ended;
use crate::{Failure, Result, Summary};
use fates::{Fates, Place};

/// The topic to which producers publish.
const TOPIC: &str = "news";
/// Durable subscriptions of it, made before the first message.
const SUBSCRIPTIONS: usize = 2;
/// A consumer that dies with a delivery keeps it from the others for so long.
const LEASE: Duration = Duration::from_secs(5);
/// Longest time for tables and subscriptions to be made.
const MADE_LIMIT: Duration = Duration::from_secs(60);

/// The load. Even clients produce, odd ones consume.
#[derive(Debug, Default)]
pub struct Messages {
    fates: Mutex<Fates>,
}

impl Workload for Messages {
    /// The store makes its own.
    fn tables(&self) -> String {
        String::new()
    }

    async fn client(&self, course: &Course, number: usize) -> Result<()> {
        let store = Store::open(&url(&course.endpoint)).map_err(failure)?;
        store.migrate().await.map_err(failure)?;
        let (pair, pairs) = (number / 2, course.clients.div_ceil(2));
        if number.is_multiple_of(2) {
            producer::run(self, course, (number, pair, pairs), &store).await
        } else {
            consumer::run(self, course, (number, pair), &store).await
        }
    }

    async fn check(&self, course: &Course, endpoint: &Endpoint) -> Result<()> {
        let place = Place::read(endpoint).await?;
        let drained = course.clients.is_multiple_of(2) && course.clients >= 2 * SUBSCRIPTIONS;
        self.fates().check(&endpoint.shown(), &place, drained)
    }

    fn figures(&self, summary: Summary) -> Summary {
        self.fates().figures(summary).with("lost", 0).with("doubled", 0)
    }
}

impl Messages {
    fn fates(&self) -> MutexGuard<'_, Fates> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store in the loads' schema.
fn url(endpoint: &Endpoint) -> String {
    format!("{}?options=-csearch_path%3D{SCHEMA}", endpoint.url())
}

fn failure(error: Error) -> Failure {
    Failure::new(error.to_string())
}

/// With exactly-once append on nobody is left in doubt, as long as the endpoint comes back within the limits.
fn refuse_unknown(course: &Course, ended: &Ended) {
    if let Ended::Unknown(text) = ended {
        course.wrong(format!("an unknown outcome: {text}"));
    }
}

/// The session's request, as it ended for its client; booked.
fn booked<T>(course: &Course, began: Instant, result: &Result<T, Error>) -> Ended {
    let ended = match result {
        Ok(_) => Ended::Done,
        Err(error) if error.is_unknown_outcome() => Ended::Unknown(error.to_string()),
        Err(error) if error.is_not_held() => Ended::NotDone("not held".to_owned()),
        Err(error) if error.is_retryable() => Ended::NotDone(error.sqlstate().unwrap_or("lost").to_owned()),
        Err(error) => Ended::Unexpected(error.to_string()),
    };
    course.book(began, &ended);
    ended
}
