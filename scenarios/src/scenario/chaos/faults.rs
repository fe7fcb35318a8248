//! The faults: who is killed or frozen, when, and how each comes back. Each asserts that it happened.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use tokio::time::sleep;

use super::links;
use crate::cluster::{Cluster, Member, Proxy, is_alive};
use crate::{Failure, Result, fail};

/// What is killed stays away for between so many milliseconds.
const AWAY_MS: std::ops::Range<u64> = 100..700;
/// Longest time between the two deaths of [`Fault::MemberAndProxy`].
const PAIR_GAP_MS: u64 = 100;
/// Longest time between two deaths of [`Fault::AllMembers`]: three members die within a second.
const NEXT_GAP_MS: u64 = 300;
/// How much longer than `member_timeout` a member is frozen, or cut off.
const BEYOND_TIMEOUT: Duration = Duration::from_secs(1);

/// One kind of fault; a line of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// `kill -9` of a random member.
    MemberKill,
    /// `kill -9` of the proxy.
    ProxyKill,
    /// A random member and the proxy, in random order, within 100 ms.
    MemberAndProxy,
    /// All members within a second.
    AllMembers,
    /// SIGSTOP of a random member for longer than `member_timeout`, then SIGCONT.
    MemberFreeze,
    /// The link of a random member loses everything for longer than `member_timeout`; nobody is told.
    LinkCut,
    /// All connections of a random member are reset, and new ones for a moment as well.
    LinkReset,
    /// The link of a random member passes one direction only for longer than `member_timeout`.
    LinkHalfOpen,
    /// The link of a random member is slow: delay with jitter, little bandwidth, loss. Nobody may be disabled for it.
    LinkSlow,
}

/// What was done.
#[derive(Debug)]
pub(in super::super) struct Inflicted {
    /// Just before the first signal.
    pub at: Instant,
    /// When the last process was started again (not: when it was ready), or went on.
    pub back: Instant,
    /// The one member that the proxy must be seen to have taken out.
    pub out: Option<String>,
    /// The one member that the proxy must not have taken out.
    pub stays: Option<String>,
    /// For the person who reads a failure.
    pub what: String,
}

impl Fault {
    /// New ones at the end: chance is drawn by number.
    pub(in super::super) const ALL: [Self; 9] = [
        Self::MemberKill,
        Self::ProxyKill,
        Self::MemberAndProxy,
        Self::AllMembers,
        Self::MemberFreeze,
        Self::LinkCut,
        Self::LinkReset,
        Self::LinkHalfOpen,
        Self::LinkSlow,
    ];

    /// All of them, or those in the comma-separated list.
    pub(in super::super) fn chosen(only: Option<&str>) -> Result<Vec<Self>> {
        let Some(only) = only else {
            return Ok(Self::ALL.to_vec());
        };
        let find = |name: &str| Self::ALL.into_iter().find(|fault| fault.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        only.split(',')
            .map(|name| find(name).ok_or_else(|| Failure::new(format!("no fault {name}: there are {names}"))))
            .collect()
    }

    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::MemberKill => "member_kill",
            Self::ProxyKill => "proxy_kill",
            Self::MemberAndProxy => "member_and_proxy",
            Self::AllMembers => "all_members",
            Self::MemberFreeze => "member_freeze",
            Self::LinkCut => "link_cut",
            Self::LinkReset => "link_reset",
            Self::LinkHalfOpen => "link_half_open",
            Self::LinkSlow => "link_slow",
        }
    }

    /// True if it needs relays between proxy and members.
    pub(in super::super) fn is_on_link(self) -> bool {
        match self {
            Self::LinkCut | Self::LinkReset | Self::LinkHalfOpen | Self::LinkSlow => true,
            Self::MemberKill | Self::ProxyKill | Self::MemberAndProxy | Self::AllMembers | Self::MemberFreeze => false,
        }
    }

    /// True if enough members stay for clients to notice nothing: no lost connection, no unknown outcome, and no error
    /// but one that asks for the transaction to be tried again.
    pub(in super::super) fn is_unnoticed(self) -> bool {
        match self {
            Self::MemberKill | Self::MemberFreeze => true,
            Self::LinkCut | Self::LinkReset | Self::LinkHalfOpen | Self::LinkSlow => true,
            Self::ProxyKill | Self::MemberAndProxy | Self::AllMembers => false,
        }
    }

    /// Does it, and undoes it after a random delay. All choices come from `chance`.
    pub(in super::super) async fn inflict(
        self,
        cluster: &mut Cluster,
        chance: &mut StdRng,
        member_timeout: Duration,
    ) -> Result<Inflicted> {
        let victim = chance.random_range(0..cluster.members.len());
        match self {
            Self::MemberKill => kill_member(cluster, victim, away(chance)).await,
            Self::ProxyKill => kill_proxy(cluster, away(chance)).await,
            Self::MemberAndProxy => kill_pair(cluster, victim, chance).await,
            Self::AllMembers => kill_all(cluster, chance).await,
            Self::MemberFreeze => freeze(&cluster.members[victim], member_timeout + BEYOND_TIMEOUT).await,
            Self::LinkCut => links::cut(cluster, victim, member_timeout + BEYOND_TIMEOUT).await,
            Self::LinkReset => links::reset(cluster, victim, away(chance)).await,
            Self::LinkHalfOpen => links::half_open(cluster, victim, (member_timeout + BEYOND_TIMEOUT, chance)).await,
            Self::LinkSlow => links::slow(cluster, victim).await,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn away(chance: &mut impl Rng) -> Duration {
    Duration::from_millis(chance.random_range(AWAY_MS))
}

async fn kill_member(cluster: &mut Cluster, victim: usize, away: Duration) -> Result<Inflicted> {
    let lead = cluster.lead().await?;
    let role = if lead == victim { "the lead" } else { "a follower" };
    let member = &mut cluster.members[victim];
    let at = Instant::now();
    member_dies(member)?;
    let back = member_returns(member, away).await?;
    let what = format!("kill -9 of {} ({role}), started again {away:?} later", member.name());
    Ok(Inflicted { at, back, out: Some(member.name().to_owned()), stays: None, what })
}

async fn kill_proxy(cluster: &mut Cluster, away: Duration) -> Result<Inflicted> {
    let proxy = cluster.proxy_mut()?;
    let at = Instant::now();
    let old = proxy_dies(proxy)?;
    let back = proxy_returns(proxy, away, old).await?;
    Ok(Inflicted {
        at,
        back,
        out: None,
        stays: None,
        what: format!("kill -9 of the proxy, started again {away:?} later"),
    })
}

async fn kill_pair(cluster: &mut Cluster, victim: usize, chance: &mut StdRng) -> Result<Inflicted> {
    let gap = Duration::from_millis(chance.random_range(0..PAIR_GAP_MS));
    let member_first = chance.random_bool(0.5);
    let (member_away, proxy_away) = (away(chance), away(chance));
    let Cluster { members, proxy, .. } = cluster;
    let Some(proxy) = proxy else {
        return fail("this fault needs the proxy");
    };
    let member = &mut members[victim];
    let at = Instant::now();
    let (member_gap, proxy_gap) = if member_first { (Duration::ZERO, gap) } else { (gap, Duration::ZERO) };
    // Each death takes tens of milliseconds, so they must overlap to be that close.
    let old = tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let member_dying = scope.spawn(|| {
                thread::sleep(member_gap);
                member_dies(member)
            });
            thread::sleep(proxy_gap);
            let old = proxy_dies(proxy);
            member_dying.join().map_err(|_| Failure::new("the killing of a member panicked"))??;
            old
        })
    })?;
    let (took, name) = (at.elapsed(), member.name().to_owned());
    let (one, other) = tokio::try_join!(member_returns(member, member_away), proxy_returns(proxy, proxy_away, old))?;
    let order = if member_first { format!("{name}, then the proxy") } else { format!("the proxy, then {name}") };
    let what = format!(
        "kill -9 of {order} {gap:?} later, both gone after {took:.0?}; {name} started {member_away:?} later, the proxy \
         {proxy_away:?} later"
    );
    Ok(Inflicted { at, back: one.max(other), out: None, stays: None, what })
}

async fn kill_all(cluster: &mut Cluster, chance: &mut StdRng) -> Result<Inflicted> {
    let mut order: Vec<usize> = (0..cluster.members.len()).collect();
    order.shuffle(chance);
    let at = Instant::now();
    for (index, victim) in order.iter().enumerate() {
        if index > 0 {
            sleep(Duration::from_millis(chance.random_range(0..NEXT_GAP_MS))).await;
        }
        member_dies(&mut cluster.members[*victim])?;
    }
    let took = at.elapsed();
    let aways: Vec<Duration> = cluster.members.iter().map(|_| away(chance)).collect();
    let returning = cluster.members.iter_mut().zip(&aways).map(|(member, away)| member_returns(member, *away));
    let back = try_join_all(returning).await?.into_iter().max().unwrap_or(at);
    let order: Vec<_> = order.iter().map(|victim| cluster.members[*victim].name()).collect();
    let what = format!(
        "kill -9 of {} within {took:.0?}; in the order of the configuration started {aways:?} later",
        order.join(", ")
    );
    Ok(Inflicted { at, back, out: None, stays: None, what })
}

async fn freeze(member: &Member, length: Duration) -> Result<Inflicted> {
    let at = Instant::now();
    member.sigstop_all()?;
    sleep(length).await;
    member.sigcont_all()?;
    let what = format!("SIGSTOP of {} for {length:?}", member.name());
    Ok(Inflicted { at, back: Instant::now(), out: Some(member.name().to_owned()), stays: None, what })
}

fn member_dies(member: &mut Member) -> Result<()> {
    let pid = member.pid().ok_or_else(|| Failure::new(format!("{} did not run before its fault", member.name())))?;
    member.kill_9()?;
    expect_gone(pid, member.name())
}

fn proxy_dies(proxy: &mut Proxy) -> Result<u32> {
    let running = proxy.is_running()?;
    let Some(pid) = proxy.pid().filter(|_| running) else {
        return fail("the proxy had ended by itself before its fault");
    };
    proxy.kill_9()?;
    expect_gone(pid, "the proxy")?;
    Ok(pid)
}

fn expect_gone(pid: u32, name: &str) -> Result<()> {
    if is_alive(pid) { fail(format!("{name}, process {pid}, survived kill -9")) } else { Ok(()) }
}

/// Returns when it was started, which is before it is ready.
async fn member_returns(member: &mut Member, away: Duration) -> Result<Instant> {
    sleep(away).await;
    let start = Instant::now();
    member.restart().await?;
    Ok(start)
}

async fn proxy_returns(proxy: &mut Proxy, away: Duration, old: u32) -> Result<Instant> {
    sleep(away).await;
    let start = Instant::now();
    proxy.restart().await?;
    if proxy.pid() == Some(old) {
        return fail(format!("the proxy was killed and is still process {old}"));
    }
    Ok(start)
}
