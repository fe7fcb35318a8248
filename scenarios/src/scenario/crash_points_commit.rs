//! The proxy dies at every point of a commit, of the at-once commit, of a refusal, and of a write to its log.

use super::crash_points::{Bench, Work, points_of};
use super::{crash_points_log, crash_points_members, crash_points_start};
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary, fail};

/// What one INSERT passes.
const AT_ONCE: &[&str] = &[
    "at_once.before_ticket",
    "commit.before_intent",
    "log.append",
    "log.flush",
    "commit.intent_durable",
    "at_once.sent_to_lead",
    "at_once.sent_to_follower",
    "at_once.sent_to_all",
    "commit.first_answer",
    "commit.all_answered",
    "commit.finished",
    "session.ready",
];

/// What INSERTs of several sessions pass as one transaction.
const COMBINED: &[&str] = &[
    "combined.answered",
    "at_once.before_ticket",
    "commit.intent_durable",
    "at_once.sent_to_lead",
    "at_once.sent_to_follower",
    "at_once.sent_to_all",
    "commit.first_answer",
    "commit.finished",
    "combined.committed",
];

/// What a transaction block passes.
const USUAL: &[&str] = &[
    "session.meaning",
    "commit.before_ticket",
    "commit.registering",
    "commit.before_intent",
    "commit.intent_durable",
    "commit.sent_to_lead",
    "commit.sent_to_follower",
    "commit.sent_to_all",
    "commit.first_answer",
    "commit.all_answered",
    "commit.finished",
];

/// What a serializable transaction passes, and its refusal.
const CERTIFIED: &[&str] = &[
    "commit.intent_durable",
    "commit.sent_to_certify",
    "commit.certified",
    "abort.before_outcome",
    "abort.outcome_durable",
];

/// Behind these a transaction is decided, and a member has not heard of it.
const DECIDED: &[&str] = &[
    "commit.intent_durable",
    "commit.sent_to_lead",
    "commit.sent_to_follower",
    "at_once.sent_to_lead",
    "at_once.sent_to_follower",
    "commit.certified",
];

pub(super) async fn run(options: Options) -> Result<Summary> {
    let plan = [
        (Work::Insert, AT_ONCE),
        (Work::Crowd, COMBINED),
        (Work::Brief, AT_ONCE),
        (Work::Keyed, AT_ONCE),
        (Work::Whole, USUAL),
        (Work::Certified, CERTIFIED),
    ];
    let all: Vec<&str> = plan.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    let mut bench = Bench::start(&options, ClusterOptions::default(), &all, &[]).await?;
    expect_every_point(&points_of(&bench.cluster).await?, &all)?;
    for (work, points) in plan {
        for (index, point) in points.iter().enumerate() {
            let nth = 3 + (options.seed + index as u64) % 7;
            bench.restart(&format!("{point}:{nth}:crash")).await?;
            bench.check_last().await?;
            bench.load_ends_at(&vec![work; work.clients()], point).await?;
            let what = format!("{point} ({}, passage {nth})", work.name());
            match (work, *point) {
                // The lead's COMMIT was to decide.
                (Work::Certified, "commit.intent_durable" | "abort.before_outcome") => bench.behind_no_decision(what),
                (Work::Certified, "commit.sent_to_certify") => bench.behind(what),
                (_, point) if DECIDED.contains(&point) => bench.behind_decision(what),
                _ => bench.behind(what),
            }
        }
    }
    bench.restart("").await?;
    bench.check_last().await?;
    // It still works, without a fault.
    let told = bench.load(&[Work::Insert, Work::Whole], 5).await?.ended().await?;
    bench.book(told);
    bench.check("a load behind all that").await?;
    Ok(Summary::default().with("points", bench.report() - 1).with("lost", 0))
}

/// A point that is added to the proxy is added to a scenario.
fn expect_every_point(known: &[String], own: &[&str]) -> Result<()> {
    let tables = [own, crash_points_log::POINTS, crash_points_members::POINTS, crash_points_start::POINTS];
    let tables = tables.into_iter().chain([super::churn::POINTS]).collect::<Vec<_>>();
    let left: Vec<_> =
        known.iter().filter(|point| !tables.iter().any(|table| table.contains(&point.as_str()))).collect();
    if left.is_empty() { Ok(()) } else { fail(format!("no scenario goes to the fault points {left:?}")) }
}
