//! A session's connections to the lead, to all followers or to one of them are cut between agreement and COMMIT, and a moment
//! behind COMMIT, while no process dies: at once, or so early that the session has noticed and connected again. No
//! client gets a wrong or an unknown answer, the member stays or comes back, and members are equal.

use std::time::Duration;

use tokio::time::timeout;

use super::crash_points::{Bench, Told, Work};
use crate::checkers::hang_report;
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary, fail};

/// Points of a transaction block.
const USUAL: &[&str] =
    &["session.meaning", "commit.before_ticket", "commit.before_intent", "commit.intent_durable", "commit.sent_to_all"];
/// What is cut. The third member is never the lead at the start.
const CUTS: &[&str] = &["cut-lead", "cut-followers", "cut-member=pg3"];
/// Long enough to notice a cut, to look whether the member lives, and to connect again.
const PAUSES: &[&str] = &["", "+pause=60"];
/// A load that takes longer hangs.
const HANG_LIMIT: Duration = Duration::from_secs(30);
/// Transactions of each client.
const TRANSACTIONS: i64 = 12;

pub(super) async fn run(options: Options) -> Result<Summary> {
    cut(options, &[Work::Whole], USUAL).await
}

/// Cuts at every point of these kinds of work.
pub(super) async fn cut(options: Options, works: &[Work], points: &[&str]) -> Result<Summary> {
    let setup = ClusterOptions {
        member_timeout: Duration::from_secs(2),
        // A client that waits for another's row may get it, and go on, while that one's session looks elsewhere.
        listen: vec!["threads = 2".to_owned()],
        ..ClusterOptions::default()
    };
    let mut bench = Bench::start(&options, setup, points, &[]).await?;
    let (mut retries, mut skewed) = (0, 0);
    for (index, fault, work, cut) in plan(works, points, options.seed) {
        let told = one(&mut bench, &fault, work, cut).await?;
        retries += told.refusals.len();
        skewed += told.skewed;
        bench.book(told);
        bench.check(&format!("{fault} ({})", work.name())).await.map_err(|e| e.during(format!("cut {index}")))?;
    }
    if skewed > 0 {
        return fail(format!("{skewed} pairs of serializable transactions were both acknowledged"));
    }
    Ok(Summary::default().with("cuts", bench.report()).with("retries", retries).with("skewed", skewed).with("lost", 0))
}

/// Every kind of work × every point × every cut × every pause: the fault, and what it is made of.
fn plan(works: &[Work], points: &[&str], seed: u64) -> Vec<(usize, String, Work, &'static str)> {
    let mut plan = Vec::new();
    for work in works {
        for (index, point) in points.iter().enumerate() {
            for (turn, cut) in CUTS.iter().enumerate() {
                let nth = 2 + (seed + index as u64 + turn as u64) % 5;
                // In the middle of all that.
                let short = format!("+pause={}", 2 * nth);
                let short = (*cut == "cut-followers" && *work != Work::Certified).then_some(short.as_str());
                for pause in PAUSES.iter().copied().chain(short) {
                    plan.push((plan.len(), format!("{point}:{nth}:{cut}{pause}"), *work, *cut));
                }
            }
        }
    }
    plan
}

/// A load with a cut in it.
async fn one(bench: &mut Bench, fault: &str, work: Work, cut: &str) -> Result<Told> {
    bench.restart(fault).await?;
    let load = bench.load(&vec![work; work.clients()], TRANSACTIONS).await?;
    let Ok(told) = timeout(HANG_LIMIT, load.ended()).await else {
        let (status, tail) = (bench.cluster.proxy()?.status().await, bench.cluster.proxy()?.log_tail(20));
        let held = hang_report(&bench.cluster).await;
        return fail(format!(
            "{fault} ({}): a client waits for {HANG_LIMIT:?}\n{held}\n{status:?}\n{tail}",
            work.name()
        ));
    };
    let told = told?;
    if !bench.log()?.contains("fault point ") {
        return fail(format!("{fault} ({}) was not reached", work.name()));
    }
    expect_answers(&told, fault, work, cut)?;
    Ok(told)
}

/// No outcome is unknown: no process died. A cut connection to the lead takes its locks with it, which asks for a retry before
/// the decision; a follower's is none of the client's business.
fn expect_answers(told: &Told, fault: &str, work: Work, cut: &str) -> Result<()> {
    let wrong = told.refusals.iter().any(|code| code != "40001");
    let noticed = !told.refusals.is_empty() && work != Work::Certified && cut != "cut-lead";
    if told.doubts.is_empty() && !wrong && !noticed {
        return Ok(());
    }
    fail(format!("{fault} ({}): clients were told {:?} and {:?}", work.name(), told.refusals, told.doubts))
}
