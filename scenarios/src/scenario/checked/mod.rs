//! Loads that judge themselves (`workloads::checked`), with members killed and frozen meanwhile. At the end members are
//! compared with each other, and each with what clients were told.

mod against;
pub(super) mod bank;
mod disabling;
pub(super) mod locks;
pub(super) mod messages;
pub(super) mod registers;
pub(super) mod unique_inserts;

use std::time::Duration;

use tokio::time::timeout;

use super::chaos::{Fault, Faults, MEMBER_TIMEOUT, Watch};
use super::model_delayed::QUICK_DEADLOCKS;
use crate::checkers::{EqualityOptions, hang_report, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::checked::{Course, SCHEMA, Workload};
use crate::{Options, Result, Summary, fail};

/// Faults, if the command line names none.
const FAULTS: &str = "member_kill,member_freeze";
/// How much longer than the load, and the fault that it ends in, a run may take.
const HANG_LIMIT: Duration = Duration::from_secs(60);
/// The history, in the run's folder.
const HISTORY: &str = "history.jsonl";

async fn run(options: Options, workload: impl Workload) -> Result<Summary> {
    if let Some(against) = &options.against {
        return against::run(against, &options, &workload).await;
    }
    let faults = chosen(&options)?;
    let setup = ClusterOptions {
        member_timeout: MEMBER_TIMEOUT,
        relays: faults.iter().any(|fault| fault.is_on_link()),
        member_settings: vec![QUICK_DEADLOCKS.to_owned()],
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    endpoint.execute(&format!("create schema {SCHEMA}; {}", workload.tables())).await?;
    let history = options.keep.then(|| cluster.home().join(HISTORY));
    let course = Course::begin(endpoint, &options, history.as_deref())?;
    let limit = Duration::from_secs(options.seconds) + HANG_LIMIT;
    let count = match timeout(limit, under(&mut cluster, (&course, &workload), (faults, &options))).await {
        Ok(count) => count?,
        Err(_) => return fail(format!("no end within {limit:?}:\n{}", hang_report(&cluster).await)),
    };
    cluster.expect_all_enabled().await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    let rows = members_equal(&members, EqualityOptions::default().without_sequences()).await?;
    course.verdict()?;
    for member in members {
        workload.check(&course, &member.endpoint()).await?;
    }
    Ok(workload.figures(course.figures()).with("faults", count).with("rows", rows))
}

/// The load, and the faults meanwhile. Returns how many there were.
async fn under(
    cluster: &mut Cluster,
    (course, workload): (&Course, &impl Workload),
    (faults, options): (Vec<Fault>, &Options),
) -> Result<u64> {
    if faults.is_empty() {
        course.run(workload).await?;
        return Ok(0);
    }
    let watch = Watch::start(cluster.proxy()?.admin());
    let mut faults = Faults::new(faults, options.seed, &watch, options.timeline.clone());
    let ((), count) = faults.during(cluster, course.run(workload)).await?;
    Ok(count)
}

/// None on a bare server, and if `--faults none` says so.
fn chosen(options: &Options) -> Result<Vec<Fault>> {
    match options.faults.as_deref() {
        _ if options.bare => Ok(Vec::new()),
        Some("none") => Ok(Vec::new()),
        Some("all") => Fault::chosen(None),
        named => Fault::chosen(Some(named.unwrap_or(FAULTS))),
    }
}
