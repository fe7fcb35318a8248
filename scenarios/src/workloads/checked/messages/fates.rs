//! What clients were told of each message, and where each is in the end.

use std::collections::BTreeSet;

use super::{SCHEMA, SUBSCRIPTIONS};
use crate::sql::Endpoint;
use crate::workloads::Ended;
use crate::workloads::unique_inserts::Journal;
use crate::{Result, Summary, fail};

/// Messages that a failure names.
const SHOWN: usize = 5;

/// Where a message goes: through a queue, or to one of the topic's subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Queue,
    Subscription(usize),
}

impl Stream {
    const ALL: [Self; 1 + SUBSCRIPTIONS] = [Self::Queue, Self::Subscription(0), Self::Subscription(1)];

    fn index(self) -> usize {
        match self {
            Self::Queue => 0,
            Self::Subscription(number) => 1 + number,
        }
    }
}

/// What clients were told.
#[derive(Debug, Default)]
pub(super) struct Fates {
    appended: Journal,
    published: Journal,
    /// What was sent together, and nobody knows whether it was stored: by queues and topic.
    in_doubt: Vec<(Vec<i64>, Vec<i64>)>,
    /// By stream: taken, and appended to another queue in the same unit as the acknowledgement.
    moved: [Journal; 1 + SUBSCRIPTIONS],
    /// Messages whose move was acknowledged twice.
    moved_twice: Vec<i64>,
    /// Deliveries that were not the first of their messages.
    redelivered: u64,
}

/// What a database holds: keys that wait, and keys that have been moved, by stream.
#[derive(Debug, Default)]
pub(super) struct Place {
    waiting: [Vec<i64>; 1 + SUBSCRIPTIONS],
    arrived: [Vec<i64>; 1 + SUBSCRIPTIONS],
    /// Messages of the topic that no subscription has to acknowledge, and which are there all the same.
    stuck: Vec<i64>,
}

impl Place {
    /// Reads the store's tables, past the store client.
    pub(super) async fn read(endpoint: &Endpoint) -> Result<Self> {
        let body = "convert_from(m.body, 'UTF8')";
        let messages = format!("{SCHEMA}.store_message m");
        let queue = |like: String| format!("select {body} from {messages} where m.destination like 'q/{like}'");
        let mut place = Self::default();
        place.waiting[0] = keys(endpoint, &queue("in-%".to_owned())).await?;
        place.arrived[0] = keys(endpoint, &queue("out-%".to_owned())).await?;
        for number in 0..SUBSCRIPTIONS {
            let pending = format!(
                "select {body} from {SCHEMA}.store_pending p join {SCHEMA}.store_subscription s on s.id = p.subscription \
                 left join {messages} on m.destination = 't/' || s.topic and m.id = p.message where s.name = 's{number}'"
            );
            place.waiting[1 + number] = keys(endpoint, &pending).await?;
            place.arrived[1 + number] = keys(endpoint, &queue(format!("news-{number}"))).await?;
        }
        let stuck = format!(
            "select {body} from {messages} where m.destination like 't/%' and m.waiting <> \
             (select count(*) from {SCHEMA}.store_pending p where p.message = m.id)"
        );
        place.stuck = keys(endpoint, &stuck).await?;
        Ok(place)
    }
}

async fn keys(endpoint: &Endpoint, sql: &str) -> Result<Vec<i64>> {
    let rows = endpoint.rows(sql).await?;
    let keys = rows.into_iter().flatten().map(|key| match key {
        Some(key) => Ok(key.parse::<i64>()?),
        None => fail("a subscription has still to acknowledge a message that is not there"),
    });
    keys.collect()
}

impl Fates {
    pub(super) fn appended(&mut self, keys: &[i64], ended: &Ended) {
        note(&mut self.appended, keys, ended);
    }

    pub(super) fn published(&mut self, keys: &[i64], ended: &Ended) {
        note(&mut self.published, keys, ended);
    }

    pub(super) fn in_doubt(&mut self, queue: Vec<i64>, topic: Vec<i64>) {
        self.in_doubt.push((queue, topic));
    }

    pub(super) fn moved(&mut self, stream: Stream, keys: &[i64], ended: &Ended) {
        let journal = &mut self.moved[stream.index()];
        if matches!(ended, Ended::Done) {
            self.moved_twice.extend(keys.iter().filter(|key| journal.acknowledged.contains(key)));
        }
        note(journal, keys, ended);
    }

    pub(super) fn redelivered(&mut self) {
        self.redelivered += 1;
    }

    pub(super) fn figures(&self, summary: Summary) -> Summary {
        let moved: usize = self.moved.iter().map(|journal| journal.acknowledged.len()).sum();
        summary
            .with("appended", self.appended.acknowledged.len())
            .with("published", self.published.acknowledged.len())
            .with("moved", moved)
            .with("redelivered", self.redelivered)
    }

    /// Everything that was acknowledged is in exactly one place; nothing else is anywhere.
    /// `drained`: consumers have taken all that there was.
    pub(super) fn check(&self, name: &str, place: &Place, drained: bool) -> Result<()> {
        if !self.moved_twice.is_empty() {
            return fail(format!("messages that two consumers have acknowledged: {:?}", shown(&self.moved_twice)));
        }
        if !place.stuck.is_empty() {
            return fail(format!("messages on {name} that nobody will ever remove: {:?}", shown(&place.stuck)));
        }
        let mut all = Vec::new();
        for stream in Stream::ALL {
            let (waiting, arrived) = (&place.waiting[stream.index()], &place.arrived[stream.index()]);
            let sent = if stream == Stream::Queue { &self.appended } else { &self.published };
            let mut found = BTreeSet::new();
            let twice: Vec<i64> = waiting.iter().chain(arrived).copied().filter(|key| !found.insert(*key)).collect();
            if !twice.is_empty() {
                return fail(format!("messages of {stream:?} that are there twice on {name}: {:?}", shown(&twice)));
            }
            let during = |what: &str| format!("{stream:?}, {what}");
            sent.compare(name, &found).map_err(|error| error.during(during("sent")))?;
            let arrived = arrived.iter().copied().collect();
            let moved = &self.moved[stream.index()];
            moved.compare(name, &arrived).map_err(|error| error.during(during("moved")))?;
            if drained && !waiting.is_empty() {
                return fail(format!("messages of {stream:?} on {name} that no consumer gets: {:?}", shown(waiting)));
            }
            if !sent.acknowledged.is_empty() && moved.acknowledged.is_empty() {
                return fail(format!("{stream:?}: nothing was moved"));
            }
            all.push(found);
        }
        self.whole(name, &all)
    }

    /// What was sent together is there whole or not at all.
    fn whole(&self, name: &str, found: &[BTreeSet<i64>]) -> Result<()> {
        for (queue, topic) in &self.in_doubt {
            let queued = queue.iter().map(|key| found[0].contains(key));
            let published = found[1..].iter().flat_map(|found| topic.iter().map(|key| found.contains(key)));
            let there: BTreeSet<bool> = queued.chain(published).collect();
            if there.len() > 1 {
                return fail(format!("a part only of what was sent together is on {name}: {queue:?} {topic:?}"));
            }
        }
        Ok(())
    }
}

fn note(journal: &mut Journal, keys: &[i64], ended: &Ended) {
    let told = match ended {
        Ended::Done => &mut journal.acknowledged,
        Ended::RolledBack | Ended::NotDone(_) => &mut journal.refused,
        Ended::Unknown(_) | Ended::Unexpected(_) => &mut journal.unknown,
    };
    told.extend(keys);
}

fn shown(keys: &[i64]) -> &[i64] {
    &keys[..keys.len().min(SHOWN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Fates {
        let mut fates = Fates::default();
        fates.appended(&[1, 2, 3], &Ended::Done);
        fates.appended(&[4], &Ended::Unknown(String::new()));
        fates.appended(&[5], &Ended::NotDone(String::new()));
        fates.moved(Stream::Queue, &[1], &Ended::Done);
        fates.moved(Stream::Queue, &[2], &Ended::Unknown(String::new()));
        fates
    }

    fn queue(waiting: &[i64], arrived: &[i64]) -> Place {
        let mut place = Place::default();
        (place.waiting[0], place.arrived[0]) = (waiting.to_vec(), arrived.to_vec());
        place
    }

    #[test]
    fn a_message_is_in_one_place() {
        let fates = told();
        let wrong = |waiting: &[i64], arrived: &[i64]| {
            fates.check("pg1", &queue(waiting, arrived), false).err().map(|e| e.to_string())
        };
        assert_eq!(wrong(&[2, 3], &[1]), None);
        assert_eq!(wrong(&[3, 4], &[1, 2]), None);
        for (waiting, arrived, what) in [
            (vec![2], vec![1], "has not: [3]"),
            (vec![1, 2, 3], vec![], "moved"),
            (vec![2, 3, 5], vec![1], "nobody was told of: [5]"),
            (vec![2, 3], vec![1, 3], "twice"),
            (vec![2], vec![1, 3], "nobody was told of: [3]"),
        ] {
            let text = wrong(&waiting, &arrived).unwrap_or_default();
            assert!(text.contains(what), "{waiting:?} {arrived:?}: {text}");
        }
    }

    #[test]
    fn a_move_is_acknowledged_once() {
        let mut fates = told();
        fates.moved(Stream::Queue, &[1], &Ended::Done);
        let error = fates.check("pg1", &queue(&[2, 3], &[1]), false).expect_err("moved twice").to_string();
        assert!(error.contains("two consumers"), "{error}");
    }
}
