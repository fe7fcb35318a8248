//! Nothing is ever lost: members and proxy are killed and frozen, cycle by cycle, under a mixed load that never ends.
//!
//! A cycle: a fault, everything started again after a moment, all members enabled by themselves, all clients go on;
//! then writers pause and members are compared with each other and with what the clients were told. The first cycle
//! that fails ends the run, with everything that is known about it.

mod checks;
mod diagnosis;
mod during;
mod faults;
mod links;
mod load;
mod report;
mod watch;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::timeline::Timeline;
use crate::{Failure, Options, Result, Summary, fail};
use checks::{Base, Findings, check};
use diagnosis::explain;
use faults::Inflicted;
use load::{CycleLog, Load};
use report::Report;

pub(super) use during::Faults;
pub(super) use faults::Fault;
pub(super) use report::percentile;
pub(super) use watch::Watch;

/// `member_timeout` of the proxy: short, so that cycles are.
pub(super) const MEMBER_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time from the last start of a process until all members are enabled.
pub(super) const ENABLED_LIMIT: Duration = Duration::from_secs(30);
/// Longest time until every client has had another write acknowledged, with all members enabled.
const MOVE_LIMIT: Duration = Duration::from_secs(10);
/// The load runs for so many milliseconds before the fault.
pub(super) const RUN_UP_MS: std::ops::Range<u64> = 500..1500;
/// What a cycle takes, about: the report's curves are made for that length.
const CYCLE_LENGTH: Duration = Duration::from_secs(4);
/// Acknowledged keys above which the growing tables are emptied, so that a long run's checks stay short.
const KEYS_LIMIT: usize = 10_000;

pub(super) async fn run(options: Options) -> Result<Summary> {
    let faults = Fault::chosen(options.only.as_deref())?;
    let start = Instant::now();
    let setup = ClusterOptions { member_timeout: MEMBER_TIMEOUT, relays: true, ..ClusterOptions::default() };
    let cluster = Cluster::start(&options, setup).await?;
    let watch = Watch::start(cluster.proxy()?.admin());
    let cycles = options.cycles * u32::try_from(faults.len())?;
    options.timeline.begin(CYCLE_LENGTH * cycles);
    let load = Load::start(&cluster.endpoint(), options.clients, (options.seed, options.timeline.clone())).await?;
    let mut chaos = Chaos {
        report: Report::new(&faults),
        base: Base::default(),
        timeline: options.timeline.clone(),
        watch,
        load,
        cluster,
    };

    let result = chaos.rounds(&options, &faults).await;
    println!("{}", chaos.report.markdown());
    if let Some(file) = &options.report {
        let end = if result.is_ok() { "passed" } else { "FAILED" };
        let heading = format!("seed {}, {} cycles each, {end}", options.seed, options.cycles);
        chaos.report.write(file, &heading)?;
    }
    result?;
    let (writes, unknown) = chaos.report.totals();
    let seconds = start.elapsed().as_secs();
    chaos.end().await?;
    Ok(Summary::default()
        .with("cycles", faults.len() * usize::try_from(options.cycles)?)
        .with("acknowledged", writes)
        .with("unknown", unknown)
        .with("lost", 0)
        .with("seconds", seconds))
}

/// Everything of a run. Fields are dropped in order: clients of a process before the process.
struct Chaos {
    report: Report,
    base: Base,
    timeline: Timeline,
    watch: Watch,
    load: Load,
    cluster: Cluster,
}

impl Chaos {
    /// Every fault once a round, in random order; a round's chance comes from its own seed, so that it can be run alone.
    async fn rounds(&mut self, options: &Options, faults: &[Fault]) -> Result<()> {
        for round in 0..options.cycles {
            let seed = options.seed + u64::from(round);
            let mut order = faults.to_vec();
            order.shuffle(&mut StdRng::seed_from_u64(seed));
            for fault in order {
                let number = Fault::ALL.iter().position(|other| *other == fault).unwrap_or_default() as u64;
                let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(1000) + number);
                let round = format!("{}/{}", round + 1, options.cycles);
                self.cycle(fault, &round, &mut chance).await.map_err(|failure| {
                    failure.during(format!("cycle {round} of {fault}, its seed is {seed} (--seed {seed} --cycles 1)"))
                })?;
            }
        }
        Ok(())
    }

    /// One cycle. A failure is explained as long as all processes still are as they failed.
    async fn cycle(&mut self, fault: Fault, round: &str, chance: &mut StdRng) -> Result<()> {
        let start = Instant::now();
        let mut inflicted = None;
        let result = self.try_cycle(fault, round, chance, &mut inflicted).await;
        let Err(failure) = result else {
            return Ok(());
        };
        let since = inflicted.as_ref().map_or(start, |done| done.at);
        let what = inflicted.map_or_else(|| "the fault was not completed".to_owned(), |done| done.what);
        let known = explain(&mut self.cluster, &self.watch, since).await;
        Err(Failure::new(format!("{what}: {failure}\n{known}")))
    }

    async fn try_cycle(
        &mut self,
        fault: Fault,
        round: &str,
        chance: &mut StdRng,
        inflicted: &mut Option<Inflicted>,
    ) -> Result<()> {
        let began = Instant::now();
        sleep(Duration::from_millis(chance.random_range(RUN_UP_MS))).await;
        let done = &*inflicted.insert(fault.inflict(&mut self.cluster, chance, MEMBER_TIMEOUT).await?);
        self.timeline.mark((done.at, done.back), fault.name(), &done.what);
        let to_enabled = self.all_back(done).await?;
        self.watch.expect_not_out(done.stays.as_deref(), done.at)?;
        self.load.pause().await?;
        let found = check(&self.cluster, &self.load, &self.base).await?;
        let log = self.load.take_cycle();
        let pause = report::pauses(&log, done.at).into_iter().max().unwrap_or_default();
        eprintln!(
            "chaos {round} {fault}: {} acknowledged, {} unknown, aborted {:?}, longest pause {} ms, all enabled \
             {} ms after the last start, cycle {:.1?}: {}",
            log.writes(),
            log.unknown,
            log.aborted,
            pause.as_millis(),
            to_enabled.as_millis(),
            began.elapsed(),
            done.what
        );
        self.report.add(fault, &log, (done.at, to_enabled), &found);
        verdict(fault, &log, &found)?;
        // They must not have been enabled for a moment only.
        self.cluster.expect_all_enabled().await?;
        self.empty_long_tables().await?;
        self.load.resume();
        Ok(())
    }

    /// Waits until all members are enabled and stay so while every client has another write acknowledged: a proxy that
    /// was just started may call a member enabled until it has looked. Returns the time from the last start on.
    async fn all_back(&self, done: &Inflicted) -> Result<Duration> {
        loop {
            self.watch.all_enabled((done.at, done.back), done.out.as_deref(), ENABLED_LIMIT).await?;
            self.load.everyone_moves(MOVE_LIMIT).await?;
            let moved = Instant::now();
            self.watch.look_after(moved, MOVE_LIMIT).await?;
            if let Some(since) = self.watch.all_enabled_since(moved) {
                return Ok(since.saturating_duration_since(done.back));
            }
            if done.back.elapsed() > ENABLED_LIMIT + MOVE_LIMIT {
                return fail("members are enabled, but do not stay so");
            }
        }
    }

    /// Empties the tables that grow, through the proxy, when they have become long.
    async fn empty_long_tables(&mut self) -> Result<()> {
        if self.load.with_ledger(|ledger| ledger.len()) < KEYS_LIMIT {
            return Ok(());
        }
        self.base = Base::read(&self.cluster.members[0]).await?;
        self.cluster.endpoint().execute(load::EMPTIED).await?;
        self.load.with_ledger(load::Ledger::forget_rows);
        Ok(())
    }

    /// Ends the load; its endless transaction must leave no trace.
    async fn end(self) -> Result<()> {
        let Self { load, cluster, .. } = self;
        load.stop().await?;
        let members: Vec<&Member> = cluster.members.iter().collect();
        members_equal(&members, EqualityOptions::default().without_sequences()).await?;
        for member in members {
            let time = member.endpoint().value("select coalesce(time, -1) from broker_lock").await?;
            if time != "-1" {
                return fail(format!("{}: a keep-alive of a lock transaction that never ended: {time}", member.name()));
            }
        }
        Ok(())
    }
}

/// Fails if anything was found, or if clients noticed what they must not.
fn verdict(fault: Fault, log: &CycleLog, found: &Findings) -> Result<()> {
    let mut wrong = found.texts.clone();
    wrong.extend(log.unexpected.iter().map(|text| format!("unexpected answer: {text}")));
    if fault.is_unnoticed() {
        wrong.extend(log.unknown_texts.iter().map(|text| format!("unknown outcome: {text}")));
        wrong.extend(log.holder_losses.iter().map(|text| format!("the lock transaction was lost: {text}")));
        let others = log.aborted.iter().filter(|(code, _)| !code.starts_with("40"));
        wrong.extend(others.map(|(code, count)| format!("{count} transactions ended by {code}")));
    }
    if wrong.is_empty() { Ok(()) } else { fail(format!("{} things are wrong:\n{}", wrong.len(), wrong.join("\n"))) }
}
