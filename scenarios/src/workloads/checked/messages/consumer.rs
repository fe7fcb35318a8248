//! One consumer: takes from its queue and, if there is one for it, its subscription, and moves what it got to another queue in
//! the same unit as the acknowledgement. Now and then it gives a delivery back, or dies with it.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::json;
use store_client::{Delivery, Session, Source, Store, Subscription, Unit};
use tokio::time::sleep;

use super::fates::Stream;
use super::{Course, LEASE, MADE_LIMIT, Messages, SUBSCRIPTIONS, TOPIC, booked, failure, refuse_unknown};
use crate::workloads::Ended;
use crate::{Result, fail};

/// Messages of a delivery.
const LIMIT: u32 = 20;
/// A producer's last request is done within this, and late messages are looked for again.
const QUIET: Duration = Duration::from_secs(6);
/// Wait where nothing is to be had.
const NOTHING: Duration = Duration::from_millis(10);

/// What a consumer does with a delivery.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Move,
    GiveBack,
    Die,
}

/// The queue from which the consumer of that pair takes.
pub(super) fn incoming(pair: usize) -> String {
    format!("in-{pair}")
}

/// Makes all subscriptions, or finds them.
pub(super) async fn subscriptions(session: &mut Session) -> Result<Vec<Subscription>> {
    let began = Instant::now();
    let mut made = Vec::new();
    while made.len() < SUBSCRIPTIONS {
        let name = format!("s{}", made.len());
        match session.subscribe(TOPIC, "scenarios", &name, None).await {
            Ok(subscription) => made.push(subscription),
            Err(error) if error.is_retryable() && began.elapsed() < MADE_LIMIT => {}
            Err(error) => return Err(failure(error)),
        }
    }
    Ok(made)
}

pub(super) async fn run(load: &Messages, course: &Course, (number, pair): (usize, usize), store: &Store) -> Result<()> {
    let mut chance = course.chance(number);
    let mut session = store.session().await.map_err(failure)?;
    let mut sources = vec![(Source::queue(&incoming(pair)).map_err(failure)?, Stream::Queue, format!("out-{pair}"))];
    if let Some(subscription) = subscriptions(&mut session).await?.get(pair) {
        sources.push((Source::subscription(subscription), Stream::Subscription(pair), format!("news-{pair}")));
    }
    while course.goes_on() {
        let mut idle = true;
        for (source, stream, to) in &sources {
            let began = Instant::now();
            let taken = session.take(source, LIMIT, LEASE).await;
            let Ok(Some(delivery)) = taken else {
                if taken.is_err() {
                    booked(course, began, &taken);
                }
                continue;
            };
            idle = false;
            if delivery.deliveries > 1 {
                load.fates().redelivered();
            }
            let what = match chance.random_range(0..100) {
                0..3 => Deed::GiveBack,
                3 => Deed::Die,
                _ => Deed::Move,
            };
            match what {
                Deed::Move => move_on(load, course, (&mut session, &delivery), (*stream, to)).await?,
                Deed::GiveBack => {
                    let began = Instant::now();
                    refuse_unknown(course, &booked(course, began, &session.give_back(delivery).await));
                }
                Deed::Die => session = store.session().await.map_err(failure)?,
            }
        }
        if idle {
            sleep(NOTHING).await;
        }
    }
    drain(load, course, &mut session, &sources).await?;
    session.close().await;
    Ok(())
}

/// Moves all that is left, what is under the leases of the dead included: nothing may be stranded.
async fn drain(
    load: &Messages,
    course: &Course,
    session: &mut Session,
    sources: &[(Source, Stream, String)],
) -> Result<()> {
    let mut last = Instant::now();
    while last.elapsed() < LEASE + QUIET {
        for (source, stream, to) in sources {
            if let Some(delivery) = session.take(source, LIMIT, LEASE).await.map_err(failure)? {
                move_on(load, course, (session, &delivery), (*stream, to)).await?;
                last = Instant::now();
            }
        }
        sleep(NOTHING).await;
    }
    Ok(())
}

async fn move_on(
    load: &Messages,
    course: &Course,
    (session, delivery): (&mut Session, &Delivery),
    (stream, to): (Stream, &str),
) -> Result<()> {
    let began = Instant::now();
    let (mut unit, mut keys) = (Unit::new(), Vec::new());
    for message in &delivery.messages {
        let Some(body) = message.bytes() else {
            return fail(format!("the body of message {} did not come with it", message.id));
        };
        keys.push(String::from_utf8_lossy(body).parse::<i64>()?);
        unit.append(to, body).map_err(failure)?;
    }
    unit.acknowledge(delivery).map_err(failure)?;
    let ended = booked(course, began, &session.commit(unit).await);
    refuse_unknown(course, &ended);
    course.note(|| json!({"moved": keys, "to": to, "ended": format!("{ended:?}")}));
    // What was refused was not moved, and is moved by the next one.
    if !matches!(ended, Ended::NotDone(_)) {
        load.fates().moved(stream, &keys, &ended);
    }
    Ok(())
}
