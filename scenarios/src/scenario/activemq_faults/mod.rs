//! A pair of real brokers on the proxy, with producers, consumers and durable subscribers, and a fault every 20 seconds: members
//! killed, frozen, cut off; the proxy killed; a broker killed. Every acknowledged message arrives; a duplicate is permitted only
//! where a connection was lost meanwhile, and counted; one master at a time.

mod client;
mod pair;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::chaos::{ENABLED_LIMIT, Fault, MEMBER_TIMEOUT, Watch};
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::workloads::activemq::{ActiveMq, Locker};
use crate::{Failure, Options, Result, Summary, fail};
use client::Client;
use pair::Pair;

/// Time from one fault to the next.
const EVERY: Duration = Duration::from_secs(20);
/// A short run has at least so many all the same.
const FAULTS_MIN: u32 = 4;
/// Longest time until a broker is the master, and messages flow again.
const FLOW_LIMIT: Duration = Duration::from_secs(90);
/// Longest time in which the old master may not have noticed yet that the lock is another one's: a keep-alive and the broker's stop.
const OVERLAP_LIMIT: Duration = Duration::from_secs(15);
/// Longest time for what was sent to arrive, and the program to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
/// An acknowledgement has met the store so long after the message came.
const ACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(5);
/// Longest time for the last acknowledgements to reach the store.
const EMPTY_LIMIT: Duration = Duration::from_secs(20);
/// Messages of queues that are left in the store.
const LEFT: &str = "select count(*) from activemq_msgs where container like 'queue:%'";

/// What is done to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// To members, links and proxy.
    Fault(Fault),
    /// kill -9 of the broker that is the master.
    MasterKill,
    /// kill -9 of the broker that waits.
    StandbyKill,
}

impl Deed {
    fn chosen(options: &Options) -> Result<Vec<Self>> {
        let brokers = [Self::MasterKill, Self::StandbyKill];
        match options.faults.as_deref() {
            Some("none") => Ok(Vec::new()),
            _ if options.bare => Ok(brokers.to_vec()),
            None | Some("all") => {
                // Twice as often as the others: a master that dies is what brokers are made for.
                let faults = Fault::ALL.into_iter().map(Self::Fault);
                Ok(faults.chain(brokers).chain([Self::MasterKill]).collect())
            }
            Some(named) => {
                let (brokers, faults): (Vec<_>, Vec<_>) =
                    named.split(',').partition(|name| ["master_kill", "standby_kill"].contains(name));
                let brokers = brokers.into_iter().map(|name| match name {
                    "master_kill" => Self::MasterKill,
                    _ => Self::StandbyKill,
                });
                let chosen = if faults.is_empty() { Vec::new() } else { Fault::chosen(Some(&faults.join(",")))? };
                Ok(chosen.into_iter().map(Self::Fault).chain(brokers).collect())
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.name(),
            Self::MasterKill => "master_kill",
            Self::StandbyKill => "standby_kill",
        }
    }

    /// False if brokers must not notice: none may end by itself, and none become a second master.
    fn takes_the_store_away(self) -> bool {
        match self {
            Self::Fault(fault) => !fault.is_unnoticed(),
            Self::StandbyKill | Self::MasterKill => false,
        }
    }
}

pub(super) async fn run(options: Options) -> Result<Summary> {
    let programs = Arc::new(ActiveMq::compile().await?);
    let lockers: Vec<Locker> = match options.only.as_deref() {
        None => vec![Locker::Default, Locker::Lease],
        Some("default") => vec![Locker::Default],
        Some("lease") => vec![Locker::Lease],
        Some(other) => return fail(format!("no locker {other}: there are default, lease")),
    };
    let length = Duration::from_secs(options.seconds) / u32::try_from(lockers.len())?;
    options.timeline.begin(Duration::from_secs(options.seconds));
    let mut summary = Summary::default();
    for locker in lockers {
        let figures = one(&options, &programs, (locker, length)).await.map_err(|e| e.during(locker.name()))?;
        summary = summary.with(locker.name(), figures);
    }
    Ok(summary)
}

async fn one(options: &Options, programs: &Arc<ActiveMq>, (locker, length): (Locker, Duration)) -> Result<String> {
    let deeds = Deed::chosen(options)?;
    let relays = deeds.iter().any(|deed| matches!(deed, Deed::Fault(fault) if fault.is_on_link()));
    let setup = ClusterOptions { member_timeout: MEMBER_TIMEOUT, relays, ..ClusterOptions::default() };
    let cluster = Cluster::start(options, setup).await?;
    let pair = Pair::start(programs, &cluster.endpoint(), locker, cluster.home())?;
    pair.master(FLOW_LIMIT).await?;
    let client = Client::start(programs, pair.ports, length, (cluster.home(), options.timeline.clone()))?;
    let watch = cluster.proxy.as_ref().map(|proxy| Watch::start(proxy.admin()));
    let mut course =
        Course { cluster, pair, client, watch, chance: StdRng::seed_from_u64(options.seed), away: Vec::new() };
    let every = EVERY.min(length / FAULTS_MIN);
    let count = course.faults(&deeds, every, options).await?;
    if count == 0 && !deeds.is_empty() {
        return fail("the load was over before the first fault");
    }
    let result = course.client.result(length + DRAIN_LIMIT).await?;
    course.own_ends()?;
    let (takeovers, overlaps, doubled) = (course.pair.takeovers(), course.overlaps()?, course.doubled()?);
    course.end().await?;
    Ok(format!("[{result} faults={count} takeovers={takeovers} doubled_by_store={doubled} {overlaps}]"))
}

/// Everything of a run. Fields are dropped in order: clients of a process before the process.
struct Course {
    client: Client,
    pair: Pair,
    watch: Option<Watch>,
    cluster: Cluster,
    chance: StdRng,
    /// From when to when the store was away, so that brokers may have noticed something.
    away: Vec<(Instant, Instant)>,
}

impl Course {
    /// One fault after the other, as long as messages are produced.
    async fn faults(&mut self, deeds: &[Deed], every: Duration, options: &Options) -> Result<u64> {
        self.client.moves(FLOW_LIMIT).await?;
        let (mut count, mut next) = (0, Instant::now());
        loop {
            let mut round = deeds.to_vec();
            round.shuffle(&mut self.chance);
            for deed in round {
                next = (next + every).max(Instant::now());
                sleep(next.saturating_duration_since(Instant::now())).await;
                if !self.client.is_producing() {
                    return Ok(count);
                }
                let began = Instant::now();
                let what = self.inflict(deed).await.map_err(|error| error.during(deed.name()))?;
                let flowing = Instant::now();
                options.timeline.mark((began, flowing), deed.name(), &what);
                eprintln!(
                    "activemq_faults {}: {what}; messages flow {:.1?} after its begin",
                    deed.name(),
                    flowing - began
                );
                count += 1;
            }
            if deeds.is_empty() && !self.client.is_producing() {
                return Ok(0);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Does it, and waits until everything is as before. Returns what was done.
    async fn inflict(&mut self, deed: Deed) -> Result<String> {
        let began = Instant::now();
        let what = match deed {
            Deed::Fault(fault) => {
                let done = fault.inflict(&mut self.cluster, &mut self.chance, MEMBER_TIMEOUT).await?;
                let Some(watch) = &self.watch else { return fail("this fault needs the proxy") };
                let back = watch.all_enabled((done.at, done.back), done.out.as_deref(), ENABLED_LIMIT).await;
                back.map_err(|error| error.during(&done.what))?;
                watch.expect_not_out(done.stays.as_deref(), done.at)?;
                done.what
            }
            Deed::MasterKill => {
                let master = self.pair.master(FLOW_LIMIT).await?;
                self.pair.kill(master).await?;
                sleep(Duration::from_millis(self.chance.random_range(100..500))).await;
                format!("kill -9 of broker {master}, the master")
            }
            Deed::StandbyKill => {
                let standby = 1 - self.pair.master(FLOW_LIMIT).await?;
                self.pair.kill(standby).await?;
                format!("kill -9 of broker {standby}, which waited")
            }
        };
        self.pair.master(FLOW_LIMIT).await?;
        self.client.moves(FLOW_LIMIT).await.map_err(|error| error.during(&what))?;
        if deed.takes_the_store_away() {
            self.away.push((began, Instant::now()));
        }
        self.own_ends().map_err(|error| error.during(&what))?;
        Ok(what)
    }

    /// Two masters at once are permitted only where the first one had lost its connection, and not for long: the lock itself is
    /// another one's, and what the old master writes meanwhile is refused or harmless. It is what one PostgreSQL that
    /// is restarted gives, too.
    fn overlaps(&self) -> Result<String> {
        let overlaps = self.pair.overlaps();
        for overlap in &overlaps {
            let excused = self.was_away(overlap.at);
            if !excused || overlap.length > OVERLAP_LIMIT {
                return fail(format!(
                    "two masters for {:?}, though no fault explains it (excused: {excused})",
                    overlap.length
                ));
            }
        }
        let longest = overlaps.iter().map(|overlap| overlap.length).max().unwrap_or_default();
        Ok(format!("overlaps={} longest_overlap_ms={}", overlaps.len(), longest.as_millis()))
    }

    /// No broker ends by itself, unless the store was away.
    fn own_ends(&self) -> Result<()> {
        match self.pair.own_ends().into_iter().find(|(at, _)| !self.was_away(*at)) {
            Some((_, name)) => fail(format!("broker {name} has ended by itself, though the store was there")),
            None => Ok(()),
        }
    }

    /// The store was away then, or just before.
    fn was_away(&self, at: Instant) -> bool {
        self.away.iter().any(|(from, to)| (*from..=*to + OVERLAP_LIMIT).contains(&at))
    }

    /// A message that came twice though its clients had their connections all the time: only if the broker's own write may have met a fault
    /// that it could notice (the proxy gone, all members gone): then it does not know either whether the acknowledgement is stored.
    fn doubled(&self) -> Result<usize> {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let at = |instant: Instant| clock - now.saturating_duration_since(instant);
        let doubled = self.client.doubled();
        let unexcused = doubled.iter().find(|one| {
            let met = |(from, to): &(Instant, Instant)| one.from <= at(*to) && one.to + ACKNOWLEDGED_LIMIT >= at(*from);
            !self.away.iter().any(met)
        });
        match unexcused {
            Some(one) => fail(format!("message {} came twice, and no fault explains it: {one:?}", one.id)),
            None => Ok(doubled.len()),
        }
    }

    /// The store is empty, and members are equal.
    async fn end(self) -> Result<()> {
        let Self { client, pair, watch, cluster, .. } = self;
        let start = Instant::now();
        loop {
            let left = cluster.endpoint().value(LEFT).await?;
            if left == "0" {
                break;
            }
            if start.elapsed() > EMPTY_LIMIT {
                return Err(Failure::new(format!("{left} consumed messages are still in the store")));
            }
            sleep(Duration::from_millis(200)).await;
        }
        drop((client, pair, watch));
        cluster.expect_all_enabled().await?;
        let members: Vec<&Member> = cluster.members.iter().collect();
        members_equal(&members, EqualityOptions::default().without_sequences()).await?;
        Ok(())
    }
}
