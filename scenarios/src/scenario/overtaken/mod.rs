//! A transaction loses its connection to the lead, and with it its locks, at the very moment of its COMMIT, before its session has
//! heard of it; somebody else gets the row and commits. Only one of the two may be acknowledged on top of the other, and
//! members must be equal, also behind a restart.

mod log_fails;

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::crash_points::Bench;
use super::regressions::support::{outcome, session, terminate, wait_for_lock};
use crate::cluster::{ClusterOptions, Member};
use crate::{Options, Result, Summary, fail};

/// The thread of the first transaction stands still for so long; the second is to be done within this.
const PAUSE_MS: u64 = 2000;
/// Until the pause has begun, and a backend's end is complete.
const MOMENT: Duration = Duration::from_millis(150);
/// What the second needs may by chance be on the thread that stands still: then it is tried again, so many times in all.
const ATTEMPTS: u32 = 8;
const LOST_RACE: &str = "the second transaction did not get the row within the pause";
/// A client that waits longer hangs.
const HANG_LIMIT: Duration = Duration::from_secs(15);

/// One thread stands still, and what waits to be run there stands still with it: so there are more of them than cores.
const THREADS: &str = "threads = 6";

struct Case {
    name: &'static str,
    table: &'static str,
    /// Before the UPDATE, in both transactions.
    first: &'static str,
    /// The second is to be acknowledged before the first goes on. (Otherwise it waits for the first one's end on the followers.)
    within_pause: bool,
    /// A second transaction takes part.
    second: bool,
    /// The second sends its COMMIT so long after its last statement, in milliseconds.
    thinks_ms: u64,
}

/// Tables: rows named by key, and rows that are named by nothing finer than the table and those it depends on.
const SCHEMA: &str = "create table ov_plain(id int primary key, v int); insert into ov_plain values (1, 0); \
     create table ov_parent(id int primary key, v int); insert into ov_parent values (1, 0); \
     create table ov_child(id int primary key, parent int references ov_parent)";

const CASES: &[Case] = &[
    Case { name: "at once", table: "ov_plain", first: "select 1", within_pause: true, second: true, thinks_ms: 0 },
    Case {
        name: "usual",
        table: "ov_plain",
        first: "select v from ov_plain for update",
        within_pause: false,
        second: true,
        thinks_ms: 0,
    },
    Case {
        name: "at once, no row named",
        table: "ov_parent",
        first: "select 1",
        within_pause: true,
        second: true,
        thinks_ms: 0,
    },
    Case {
        name: "usual, no row named",
        table: "ov_parent",
        first: "select v from ov_parent for update",
        within_pause: false,
        second: true,
        thinks_ms: 0,
    },
    Case {
        name: "at once, alone",
        table: "ov_parent",
        first: "select 1",
        within_pause: false,
        second: false,
        thinks_ms: 0,
    },
];

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { listen: vec![THREADS.to_owned()], ..ClusterOptions::default() };
    let mut bench = Bench::start(&options, setup, &["commit.registering"], &[]).await?;
    bench.cluster.endpoint().execute(SCHEMA).await?;
    for case in CASES {
        for attempt in 1..=ATTEMPTS {
            bench.restart(&format!("commit.registering:1:pause={PAUSE_MS}")).await?;
            match one(&bench, case).await {
                Err(failure) if attempt < ATTEMPTS && failure.to_string().contains(LOST_RACE) => {}
                done => {
                    done.map_err(|e| e.during(case.name))?;
                    break;
                }
            }
        }
        bench.restart("").await?;
        bench.check(case.name).await?;
    }
    let withdrawals = log_fails::run(&mut bench).await?;
    Ok(Summary::default().with("cases", bench.report()).with("withdrawals_failed", withdrawals))
}

async fn one(bench: &Bench, case: &Case) -> Result<()> {
    let lead = &bench.cluster.members[bench.cluster.lead().await?];
    let before = value(lead, case).await?;
    let Told { first, second } = race(bench, lead, case).await?;
    // The first has lost its locks before it was registered.
    let wanted = if case.second { "ok" } else { "none" };
    if first != "40001" || second != wanted {
        return fail(format!("the first was told {first}, the second {second}"));
    }
    let after = before + if case.second { SECOND_ADDS } else { 0 };
    for member in &bench.cluster.members {
        bench.cluster.wait_for_state(member.name(), "enabled", HANG_LIMIT).await?;
        let found = value(member, case).await?;
        if found != after {
            return fail(format!("{} holds {found} in place of {after}", member.name()));
        }
    }
    Ok(())
}

/// What the two transactions were told: `ok`, an SQLSTATE, `connection`, or `none` if there was no second one.
struct Told {
    first: String,
    second: String,
}

/// The first transaction adds this.
const FIRST_ADDS: i32 = 10;
/// The second one adds this.
const SECOND_ADDS: i32 = 100;

/// The first stands still at its COMMIT, its connection to the lead is ended, the second gets the row.
async fn race(bench: &Bench, lead: &Member, case: &Case) -> Result<Told> {
    let endpoint = bench.cluster.endpoint();
    // One after the other, so they are on different threads.
    let one = session(&endpoint, "overtaken").await?;
    let other = session(&endpoint, "overtakes").await?;
    begin(&one, case).await?;
    let waits = case.second.then(|| {
        let Case { table, first, thinks_ms, .. } = *case;
        tokio::spawn(async move {
            // The row lock too has to be waited for.
            other.batch_execute("begin").await?;
            other.simple_query(first).await?;
            other.simple_query(&format!("update {table} set v = v + {SECOND_ADDS} where id = 1")).await?;
            sleep(Duration::from_millis(thinks_ms)).await;
            other.batch_execute("commit").await
        })
    });
    if waits.is_some() {
        wait_for_lock(lead, "overtakes").await?;
    }
    let commits = tokio::spawn(async move { one.batch_execute("commit").await });
    sleep(MOMENT).await;
    terminate(lead, "overtaken").await?;
    sleep(Duration::from_millis(PAUSE_MS / 2)).await;
    if case.within_pause && waits.as_ref().is_some_and(|task| !task.is_finished()) {
        return fail(LOST_RACE);
    }
    if commits.is_finished() {
        return fail("the first transaction did not pause");
    }
    let Ok(first) = timeout(HANG_LIMIT, commits).await else { return fail("the first one's COMMIT hangs") };
    let first = outcome(&first?);
    let second = match waits {
        None => "none".to_owned(),
        Some(task) => match timeout(HANG_LIMIT, task).await {
            Ok(second) => outcome(&second?),
            Err(_) => return fail("the second transaction hangs"),
        },
    };
    Ok(Told { first, second })
}

async fn value(member: &Member, case: &Case) -> Result<i32> {
    Ok(member.endpoint().value(&format!("select v from {}", case.table)).await?.parse()?)
}

async fn begin(client: &Client, case: &Case) -> Result<()> {
    client.batch_execute("begin").await?;
    client.simple_query(case.first).await?;
    client.batch_execute(&format!("update {} set v = v + {FIRST_ADDS} where id = 1", case.table)).await?;
    Ok(())
}
