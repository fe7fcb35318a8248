//! A TCP relay for one link: delays with jitter, a limited bandwidth, loss; and it can freeze, half-open, drop or reset
//! what passes. All of it can be changed while connections are open.

mod conditions;
mod pump;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::Result;
use conditions::Conditions;
use pump::{End, pump};

pub use conditions::{Delay, LinkState, Shape, Way};

/// How long a server keeps a connection of which it was not told that it is gone.
const ORPHANED: Duration = Duration::from_secs(20);

/// What happened on a link so far.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    delayed: AtomicU64,
    dropped: AtomicU64,
    reset: AtomicU64,
}

/// A relay in front of one server. Dropping it closes the link.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    conditions: watch::Sender<Conditions>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

/// What the pumps of all connections share with the relay.
#[derive(Clone)]
struct Link {
    target: u16,
    seed: u64,
    conditions: watch::Receiver<Conditions>,
    counts: Arc<Counts>,
    /// Until when each direction is occupied by what was sent before.
    occupied: Arc<[Mutex<Instant>; 2]>,
}

impl Link {
    /// Occupies a direction for `length` more; returns until when.
    fn occupy(&self, way: Way, length: Duration) -> Instant {
        let mut until = self.occupied[way as usize].lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Instant::now()) + length;
        *until
    }
}

impl Relay {
    /// Listens on a free port and relays to `target` on the loopback address.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(target: u16, delay: Delay, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shape = Shape { delay, ..Shape::PLAIN };
        let (conditions, receiver) = watch::channel(Conditions { state: LinkState::Open, shape });
        let counts = Arc::new(Counts::default());
        let occupied = Arc::new([Mutex::new(Instant::now()), Mutex::new(Instant::now())]);
        let link = Link { target, seed, conditions: receiver, counts: Arc::clone(&counts), occupied };
        let accepting = tokio::spawn(accept(listener, link));
        Ok(Self { port, conditions, counts, accepting })
    }

    /// Port to connect to in place of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes whether the link passes bytes, for open connections and new ones. [`LinkState::Open`] heals it.
    pub fn set(&self, state: LinkState) {
        self.conditions.send_modify(|conditions| conditions.state = state);
    }

    /// Changes how good the link is, for all that is sent from now on.
    pub fn reshape(&self, shape: Shape) {
        self.conditions.send_modify(|conditions| conditions.shape = shape);
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Pieces held up so far: how a scenario asserts that its delays happened.
    #[must_use]
    pub fn delayed(&self) -> u64 {
        self.counts.delayed.load(Ordering::Relaxed)
    }

    /// Directions of connections of which something was lost for good.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Open connections that were reset by [`LinkState::Reset`].
    #[must_use]
    pub fn reset(&self) -> u64 {
        self.counts.reset.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, link: Link) {
    while let Ok((client, _)) = listener.accept().await {
        let number = link.counts.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(relay(client, link.clone(), number));
    }
}

async fn relay(client: TcpStream, link: Link, number: u64) {
    let mut conditions = link.conditions.clone();
    let state = conditions.borrow().state;
    if state == LinkState::Dropped {
        // It never reaches the server. An error means that the relay is gone.
        let _ = conditions.wait_for(|now| now.state != LinkState::Dropped).await;
    }
    if matches!(state, LinkState::Dropped | LinkState::Reset) {
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", link.target)).await else {
        // As near to "connection refused" as one can come who has accepted it.
        let _ = client.set_zero_linger();
        return;
    };
    // Losing an optimisation is no reason to lose the link.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = StdRng::seed_from_u64(link.seed ^ (number << 1));
    let answers = StdRng::seed_from_u64(link.seed ^ ((number << 1) | 1));
    let is_reset = async {
        let _ = conditions.wait_for(|now| now.state == LinkState::Reset).await;
    };
    let end = tokio::select! {
        () = is_reset => None,
        end = pump((&mut from_client, &mut to_server), &link, Way::Requests, requests) => Some(end),
        end = pump((&mut from_server, &mut to_client), &link, Way::Answers, answers) => Some(end),
    };
    if end == Some(End::Closed) {
        return;
    }
    // Ends are reset, not closed in order, when they are dropped. Who cannot be told is told nothing.
    let _ = (to_client.as_ref().set_zero_linger(), to_server.as_ref().set_zero_linger());
    if end.is_none() {
        link.counts.reset.fetch_add(1, Ordering::Relaxed);
        return;
    }
    drop((from_client, to_client));
    sleep(ORPHANED).await;
    drop((from_server, to_server));
}
