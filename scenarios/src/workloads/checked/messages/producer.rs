//! One producer: single messages, batches, units over two queues and the topic, publications. Some of its requests are
//! dropped on the way, as by a client that gives up.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use store_client::{Draft, Error, Priority, Session, Store, Unit};
use tokio::time::timeout;

use super::{Course, Messages, TOPIC, booked, consumer, failure, refuse_unknown};
use crate::Result;
use crate::workloads::Ended;

/// One in so many requests is given up.
const GIVEN_UP: f64 = 0.02;
/// At some time before this.
const GIVEN_UP_MS: u64 = 15;

/// What is sent together.
#[derive(Debug)]
struct Sent {
    queue: Vec<i64>,
    topic: Vec<i64>,
}

pub(super) async fn run(
    load: &Messages,
    course: &Course,
    (number, pair, pairs): (usize, usize, usize),
    store: &Store,
) -> Result<()> {
    let mut chance = course.chance(number);
    let mut session = store.session().await.map_err(failure)?;
    // What is published before a subscription is made is not for it.
    consumer::subscriptions(&mut session).await?;
    let mut key = (number as i64) << 32;
    while course.goes_on() {
        let mut next = || {
            key += 1;
            key
        };
        let sent = match chance.random_range(0..10) {
            0..6 => Sent { queue: vec![next()], topic: Vec::new() },
            6..8 => Sent { queue: (0..chance.random_range(2..10)).map(|_| next()).collect(), topic: Vec::new() },
            8 => Sent { queue: vec![next(), next()], topic: vec![next()] },
            _ => Sent { queue: Vec::new(), topic: vec![next()] },
        };
        let given_up = chance.random_bool(GIVEN_UP).then(|| Duration::from_millis(chance.random_range(0..GIVEN_UP_MS)));
        let began = Instant::now();
        let sending = send(&mut session, &sent, (pair, pairs), &mut chance);
        let ended = match given_up {
            None => {
                let ended = booked(course, began, &sending.await);
                refuse_unknown(course, &ended);
                ended
            }
            Some(limit) => match timeout(limit, sending).await {
                Ok(done) => booked(course, began, &done),
                Err(_) => Ended::Unknown("given up".to_owned()),
            },
        };
        course.note(|| json!({"queue": sent.queue, "topic": sent.topic, "ended": format!("{ended:?}")}));
        let mut fates = load.fates();
        fates.appended(&sent.queue, &ended);
        fates.published(&sent.topic, &ended);
        if matches!(ended, Ended::Unknown(_)) {
            fates.in_doubt(sent.queue, sent.topic);
        }
    }
    session.close().await;
    Ok(())
}

async fn send(
    session: &mut Session,
    sent: &Sent,
    (pair, pairs): (usize, usize),
    chance: &mut StdRng,
) -> Result<(), Error> {
    let own = consumer::incoming(pair);
    match (sent.queue.as_slice(), sent.topic.as_slice()) {
        ([one], []) => session.append(&own, one.to_string()).await.map(drop),
        (many, []) => session.append_batch(&own, many.iter().map(i64::to_string)).await.map(drop),
        ([], [one]) => session.publish(TOPIC, draft(*one, chance)?).await.map(drop),
        (queue, topic) => {
            let mut unit = Unit::new();
            for (index, key) in queue.iter().enumerate() {
                unit.append(&consumer::incoming((pair + index) % pairs), key.to_string())?;
            }
            for key in topic {
                unit.publish(TOPIC, draft(*key, chance)?)?;
            }
            session.commit(unit).await.map(drop)
        }
    }
}

fn draft(key: i64, chance: &mut StdRng) -> Result<Draft, Error> {
    Ok(Draft::new(key.to_string()).priority(Priority::new(chance.random_range(0..10))?))
}
