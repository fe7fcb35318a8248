//! The proxy dies at every point at which a member leaves or comes back; then inside the recovery from that; then at the same
//! point of the second recovery.

use std::time::Duration;

use tokio::time::sleep;

use super::crash_points::{Bench, Work};
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary};

/// A member is killed.
const LEAVE: &[&str] = &["leave.before_record", "leave.recorded", "member.epoch_told", "leave.before_view"];

/// A member comes back.
pub(super) const REJOIN: &[&str] = &[
    "rejoin.fenced",
    "apply.before_commit",
    "apply.committed",
    "rejoin.followed",
    "rejoin.before_record",
    "member.epoch_told",
    "rejoin.recorded",
    "rejoin.joined",
    "rejoin.before_caught_up",
];

/// Where the recovery from the first crash dies; it has each of these.
const RECOVERY: &[&str] = &["start.redone", "start.floor_raised", "start.before_opening"];

/// What this scenario goes to.
pub(super) const POINTS: &[&str] = &[
    "leave.before_record",
    "leave.recorded",
    "member.epoch_told",
    "leave.before_view",
    "rejoin.fenced",
    "apply.before_commit",
    "apply.committed",
    "rejoin.followed",
    "rejoin.before_record",
    "rejoin.recorded",
    "rejoin.joined",
    "rejoin.before_caught_up",
];

/// All kinds of transactions.
const WORKS: [Work; 3] = [Work::Whole, Work::Whole, Work::Insert];
/// Transactions of each client that the member misses.
const MISSED: i64 = 6;
/// The load runs for so long before a member is killed.
const RUN_UP: Duration = Duration::from_millis(200);
/// A member that was taken out leaves the view within this time.
const OUT_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_timeout: Duration::from_secs(1), ..ClusterOptions::default() };
    let mut bench = Bench::start(&options, setup, POINTS, &[]).await?;
    for (index, point) in LEAVE.iter().enumerate() {
        leave(&mut bench, point, index + usize::try_from(options.seed)?).await?;
    }
    for (index, point) in REJOIN.iter().enumerate() {
        rejoin(&mut bench, point, index + usize::try_from(options.seed)?).await?;
    }
    bench.restart("").await?;
    bench.check_last().await?;
    Ok(Summary::default().with("points", bench.report()).with("lost", 0))
}

/// A member is killed under load, the proxy dies on the way to taking it out, and again on the next attempt.
async fn leave(bench: &mut Bench, point: &str, index: usize) -> Result<()> {
    // A member that still comes back passes some of these points too.
    bench.restart("").await?;
    bench.check_last().await?;
    bench.restart(&format!("{point}:1:crash")).await?;
    // The lead and the followers in turn.
    let victim = index % bench.cluster.members.len();
    let load = bench.load(&WORKS, i64::MAX >> 34).await?;
    sleep(RUN_UP).await;
    bench.cluster.members[victim].kill_9()?;
    let ended = bench.ends_at(point).await;
    let told = load.stop().await?;
    bench.book(told);
    ended?;
    // The start takes it out too, if that was not durable; then the start's own last step.
    let durable = !["leave.before_record"].contains(&point);
    let next = if durable { "start.before_opening" } else { point };
    bench.start_ends_at(next, 1).await?;
    bench.start_ends_at("start.floor_raised", 2).await?;
    bench.cluster.members[victim].restart().await?;
    bench.behind(format!("{point} ({} killed), then {next}, then start.floor_raised", bench.name(victim)));
    Ok(())
}

/// A member that was taken out comes back under load.
async fn rejoin(bench: &mut Bench, point: &str, index: usize) -> Result<()> {
    bench.restart("").await?;
    bench.check_last().await?;
    let name = bench.name(index % bench.cluster.members.len());
    bench.member("disable", &name).await?;
    bench.cluster.wait_for_state(&name, "disabled", OUT_LIMIT).await?;
    let told = bench.load(&WORKS, MISSED).await?.ended().await?;
    bench.book(told);
    let recovery = RECOVERY[index % RECOVERY.len()];
    comes_back_until(bench, point, &name).await?;
    bench.start_ends_at(recovery, 1).await?;
    let again = comes_back_until(bench, point, &name).await?;
    bench.restart("").await?;
    enable(bench, &name).await?;
    let again = if again { point } else { "nothing, since it is enabled" };
    bench.behind(format!("{point} ({name} comes back), then {recovery}, then {again}"));
    bench.check_last().await
}

/// Has the member brought back until the proxy dies at this point. False: the member is enabled already.
async fn comes_back_until(bench: &mut Bench, point: &str, name: &str) -> Result<bool> {
    if let Err(failure) = bench.restart(&format!("{point}:1:crash")).await {
        // What the last crash left to be redone on other members passes the point before the member is back.
        return bench.ends_at(point).await.map(|()| true).map_err(|_| failure);
    }
    let states = bench.cluster.member_states().await?;
    if states.iter().any(|(member, state)| member == name && state == "enabled") {
        return Ok(false);
    }
    let load = bench.load(&WORKS, i64::MAX >> 34).await?;
    bench.member("enable", name).await?;
    let ended = bench.ends_at(point).await;
    let told = load.stop().await?;
    bench.book(told);
    ended.map(|()| true)
}

/// It was taken out by an operator, so it does not come back by itself.
async fn enable(bench: &mut Bench, name: &str) -> Result<()> {
    let told = bench.load(&WORKS, MISSED).await?;
    bench.member("enable", name).await?;
    let told = told.ended().await?;
    bench.book(told);
    Ok(())
}
