//! The proxy dies at every point at which marker tables change turns and the log is shortened; and the log's disk is full,
//! does not flush, or takes half of a write: nothing is lost, and clients are told what happened.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::crash_points::{Bench, Told, Work};
use crate::cluster::ClusterOptions;
use crate::{Options, Result, Summary, fail};

/// What this scenario goes to.
pub(super) const POINTS: &[&str] = &[
    "rotate.turns_changed",
    "rotate.floor_raised",
    "rotate.before_truncate",
    "rotate.done",
    "log.create",
    "log.append",
    "log.flush",
    "log.remove",
];

/// Crashes: point, passage, and where the recovery from it dies.
const CRASHES: &[(&str, u32, &str)] = &[
    ("rotate.turns_changed", 1, "start.fenced"),
    ("rotate.floor_raised", 1, "start.member_done"),
    ("rotate.floor_raised", 2, "start.floor_raised"),
    ("rotate.before_truncate", 1, "start.redone"),
    ("log.remove", 1, "start.member_done"),
    ("log.remove", 2, "start.before_opening"),
    ("rotate.done", 1, "start.sequences_raised"),
    ("log.create", 2, "start.redone"),
];

/// What the disk does, and what clients are told of it.
const FAULTS: &[(&str, Expect)] = &[
    ("log.append:9:full", Expect::Refused),
    ("log.create:2:full", Expect::Refused),
    ("log.append:9:short-write", Expect::Stopped),
    ("log.flush:9:fsync-error", Expect::Stopped),
    ("log.create:2:fsync-error", Expect::Stopped),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// 53100, and all goes on.
    Refused,
    /// 08007 for whoever was committing, and no write any more.
    Stopped,
    /// Those whose records were their own are refused; who shared one goes by himself, and is done.
    PerhapsRefused,
}

/// Segments are short and tables change turns often, so that a short load gets there.
const ENVIRONMENT: &[(&str, &str)] = &[("RAIDB_FAULT_ROTATE_EVERY", "30"), ("RAIDB_FAULT_SEGMENT_BYTES", "4000")];

/// Longest time until a load reaches a flush of the log.
const REACHED_LIMIT: Duration = Duration::from_secs(10);

const WORKS: [Work; 3] = [Work::Insert, Work::Whole, Work::Whole];
/// Transactions whose statements run on the followers while the log takes its time, and then refuses them.
const KEYED: [Work; 3] = [Work::Keyed; 3];
const LATE_FAULTS: &[(&str, Expect)] = &[
    ("log.append:9:pause=20+full", Expect::Refused),
    // Longer than a line waits.
    ("log.append:30:pause=600+full", Expect::Refused),
    ("log.flush:9:pause=20+fsync-error", Expect::Stopped),
];

/// INSERTs that run as one transaction: a refusal rolls that back, and each goes by itself; an unknown outcome is everybody's.
const CROWD: [Work; 6] = [Work::Crowd; 6];
const CROWD_FAULTS: &[(&str, Expect)] =
    &[("log.append:9:full", Expect::PerhapsRefused), ("log.flush:9:pause=20+fsync-error", Expect::Stopped)];

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut bench = Bench::start(&options, ClusterOptions::default(), POINTS, ENVIRONMENT).await?;
    for (point, nth, recovery) in CRASHES {
        bench.restart(&format!("{point}:{nth}:crash")).await?;
        bench.check_last().await?;
        bench.load_ends_at(&WORKS, point).await?;
        bench.start_ends_at(recovery, 1).await?;
        bench.start_ends_at(recovery, if *recovery == "start.before_opening" { 1 } else { 2 }).await?;
        bench.behind(format!("{point} ({nth}), then {recovery} twice"));
    }
    let usual = FAULTS.iter().map(|fault| (fault, &WORKS[..]));
    let late = LATE_FAULTS.iter().map(|fault| (fault, &KEYED[..]));
    let crowd = CROWD_FAULTS.iter().map(|fault| (fault, &CROWD[..]));
    for ((fault, expect), works) in usual.chain(late).chain(crowd) {
        bench.restart(fault).await?;
        bench.check_last().await?;
        let told = bench.load(works, 20).await?.ended().await?;
        expect_told(&told, fault, *expect)?;
        bench.book(told);
        bench.behind(format!("{fault}: {expect:?}"));
        if *expect == Expect::Refused {
            // No restart is needed: the very next transactions are taken.
            let told = bench.load(works, 5).await?.ended().await?;
            expect_nothing_told(&told, fault)?;
            bench.book(told);
            bench.check_last().await?;
        }
    }
    for nth in [7, 11] {
        lines_end(&mut bench, nth).await?;
    }
    bench.restart("").await?;
    bench.check_last().await?;
    Ok(Summary::default().with("points", bench.report()).with("lost", 0))
}

/// While the log stands still, transactions are open on the lines, with their statements done. The lines of one follower end
/// then: nothing was committed there, so nothing is unknown; no client notices, and nothing is done twice.
async fn lines_end(bench: &mut Bench, nth: u32) -> Result<()> {
    let fault = format!("log.flush:{nth}:pause=200");
    bench.restart(&fault).await?;
    bench.check_last().await?;
    let load = bench.load(&KEYED, 20).await?;
    let begun = Instant::now();
    while !bench.log()?.contains("fault point log.flush reached") {
        if begun.elapsed() > REACHED_LIMIT {
            return fail(format!("{fault} was not reached"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(40)).await;
    let follower = (bench.cluster.lead().await? + 1) % bench.cluster.members.len();
    let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where application_name = 'raidb together' and datname = current_database()";
    let ended = bench.cluster.members[follower].endpoint().value(sql).await?;
    let told = load.ended().await?;
    expect_nothing_told(&told, &fault)?;
    bench.book(told);
    bench.behind(format!("{fault}, {ended} line ended"));
    if ended == "0" {
        return fail("no line was there to be ended");
    }
    bench.check_last().await
}

fn expect_told(told: &Told, fault: &str, expect: Expect) -> Result<()> {
    let refused = told.refusals.iter().any(|code| code == "53100");
    let doubted = told.doubts.iter().any(|text| text.starts_with("08007"));
    match expect {
        Expect::Refused if refused && told.doubts.is_empty() => Ok(()),
        Expect::PerhapsRefused if told.refusals.iter().all(|code| code == "53100") && told.doubts.is_empty() => Ok(()),
        Expect::Stopped if doubted && !refused => Ok(()),
        _ => fail(format!("{fault}: {expect:?} was expected, and told {:?} and {:?}", told.refusals, told.doubts)),
    }
}

fn expect_nothing_told(told: &Told, fault: &str) -> Result<()> {
    if told.refusals.is_empty() && told.doubts.is_empty() {
        return Ok(());
    }
    fail(format!("behind {fault} clients were told {:?} and {:?}", told.refusals, told.doubts))
}
