//! The proxy dies at every point of its start, twice in a row, behind a crash that left transactions to be redone.

use super::crash_points::{Bench, Work};
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary};

/// What this scenario goes to.
pub(super) const POINTS: &[&str] = &[
    "start.fenced",
    "apply.before_commit",
    "apply.committed",
    "start.redone",
    "start.sequences_raised",
    "start.floor_raised",
    "start.member_done",
    "start.before_opening",
];

/// The first crash: decided, and on one member or none.
const FIRST: [&str; 3] = ["commit.intent_durable", "commit.sent_to_lead", "commit.sent_to_follower"];

const WORKS: [Work; 3] = [Work::Whole, Work::Whole, Work::Whole];

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut bench = Bench::start(&options, ClusterOptions::default(), POINTS, &[]).await?;
    for (index, point) in POINTS.iter().enumerate() {
        let turn = index + usize::try_from(options.seed)?;
        let first = FIRST[turn % FIRST.len()];
        bench.restart(&format!("{first}:{}:crash", 3 + turn % 5)).await?;
        bench.check_last().await?;
        bench.load_ends_at(&WORKS, first).await?;
        // Redone on one member by the first start, so it has one less to do: the second passage may be the last.
        let redoing = point.starts_with("apply.");
        let (one, other) = if redoing || *point == "start.before_opening" { (1, 1) } else { (1 + turn % 2, 2) };
        bench.start_ends_at(point, u32::try_from(one)?).await?;
        let second = match *point {
            // What a member had committed when the lead alone got COMMIT leaves one less still.
            "apply.committed" if first != "commit.intent_durable" => "start.member_done",
            other => other,
        };
        bench.start_ends_at(second, other).await?;
        bench.behind(format!("{first}, then {point} ({one}), then {second} ({other})"));
    }
    bench.restart("").await?;
    bench.check_last().await?;
    Ok(Summary::default().with("points", bench.report()).with("lost", 0))
}
