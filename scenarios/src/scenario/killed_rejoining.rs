//! A member that comes back dies at every point of its return, and is back at once. What it had committed without waiting for
//! its disk (it does that until it is in use) may be gone with it, and nobody may take it for a member that holds it.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::crash_points::{Bench, Work};
use super::crash_points_members::REJOIN;
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary, fail};

/// Passed when a member leaves as well: the pause would come too early.
const ALSO_LEAVING: &str = "member.epoch_told";
/// All kinds of transactions.
const WORKS: [Work; 7] = [Work::Whole, Work::Brief, Work::Keyed, Work::Insert, Work::Crowd, Work::Crowd, Work::Crowd];
/// Transactions of each client that the member misses: several of the applier's.
const MISSED: i64 = 40;
/// The return stands still for so long: the member dies and starts again within this.
const PAUSE_MS: u64 = 1500;
/// A point is reached within this time.
const REACH_LIMIT: Duration = Duration::from_secs(20);
/// A member that was taken out leaves the view within this time.
const OUT_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_timeout: Duration::from_secs(1), ..ClusterOptions::default() };
    let mut bench = Bench::start(&options, setup, REJOIN, &[]).await?;
    for (index, point) in REJOIN.iter().filter(|point| **point != ALSO_LEAVING).enumerate() {
        let victim = (index + usize::try_from(options.seed)?) % bench.cluster.members.len();
        one(&mut bench, point, victim).await.map_err(|failure| failure.during(*point))?;
    }
    Ok(Summary::default().with("points", bench.report()).with("lost", 0))
}

async fn one(bench: &mut Bench, point: &str, victim: usize) -> Result<()> {
    bench.restart(&format!("{point}:1:pause={PAUSE_MS}")).await?;
    let name = bench.name(victim);
    bench.member("disable", &name).await?;
    bench.cluster.wait_for_state(&name, "disabled", OUT_LIMIT).await?;
    let told = bench.load(&WORKS, MISSED).await?.ended().await?;
    bench.book(told);
    let load = bench.load(&WORKS, i64::MAX >> 34).await?;
    // Its answer may come when the member is back, or not at all: the return is what is looked at.
    bench.member("enable", &name).await?;
    let dies = dies_at(bench, point, victim).await;
    sleep(Duration::from_millis(PAUSE_MS)).await;
    bench.member("enable", &name).await?;
    let told = load.stop().await?;
    bench.book(told);
    dies?;
    bench.check(&format!("{point} ({name} dies and starts again)")).await
}

async fn dies_at(bench: &mut Bench, point: &str, victim: usize) -> Result<()> {
    let until = Instant::now() + REACH_LIMIT;
    while !bench.log()?.contains(&format!("fault point {point} reached")) {
        if Instant::now() > until {
            return fail("it was not reached");
        }
        sleep(Duration::from_millis(5)).await;
    }
    let member = &mut bench.cluster.members[victim];
    member.kill_9()?;
    member.restart().await
}
