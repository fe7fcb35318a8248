//! Faults of the links between proxy and members. Each heals its link, and asserts that something happened on it.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::faults::Inflicted;
use crate::cluster::{Cluster, Delay, LinkState, Relay, Shape, Way};
use crate::{Result, fail};

/// A slow link: 100 ms more for each round trip, with jitter; 1 Mbit/s; 1 % of the pieces are lost.
const SLOW: Shape = Shape {
    delay: Delay { probability: 1.0, least: Duration::from_millis(40), longest: Duration::from_millis(60) },
    bytes_per_second: Some(125_000),
    loss: 0.01,
};
/// How long it is slow.
const SLOW_FOR: Duration = Duration::from_secs(2);

/// Everything is lost; when the link is back the member still has connections of which the proxy knows nothing.
pub(super) async fn cut(cluster: &Cluster, victim: usize, length: Duration) -> Result<Inflicted> {
    let before = cluster.link(victim)?.dropped();
    let done = for_a_while(cluster, victim, LinkState::Dropped, length).await?;
    expect(cluster.link(victim)?.dropped() > before, done, "nothing was lost")
}

/// RST for all connections.
pub(super) async fn reset(cluster: &Cluster, victim: usize, length: Duration) -> Result<Inflicted> {
    let before = cluster.link(victim)?.reset();
    let done = for_a_while(cluster, victim, LinkState::Reset, length).await?;
    expect(cluster.link(victim)?.reset() > before, done, "no connection was reset")
}

/// One direction stands still.
pub(super) async fn half_open(
    cluster: &Cluster,
    victim: usize,
    (length, chance): (Duration, &mut StdRng),
) -> Result<Inflicted> {
    let held = if chance.random_bool(0.5) { Way::Requests } else { Way::Answers };
    for_a_while(cluster, victim, LinkState::HalfOpen(held), length).await
}

/// Nobody may be disabled for a link that is slow.
pub(super) async fn slow(cluster: &Cluster, victim: usize) -> Result<Inflicted> {
    let (name, link) = (cluster.members[victim].name(), cluster.link(victim)?);
    let (at, before) = (Instant::now(), link.delayed());
    link.reshape(SLOW);
    sleep(SLOW_FOR).await;
    link.reshape(Shape::PLAIN);
    let what = format!("link of {name} slow for {SLOW_FOR:?}");
    let done = Inflicted { at, back: Instant::now(), out: None, stays: Some(name.to_owned()), what };
    expect(link.delayed() > before, done, "nothing was delayed")
}

async fn for_a_while(cluster: &Cluster, victim: usize, state: LinkState, length: Duration) -> Result<Inflicted> {
    let (name, link): (_, &Relay) = (cluster.members[victim].name(), cluster.link(victim)?);
    let role = if cluster.lead().await? == victim { "the lead" } else { "a follower" };
    let at = Instant::now();
    link.set(state);
    sleep(length).await;
    link.set(LinkState::Open);
    let what = format!("link of {name} ({role}) {state:?} for {length:?}");
    Ok(Inflicted { at, back: Instant::now(), out: Some(name.to_owned()), stays: None, what })
}

fn expect(happened: bool, done: Inflicted, if_not: &str) -> Result<Inflicted> {
    if happened { Ok(done) } else { fail(format!("{}: {if_not}", done.what)) }
}
