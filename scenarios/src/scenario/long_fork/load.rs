//! Writers, each the only one of its keys, which count up; and readers that read all keys by one statement.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, try_join_all};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_postgres::{Client, Statement};

use crate::sql::{Endpoint, rows};
use crate::workloads::list_append::Clock;
use crate::{Failure, Result, fail};

/// All keys.
pub(super) const KEYS: usize = 6;
/// Keys that are written together, in one transaction; the others have a writer each.
pub(super) const PAIR: [usize; 2] = [4, 5];
/// The table; to be made before the load.
pub(super) const SCHEMA: &str = "create table fork(k int primary key, n bigint not null); \
    insert into fork select k, 0 from generate_series(0, 5) k";
const ALL: &str = "select n from fork order by k";
const BY_KEY: &str = "select n from fork where k in (0, 1, 2, 3, 4, 5) order by k";
/// Share of the single writes that are made in a block.
const IN_BLOCK: f64 = 0.25;

/// What each key counts.
pub(super) type State = [u64; KEYS];

/// One read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) client: usize,
    /// Moments of one clock: before it was sent, behind its answer.
    pub(super) began: u64,
    pub(super) ended: u64,
    /// What was acknowledged before it was sent.
    pub(super) floor: State,
    pub(super) seen: State,
}

/// What clients did and saw.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// In each client's order.
    pub(super) reads: Vec<Read>,
    /// For each key and each of its writes, the first being 1: what was acknowledged before it was sent.
    pub(super) floors: [Vec<State>; KEYS],
}

impl Observed {
    pub(super) fn writes(&self) -> usize {
        self.floors.iter().map(Vec::len).sum()
    }
}

/// What all clients know of each other.
#[derive(Debug, Default)]
struct Known {
    acknowledged: [AtomicU64; KEYS],
    clock: Clock,
}

impl Known {
    fn floor(&self) -> State {
        std::array::from_fn(|key| self.acknowledged[key].load(Ordering::SeqCst))
    }
}

/// Runs `readers` and the writers for `length`.
///
/// # Errors
/// A statement fails: nothing here can.
pub(super) async fn run(endpoint: &Endpoint, readers: usize, length: Duration, seed: u64) -> Result<Observed> {
    let (known, end) = (Known::default(), Instant::now() + length);
    let single = (0..KEYS).filter(|key| !PAIR.contains(key)).map(|key| vec![key]);
    let groups: Vec<Vec<usize>> = single.chain([PAIR.to_vec()]).collect();
    let writing = groups.iter().map(|keys| write(endpoint, keys, &known, end, seed));
    let reading = (0..readers).map(|number| read(endpoint, number, &known, end));
    let (written, read) = join(try_join_all(writing), try_join_all(reading)).await;
    let mut observed = Observed { reads: read?.into_iter().flatten().collect(), ..Observed::default() };
    for (keys, floors) in groups.iter().zip(written?) {
        for key in keys {
            observed.floors[*key].clone_from(&floors);
        }
    }
    Ok(observed)
}

/// Counts up; returns what was acknowledged before each write.
async fn write(endpoint: &Endpoint, keys: &[usize], known: &Known, end: Instant, seed: u64) -> Result<Vec<State>> {
    let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(keys[0] as u64));
    let client = endpoint.connect().await?;
    let update = client.prepare("update fork set n = $1 where k = $2").await?;
    let mut floors = Vec::new();
    while Instant::now() < end {
        floors.push(known.floor());
        let n = floors.len() as i64;
        let is_block = keys.len() > 1 || chance.random_bool(IN_BLOCK);
        if is_block {
            client.batch_execute("begin").await?;
        }
        for key in keys {
            let count = client.execute(&update, &[&n, &(*key as i32)]).await?;
            if count != 1 {
                return fail(format!("update of key {key} changed {count} rows"));
            }
        }
        if is_block {
            client.batch_execute("commit").await?;
        }
        keys.iter().for_each(|key| known.acknowledged[*key].store(floors.len() as u64, Ordering::SeqCst));
    }
    Ok(floors)
}

/// Reads all keys again and again: by number, one of two statements and one of two protocols.
async fn read(endpoint: &Endpoint, number: usize, known: &Known, end: Instant) -> Result<Vec<Read>> {
    let client = endpoint.connect().await?;
    let sql = if number.is_multiple_of(2) { ALL } else { BY_KEY };
    let prepared = if (number / 2).is_multiple_of(2) { None } else { Some(client.prepare(sql).await?) };
    let mut reads = Vec::new();
    while Instant::now() < end {
        let (floor, began) = (known.floor(), known.clock.tick());
        let seen = state(&client, sql, prepared.as_ref()).await?;
        reads.push(Read { client: number, began, ended: known.clock.tick(), floor, seen });
    }
    Ok(reads)
}

async fn state(client: &Client, sql: &str, prepared: Option<&Statement>) -> Result<State> {
    let mut counts = Vec::with_capacity(KEYS);
    if let Some(prepared) = prepared {
        for row in client.query(prepared, &[]).await? {
            counts.push(u64::try_from(row.try_get::<_, i64>(0)?)?);
        }
    } else {
        for count in rows(client, sql).await?.into_iter().flatten().flatten() {
            counts.push(count.parse()?);
        }
    }
    State::try_from(counts).map_err(|counts| Failure::new(format!("{} rows of {KEYS}", counts.len())))
}
