//! A TCP relay for one link: adds seeded delays, and can cut, freeze or half-open it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::Result;

/// Bytes moved at a time; a delay is drawn for each piece.
const PIECE: usize = 16 * 1024;

/// How long pieces are held up.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    /// Share of the pieces that are held up, 0 to 1.
    pub probability: f64,
    /// Longest delay; the actual one is evenly distributed below it.
    pub longest: Duration,
}

impl Delay {
    /// Everything passes at once.
    pub const NONE: Self = Self { probability: 0.0, longest: Duration::ZERO };
}

/// What a link does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Passes them in both directions.
    Open,
    /// Holds them in both directions; connections stay up.
    Frozen,
    /// Passes requests to the server and holds its answers.
    HalfOpen,
    /// Resets every connection, and each new one.
    Cut,
}

/// A relay in front of one server. Dropping it closes the link.
#[derive(Debug)]
pub struct DelayRelay {
    port: u16,
    state: watch::Sender<LinkState>,
    connections: Arc<AtomicU64>,
    delayed: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

/// What the two pumps of a connection share with the relay.
#[derive(Clone)]
struct Link {
    target: u16,
    seed: u64,
    delay: Delay,
    state: watch::Receiver<LinkState>,
    delayed: Arc<AtomicU64>,
}

impl DelayRelay {
    /// Listens on a free port and relays to `target` on the loopback address.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(target: u16, delay: Delay, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, receiver) = watch::channel(LinkState::Open);
        let connections = Arc::new(AtomicU64::new(0));
        let delayed = Arc::new(AtomicU64::new(0));
        let link = Link { target, seed, delay, state: receiver, delayed: Arc::clone(&delayed) };
        let accepting = tokio::spawn(accept(listener, link, Arc::clone(&connections)));
        Ok(Self { port, state, connections, delayed, accepting })
    }

    /// Port to connect to in place of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what the link does, for open connections and new ones.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Pieces held up so far: how a scenario asserts that its delays happened.
    #[must_use]
    pub fn delayed(&self) -> u64 {
        self.delayed.load(Ordering::Relaxed)
    }
}

impl Drop for DelayRelay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, link: Link, connections: Arc<AtomicU64>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(relay(client, link.clone(), number));
    }
}

async fn relay(client: TcpStream, link: Link, number: u64) {
    let mut state = link.state.clone();
    if *state.borrow() == LinkState::Cut {
        let _ = client.set_zero_linger();
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", link.target)).await else {
        return;
    };
    // Losing an optimisation is no reason to lose the link.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Both ends are reset, not closed in order, when a cut drops them.
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = StdRng::seed_from_u64(link.seed ^ (number << 1));
    let answers = StdRng::seed_from_u64(link.seed ^ ((number << 1) | 1));
    let cut = async {
        // An error means that the relay is gone: the link goes with it.
        let _ = state.wait_for(|state| *state == LinkState::Cut).await;
    };
    let held_requests = |state: LinkState| state == LinkState::Frozen;
    let held_answers = |state: LinkState| matches!(state, LinkState::Frozen | LinkState::HalfOpen);
    let (mut from_client, mut to_client) = (from_client, to_client);
    let (mut from_server, mut to_server) = (from_server, to_server);
    let was_cut = tokio::select! {
        () = cut => true,
        () = pump(&mut from_client, &mut to_server, &link, requests, held_requests) => false,
        () = pump(&mut from_server, &mut to_client, &link, answers, held_answers) => false,
    };
    if was_cut {
        let _ = (to_client.as_ref().set_zero_linger(), to_server.as_ref().set_zero_linger());
    }
}

/// Moves bytes one way until either end closes.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    link: &Link,
    mut chance: StdRng,
    held: impl Fn(LinkState) -> bool,
) {
    let mut state = link.state.clone();
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if link.delay.probability > 0.0 && chance.random_bool(link.delay.probability) {
            link.delayed.fetch_add(1, Ordering::Relaxed);
            sleep(link.delay.longest.mul_f64(chance.random())).await;
        }
        if state.wait_for(|state| !held(*state)).await.is_err() {
            return;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
