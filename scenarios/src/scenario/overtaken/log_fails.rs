//! The first transaction's intent is in the log, its locks were lost before, and the log takes no withdrawal: the intent
//! stands, and a restart carries it out. So the second one, which has got the row meanwhile and comes to its COMMIT while the
//! withdrawal is being written, must not be told of a commit: on members that had carried it out the first one would come
//! on top, on the others below.
//!
//! Which of the log's writes is the withdrawal depends on what else was logged; so each write in turn stands still and fails,
//! and that the withdrawal was among them is asserted.

use super::{Case, FIRST_ADDS, PAUSE_MS, SECOND_ADDS, Told, race, value};
use crate::scenario::crash_points::Bench;
use crate::{Result, fail};

/// The write that fails stands still for so long before.
const WRITE_PAUSE_MS: u64 = 900;
/// The second one gets the row at the beginning of the first one's pause, and comes to its COMMIT in that of the write.
const THINKS_MS: u64 = PAUSE_MS + WRITE_PAUSE_MS / 4;

/// The first one's statements name no rows, so it is registered before it is known that its locks were lost.
const CASES: &[Case] = &[
    Case {
        name: "at once",
        table: "ov_parent",
        first: "select 1",
        within_pause: false,
        second: true,
        thinks_ms: THINKS_MS,
    },
    Case {
        name: "usual",
        table: "ov_parent",
        first: "select v from ov_parent for update",
        within_pause: false,
        second: true,
        thinks_ms: THINKS_MS,
    },
];
/// How the log fails. Behind the first the disk is full for one write; behind the second the log takes nothing more.
const FAILURES: &[(&str, &str)] = &[("log.append", "full"), ("log.flush", "fsync-error")];
/// The race takes fewer writes than this.
const WRITES_MAX: u32 = 4;

/// Returns how often it was the withdrawal that failed.
pub(super) async fn run(bench: &mut Bench) -> Result<usize> {
    let mut withdrawals = 0;
    for case in CASES {
        let mut here = 0;
        for (point, failure) in FAILURES {
            for nth in 1..=WRITES_MAX {
                let what = format!("{}, {point}:{nth}:{failure}", case.name);
                let plan =
                    format!("commit.registering:1:pause={PAUSE_MS},{point}:{nth}:pause={WRITE_PAUSE_MS}+{failure}");
                here += usize::from(one(bench, case, &plan, &what).await.map_err(|e| e.during(&what))?);
            }
        }
        if here == 0 {
            return fail(format!("{}: no withdrawal was among the writes that failed", case.name));
        }
        withdrawals += here;
    }
    Ok(withdrawals)
}

/// Whether the withdrawal failed.
async fn one(bench: &mut Bench, case: &Case, plan: &str, what: &str) -> Result<bool> {
    bench.restart("").await?;
    let out = bench.cluster.members.last().map(|member| member.name().to_owned()).unwrap_or_default();
    let before = value(&bench.cluster.members[0], case).await?;
    // It gets all of this from the log.
    bench.member("disable", &out).await?;
    bench.restart(plan).await?;
    let lead = &bench.cluster.members[bench.cluster.lead().await?];
    let Told { first, second } = race(bench, lead, case).await?;
    bench.restart("").await?;
    bench.member("enable", &out).await?;
    bench.check(&format!("{what}: {first}, {second}")).await?;
    let found = value(&bench.cluster.members[0], case).await? - before;
    if first == "connection" || second == "connection" {
        return fail("a client was not told why its session ended");
    }
    let possible = |told: &str, adds: i32| match told {
        "ok" => vec![adds],
        "08007" => vec![0, adds],
        _ => vec![0],
    };
    let (firsts, seconds) = (possible(&first, FIRST_ADDS), possible(&second, SECOND_ADDS));
    if !firsts.iter().any(|one| seconds.iter().any(|two| one + two == found)) {
        return fail(format!("the first was told {first}, the second {second}, and {found} was added"));
    }
    let stands = found == FIRST_ADDS || found == FIRST_ADDS + SECOND_ADDS;
    if stands && second == "ok" {
        return fail("the first one's intent stands, and the second one was told of its commit");
    }
    // Told "unknown" though its locks were lost: the intent could not be taken back.
    Ok(first == "08007" && second != "ok")
}
