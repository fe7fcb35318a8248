//! A relay between session and server that loses answers, or keeps requests back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Where to connect, and what the relay does.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    server: u16,
    /// A connection is cut when so many bytes of answers have passed, give or take; 0: never.
    answers_max: AtomicU64,
    /// Requests wait for so long before they go to the server.
    hold_ms: AtomicU64,
    cut: AtomicUsize,
}

impl Relay {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let relay = Self { port, shared: Arc::new(Shared { server, ..Shared::default() }) };
        let shared = Arc::clone(&relay.shared);
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                tokio::spawn(pass(client, Arc::clone(&shared), number));
            }
        });
        relay
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.answers_max.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn hold(&self, time: Duration) {
        self.shared.hold_ms.store(u64::try_from(time.as_millis()).expect("a time"), Ordering::Relaxed);
    }

    /// Connections that were cut.
    pub(crate) fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::Relaxed)
    }
}

async fn pass(client: TcpStream, shared: Arc<Shared>, number: u64) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let holding = Arc::clone(&shared);
    // It goes on when the client is gone: what the client has sent arrives, however late.
    let requests = tokio::spawn(async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            let hold = holding.hold_ms.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(hold)).await;
            if to_server.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    });
    let (mut bytes, mut passed) = (vec![0; 64 * 1024], 0_u64);
    while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
        passed += count as u64;
        let limit = shared.answers_max.load(Ordering::Relaxed);
        // Every connection ends at another place.
        if limit > 0 && passed > limit + number * 37 % limit {
            shared.cut.fetch_add(1, Ordering::Relaxed);
            requests.abort();
            return;
        }
        if to_client.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    let _ = requests.await;
}
