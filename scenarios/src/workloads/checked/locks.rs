//! Locks: a row lock that its holder has for a transaction, and a lease that a row gives until a time. At most one client
//! holds either at any moment.
//!
//! A holder is sure of its row lock from the answer to `FOR UPDATE` until it sends the last statement that is answered;
//! behind that its connection may be lost, and the lock with it. Of a lease it is sure until the time that it wrote. Times
//! are the clients' own, and all clients are in this process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::sleep;

use super::session::keys;
use super::{Broken, Course, Session, Workload, named};
use crate::sql::Endpoint;
use crate::workloads::Ended;
use crate::workloads::unique_inserts::Journal;
use crate::{Result, Summary, fail};

/// Locks of each kind.
const LOCKS: i64 = 2;
/// Statements under a row lock.
const SIGNS_OF_LIFE: std::ops::Range<u64> = 1..4;
/// Time between them.
const BETWEEN_MS: std::ops::Range<u64> = 0..8;
/// How long a lease is given for.
const LEASE_MS: i64 = 400;
/// How long its holder waits before it renews it, or gives it back.
const LEASE_USED_MS: std::ops::Range<u64> = 5..60;
/// Wait for a lease that another one has.
const LEASE_RETRY_MS: std::ops::Range<u64> = 2..20;

/// The load.
#[derive(Debug, Default)]
pub struct Locks {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// By lock, who held it for certain.
    held: BTreeMap<(Kind, i64), Vec<Hold>>,
    /// Holders that wrote their number.
    journal: Journal,
}

/// From, to, client.
type Hold = (Duration, Duration, usize);

/// The two kinds of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Row,
    Lease,
}

impl Workload for Locks {
    fn tables(&self) -> String {
        let (lock, held, lease) = (named("row_lock"), named("held"), named("lease"));
        format!(
            "create table {lock}(id bigint primary key, holder bigint, number bigint not null); \
             insert into {lock} select g, null, 0 from generate_series(1, {LOCKS}) g; \
             create table {held}(lock bigint, number bigint, key bigint not null unique, primary key (lock, number)); \
             create table {lease}(id bigint primary key, holder bigint, until bigint not null); \
             insert into {lease} select g, null, 0 from generate_series(1, {LOCKS}) g"
        )
    }

    async fn client(&self, course: &Course, number: usize) -> Result<()> {
        let mut client = Client {
            locks: self,
            course,
            number,
            chance: course.chance(number),
            session: Session::new(course, number),
            key: (number as i64) << 32,
        };
        // Sessions differ in their protocol by the last bit.
        let kind = if (number / 2).is_multiple_of(2) { Kind::Row } else { Kind::Lease };
        while course.goes_on() {
            client.session.ready().await?;
            let lock = client.chance.random_range(1..=LOCKS);
            match kind {
                Kind::Row => client.hold_row(lock).await,
                Kind::Lease => client.hold_lease(lock).await?,
            }
        }
        Ok(())
    }

    async fn check(&self, _course: &Course, endpoint: &Endpoint) -> Result<()> {
        self.expect_one_holder()?;
        let found = keys(endpoint, &format!("select key from {}", named("held"))).await?;
        self.notes().journal.compare(&endpoint.shown(), &found)?;
        // Each holder wrote the number behind that of the holder before.
        let wrong = format!(
            "select count(*)::text from {} l where number <> (select count(*) from {} where lock = id)",
            named("row_lock"),
            named("held")
        );
        let wrong = endpoint.value(&wrong).await?;
        if wrong == "0" { Ok(()) } else { fail(format!("{}: {wrong} locks were counted wrongly", endpoint.shown())) }
    }

    fn figures(&self, summary: Summary) -> Summary {
        let notes = self.notes();
        let count = |kind| {
            let held = notes.held.iter().filter(|((of, _), _)| *of == kind);
            held.map(|(_, held)| held.len()).sum::<usize>()
        };
        summary.with("row_locks", count(Kind::Row)).with("leases", count(Kind::Lease))
    }
}

impl Locks {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, course: &Course, lock: (Kind, i64), (from, to): (Duration, Duration), client: usize) {
        if from < to {
            self.notes().held.entry(lock).or_default().push((from, to, client));
            course.note(|| {
                json!({"lock": format!("{lock:?}"), "client": client, "from_us": from.as_micros(), "to_us": to.as_micros()})
            });
        }
    }

    fn expect_one_holder(&self) -> Result<()> {
        for (lock, held) in &mut self.notes().held {
            held.sort_unstable();
            // A holder that began before an earlier one's end is found with the latest end so far.
            let mut last = (Duration::ZERO, usize::MAX);
            for (from, to, client) in held.iter() {
                if *from < last.0 {
                    let until = last.0;
                    return fail(format!(
                        "two holders of {lock:?}: client {} until {until:?}, client {client} from {from:?} to {to:?}",
                        last.1
                    ));
                }
                last = last.max((*to, *client));
            }
        }
        Ok(())
    }
}

struct Client<'a> {
    locks: &'a Locks,
    course: &'a Course,
    number: usize,
    chance: StdRng,
    session: Session<'a>,
    /// The last key that was used.
    key: i64,
}

impl Client<'_> {
    /// Takes a row lock, holds it for some statements, and gives it back.
    async fn hold_row(&mut self, lock: i64) {
        self.key += 1;
        let (began, mut sure) = (Instant::now(), None);
        let pauses: Vec<u64> =
            (0..self.chance.random_range(SIGNS_OF_LIFE)).map(|_| self.chance.random_range(BETWEEN_MS)).collect();
        let result = self.under_lock(lock, &pauses, &mut sure).await;
        let ended = self.session.end(began, result).await;
        if let Some(sure) = sure {
            self.locks.held(self.course, (Kind::Row, lock), sure, self.number);
        }
        let mut notes = self.locks.notes();
        match ended {
            Ended::Done => notes.journal.acknowledged.insert(self.key),
            Ended::RolledBack | Ended::NotDone(_) => notes.journal.refused.insert(self.key),
            Ended::Unknown(_) | Ended::Unexpected(_) => notes.journal.unknown.insert(self.key),
        };
    }

    async fn under_lock(
        &self,
        lock: i64,
        pauses: &[u64],
        sure: &mut Option<(Duration, Duration)>,
    ) -> Result<Ended, Broken> {
        let (row, number, key) = (named("row_lock"), self.number, self.key);
        self.session.execute("begin").await?;
        let sql = format!("select number from {row} where id = {lock} for update");
        let [before] = self.session.values(&sql).await?[..] else {
            return Err(Broken::Wrong(format!("not one row from {sql}")));
        };
        let from = self.course.elapsed();
        for pause in pauses {
            sleep(Duration::from_millis(*pause)).await;
            let sent = self.course.elapsed();
            self.session.change_one(&format!("update {row} set holder = {number} where id = {lock}")).await?;
            *sure = Some((from, sent));
        }
        let next = before + 1;
        self.session.change_one(&format!("insert into {} values ({lock}, {next}, {key})", named("held"))).await?;
        let sent = self.course.elapsed();
        self.session.change_one(&format!("update {row} set number = {next} where id = {lock}")).await?;
        *sure = Some((from, sent));
        self.session.commit().await
    }

    /// Takes a lease, renews it now and then, and gives it back.
    async fn hold_lease(&mut self, lock: i64) -> Result<()> {
        let mine = |now: i64| now + LEASE_MS;
        let (lease, number) = (named("lease"), self.number);
        let (now, began) = (self.now(), Instant::now());
        let mut until = mine(now);
        let take = format!("update {lease} set holder = {number}, until = {until} where id = {lock} and until < {now}");
        if self.step(began, &take).await != Some(1) {
            sleep(Duration::from_millis(self.chance.random_range(LEASE_RETRY_MS))).await;
            return Ok(());
        }
        let from = self.course.elapsed();
        loop {
            sleep(Duration::from_millis(self.chance.random_range(LEASE_USED_MS))).await;
            let (now, began) = (self.now(), Instant::now());
            let gives_back = self.chance.random_bool(0.5);
            let new = if gives_back { 0 } else { mine(now) };
            // Until it is sent that it is given back, and not longer than it was given.
            let sure = |until: i64| Duration::from_millis(until.unsigned_abs()).min(self.course.elapsed());
            let to = if gives_back { sure(until) } else { Duration::from_millis(until.unsigned_abs()) };
            let renew =
                format!("update {lease} set until = {new} where id = {lock} and holder = {number} and until = {until}");
            self.session.ready().await?;
            let changed = self.step(began, &renew).await;
            if changed == Some(0) && self.now() < until {
                self.course.wrong(format!("client {number} lost lease {lock} before its time: {renew}"));
            }
            if gives_back || changed != Some(1) {
                self.locks.held(self.course, (Kind::Lease, lock), (from, to), number);
                return Ok(());
            }
            until = new;
        }
    }

    /// One statement by itself; the number of rows that it changed, if it was answered.
    async fn step(&mut self, began: Instant, sql: &str) -> Option<u64> {
        let counted = self.session.count(sql).await;
        let count = counted.as_ref().ok().copied();
        self.session.end(began, counted.map(|_| Ended::Done).map_err(Broken::Commit)).await;
        count
    }

    /// Milliseconds since the start: the time that leases are written in.
    fn now(&self) -> i64 {
        i64::try_from(self.course.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
