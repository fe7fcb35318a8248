//! A member that was away catches up under as much load as the clients give: no client error, members equal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::chaos::percentile;
use super::ending;
use crate::cluster::{Cluster, ClusterOptions};
use crate::sql::Endpoint;
use crate::workloads::unique_inserts;
use crate::{Failure, Options, Result, Summary, fail};

/// Load before the member is stopped, and after it is back: what the rest is compared with.
const QUIET: Duration = Duration::from_secs(3);
/// Longest time until the stopped member counts as disabled.
const DISABLED_LIMIT: Duration = Duration::from_secs(10);
/// Longest catch-up, for each second that the member was away; and at least that of ten seconds.
const CATCH_UP_PER_SECOND: Duration = Duration::from_secs(6);
/// Rows that are updated; fewer would measure the wait for row locks.
const COUNTERS: i32 = 10_000;

/// One acknowledged write: when its answer came, and how long that took.
type Write = (Instant, Duration);

/// What one client did.
#[derive(Debug, Default)]
struct Done {
    writes: Vec<Write>,
    inserts: i64,
    updates: i64,
}

/// The moments between which writes are counted.
struct Moments {
    start: Instant,
    stopped: Instant,
    started_again: Instant,
    answering: Instant,
    enabled: Instant,
    end: Instant,
}

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_timeout: Duration::from_secs(1), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options, setup).await?;
    // A follower's loss and the lead's take different paths: the seed picks.
    let lead = cluster.lead().await?;
    let victim = (lead + usize::try_from(options.seed)?) % cluster.members.len();
    let name = cluster.members[victim].name().to_owned();
    let endpoint = cluster.endpoint();
    let counters = format!(
        "create table counters(id int primary key, n bigint not null); \
         insert into counters select g, 0 from generate_series(1, {COUNTERS}) g"
    );
    endpoint.execute(&format!("{}; {counters}", unique_inserts::SCHEMA)).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..options.clients).map(|number| {
        let seed = options.seed.wrapping_mul(1000) + number as u64;
        let task = tokio::spawn(client(endpoint.clone(), number as i64, seed, Arc::clone(&stop)));
        async move { task.await? }
    });
    let stopping = async {
        let moments = away_and_back(&mut cluster, victim, Duration::from_secs(options.seconds)).await;
        stop.store(true, Ordering::Relaxed);
        moments
    };
    let (all, moments) = tokio::join!(try_join_all(clients), stopping);
    // A client's error is the cause, if there is one.
    let all = match (all, &moments) {
        (Ok(all), _) => all,
        (Err(error), Ok(_)) => return Err(error),
        (Err(error), Err(other)) => return fail(format!("{error}; and: {other}")),
    };
    let moments = moments?;
    let rows = ending(&cluster).await?;
    expect_all_there(&cluster, &all).await?;
    let writes: Vec<Write> = all.into_iter().flat_map(|done| done.writes).collect();
    Ok(figures(&writes, &moments).with("rows", rows).with("member", name))
}

/// Stops the member in order, starts it again, and waits until it is enabled.
async fn away_and_back(cluster: &mut Cluster, victim: usize, away: Duration) -> Result<Moments> {
    let start = Instant::now();
    sleep(QUIET).await;
    let stopped = Instant::now();
    cluster.members[victim].stop().await?;
    let name = cluster.members[victim].name().to_owned();
    cluster.wait_for_state(&name, "disabled", DISABLED_LIMIT).await?;
    sleep(away).await;
    let started_again = Instant::now();
    cluster.members[victim].restart().await?;
    let answering = Instant::now();
    let limit = CATCH_UP_PER_SECOND * u32::try_from(away.as_secs().max(10))?;
    if let Err(failure) = cluster.wait_for_state(&name, "enabled", limit).await {
        let proxy = cluster.proxy()?;
        let (status, log) = (proxy.status().await, proxy.log_tail(40));
        return fail(format!("{failure}\n-- status: {status:?}\n-- the proxy's log ends with:\n{log}"));
    }
    let enabled = Instant::now();
    sleep(QUIET).await;
    Ok(Moments { start, stopped, started_again, answering, enabled, end: Instant::now() })
}

/// Inserts and updates in turn as fast as it can, until `stop`; any error is a failure.
async fn client(endpoint: Endpoint, number: i64, seed: u64, stop: Arc<AtomicBool>) -> Result<Done> {
    let mut chance = StdRng::seed_from_u64(seed);
    let connection = endpoint.connect().await?;
    let insert = connection.prepare("insert into unique_inserts values ($1, $2)").await?;
    let update = connection.prepare("update counters set n = n + 1 where id = $1").await?;
    let mut done = Done::default();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let is_insert = chance.random_bool(0.5);
        let result = if is_insert {
            let key = (number << 32) + done.inserts;
            connection.execute(&insert, &[&key, &i32::try_from(number)?]).await
        } else {
            connection.execute(&update, &[&chance.random_range(1..=COUNTERS)]).await
        };
        match result {
            Ok(1) => {}
            Ok(count) => return fail(format!("client {number}: a write changed {count} rows")),
            Err(error) => {
                let what = if is_insert { "insert" } else { "update" };
                return Err(Failure::from(error).during(format!("client {number}, {what}")));
            }
        }
        if is_insert {
            done.inserts += 1;
        } else {
            done.updates += 1;
        }
        done.writes.push((Instant::now(), begin.elapsed()));
    }
    Ok(done)
}

/// Every member has what was acknowledged, and nothing else; there were no errors, so the counts say it.
async fn expect_all_there(cluster: &Cluster, all: &[Done]) -> Result<()> {
    let inserts: i64 = all.iter().map(|done| done.inserts).sum();
    let updates: i64 = all.iter().map(|done| done.updates).sum();
    let query = "select (select count(*) from unique_inserts) || ' ' || (select sum(n) from counters)";
    for member in &cluster.members {
        let found = member.endpoint().value(query).await?;
        if found != format!("{inserts} {updates}") {
            return fail(format!(
                "{} has {found} inserts and updates, acknowledged were {inserts} {updates}",
                member.name()
            ));
        }
    }
    Ok(())
}

fn figures(writes: &[Write], moments: &Moments) -> Summary {
    let between = |from: Instant, to: Instant| -> Vec<Duration> {
        writes.iter().filter(|(when, _)| *when >= from && *when < to).map(|(_, took)| *took).collect()
    };
    let rate = |count: usize, from: Instant, to: Instant| {
        format!("{:.0}", count as f64 / to.duration_since(from).as_secs_f64().max(0.001))
    };
    let p99 = |took: &[Duration]| format!("{:.1}", percentile(took, 99).as_secs_f64() * 1000.0);
    let longest = |took: &[Duration]| percentile(took, 100).as_millis();

    let before = between(moments.start, moments.stopped);
    let away = between(moments.stopped, moments.started_again);
    let during = between(moments.started_again, moments.enabled);
    let after = between(moments.enabled, moments.end);
    let replayed = away.len() + during.len();
    Summary::default()
        .with("rate_before", rate(before.len(), moments.start, moments.stopped))
        .with("rate_away", rate(away.len(), moments.stopped, moments.started_again))
        .with("rate_rejoin", rate(during.len(), moments.started_again, moments.enabled))
        .with("rate_after", rate(after.len(), moments.enabled, moments.end))
        .with("backlog", away.len())
        .with("catch_up_ms", moments.enabled.duration_since(moments.answering).as_millis())
        .with("catch_up_rate", rate(replayed, moments.answering, moments.enabled))
        .with("p99_ms_before", p99(&before))
        .with("p99_ms_away", p99(&away))
        .with("p99_ms_rejoin", p99(&during))
        .with("p99_ms_after", p99(&after))
        .with("max_ms_away", longest(&away))
        .with("max_ms_rejoin", longest(&during))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_count_where_their_answer_came() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let moments =
            Moments { start, stopped: at(10), started_again: at(20), answering: at(21), enabled: at(25), end: at(30) };
        // One a second from 0 to 29, of 1 to 30 ms.
        let writes: Vec<Write> = (0..30).map(|second| (at(second), Duration::from_millis(second + 1))).collect();
        let told = figures(&writes, &moments);
        let expected = [
            ("rate_before", "1"),
            ("backlog", "10"),
            ("catch_up_ms", "4000"),
            ("catch_up_rate", "4"),
            ("p99_ms_before", "10.0"),
            ("max_ms_rejoin", "25"),
        ];
        for (key, value) in expected {
            assert_eq!(told.get(key), Some(value), "{key}: {told}");
        }
    }
}
