//! Isolation as one PostgreSQL gives it: list-append histories of many clients on a few hot lists at each level, by the
//! proxy and, as the control, by one bare server with the same seed, the same load and the same checker.
//!
//! `--transactions` counts each client's; `--seconds` ends a level's load earlier. With `--faults` members and proxy are
//! killed and frozen meanwhile, as by `chaos`.

mod table;

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::chaos::{Fault, Faults, MEMBER_TIMEOUT, Watch};
use super::model_delayed::QUICK_DEADLOCKS;
use crate::checkers::isolation::{Ending, Kept, Level, Verdict, judge, kept};
use crate::checkers::{EqualityOptions, hang_report, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::list_append::{self, Clock, Load, Told};
use crate::{Failure, Options, Result, Summary, fail};
use table::{Line, Table};

/// `member_timeout` of a run without faults.
const CALM_TIMEOUT: Duration = Duration::from_secs(60);
/// What a transaction of each client may take on average before the run counts as hung.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(1);
/// What a run may take besides.
const HANG_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let levels = Level::chosen(options.only.as_deref())?;
    let mut table = Table::default();
    let result = both(&options, &levels, &mut table).await;
    println!("{}", table.markdown());
    if let Some(file) = &options.report {
        let end = if result.is_ok() { "passed" } else { "FAILED" };
        table.write(file, &format!("seed {}, {} clients, {end}", options.seed, options.clients))?;
    }
    result?;
    Ok(table.summary())
}

/// The control run first: if the checker or the load is wrong, it is wrong there.
async fn both(options: &Options, levels: &[Level], table: &mut Table) -> Result<()> {
    let control = Options { bare: true, faults: None, ..options.clone() };
    side("control", &control, levels, table).await?;
    if options.bare { Ok(()) } else { side("proxy", options, levels, table).await }
}

/// All levels on one set-up.
async fn side(name: &'static str, options: &Options, levels: &[Level], table: &mut Table) -> Result<()> {
    let setup = ClusterOptions {
        // Short where members are frozen; else a machine that is busy must not look as if one were.
        member_timeout: if options.faults.is_some() { MEMBER_TIMEOUT } else { CALM_TIMEOUT },
        relays: options.faults.is_some(),
        member_settings: vec![QUICK_DEADLOCKS.to_owned()],
        ..ClusterOptions::default()
    };
    let mut cluster = Cluster::start(options, setup).await?;
    for level in levels {
        let during = |what: Failure| what.during(format!("{name}, {}", level.sql()));
        let line = one_level(name, options, *level, &mut cluster).await.map_err(during)?;
        let verdict = table.add(line);
        if !verdict.is_clean() {
            return Err(during(Failure::new(verdict.to_string())));
        }
    }
    Ok(())
}

async fn one_level(name: &'static str, options: &Options, level: Level, cluster: &mut Cluster) -> Result<Line> {
    let endpoint = cluster.endpoint();
    endpoint.execute(&list_append::schema(level)).await?;
    let clock = Clock::default();
    let Options { seed, clients, transactions, .. } = *options;
    let start = Instant::now();
    let load = Load { seed, clients, transactions, until: Some(start + Duration::from_secs(options.seconds)), level };
    let limit = HANG_LIMIT + TRANSACTION_LIMIT * u32::try_from(transactions)?;
    let running = list_append::run(&endpoint, load, &clock);
    let ended = match &options.faults {
        None => timeout(limit, running).await.map(|told| told.map(|told| (told, 0))),
        Some(chosen) => {
            let chosen = Some(chosen.as_str()).filter(|chosen| *chosen != "all");
            let watch = Watch::start(cluster.proxy()?.admin());
            let mut faults = Faults::new(Fault::chosen(chosen)?, seed, &watch, options.timeline.clone());
            timeout(limit, faults.during(cluster, running)).await
        }
    };
    let Ok(ended) = ended else {
        return fail(format!("no end within {limit:?}:\n{}", hang_report(cluster).await));
    };
    let (mut told, faults) = ended?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(text) = told.unexpected.first() {
        return fail(format!("{} unexpected answers, the first: {text}", told.unexpected.len()));
    }
    let (verdict, kept) = check(cluster, level, &mut told, (clients, &clock)).await?;
    Ok(Line::new(name, level, &told, (seconds, faults), kept, verdict))
}

/// Members are equal, hold what was acknowledged and nothing that was refused, and the history is what the level allows.
async fn check(
    cluster: &Cluster,
    level: Level,
    told: &mut Told,
    (clients, clock): (usize, &Clock),
) -> Result<(Verdict, Kept)> {
    cluster.expect_all_enabled().await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    members_equal(&members, EqualityOptions::default()).await?;
    let lists = list_append::lists(members[0], level).await?;
    let kept = kept(&told.history, &lists)?;
    if told.count(Ending::Committed) == 0 {
        return fail("not one transaction was committed");
    }
    told.history.push(list_append::last_read(&lists, clients, clock));
    // The search may take seconds; members and proxy go on meanwhile.
    let verdict = tokio::task::block_in_place(|| judge(&told.history, level));
    told.history.pop();
    Ok((verdict, kept))
}
