//! One direction of one connection: a reader that says when each piece is due, and a writer that waits until then.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Link;
use super::conditions::{LinkState, Way};

/// Bytes moved at a time; a delay is drawn for each piece.
const PIECE: usize = 16 * 1024;
/// Pieces on their way in one direction of a connection. At the limit the sender waits, as for a full window.
const PIECES_MAX: usize = 64;
/// How much later a piece comes that is lost once: the shortest time after which Linux sends again.
const SENT_AGAIN: Duration = Duration::from_millis(200);

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// One of the two ends closed it.
    Closed,
    /// Bytes, or the end, were lost: it cannot go on.
    Holed,
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Moves bytes one way until either end closes.
pub(super) async fn pump(
    (from, to): (&mut OwnedReadHalf, &mut OwnedWriteHalf),
    link: &Link,
    way: Way,
    chance: StdRng,
) -> End {
    let (send, receive) = mpsc::channel(PIECES_MAX);
    let reading = read_all(from, link, (way, chance), send);
    let writing = write_all(to, link, way, receive);
    tokio::pin!(reading, writing);
    tokio::select! {
        end = &mut writing => end,
        () = &mut reading => writing.await,
    }
}

async fn read_all(from: &mut OwnedReadHalf, link: &Link, (way, mut chance): (Way, StdRng), send: mpsc::Sender<Piece>) {
    let mut buffer = vec![0; PIECE];
    let mut last = Instant::now();
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        last = due(link, way, length, &mut chance).max(last);
        if send.send(Piece { due: last, bytes: buffer[..length].to_vec() }).await.is_err() {
            return;
        }
    }
}

/// When that many bytes arrive, if they are sent now.
fn due(link: &Link, way: Way, length: usize, chance: &mut StdRng) -> Instant {
    let shape = link.conditions.borrow().shape;
    let mut due = Instant::now();
    if let Some(rate) = shape.bytes_per_second {
        due = link.occupy(way, Duration::from_secs_f64(length as f64 / f64::from(rate.max(1))));
    }
    let delay = shape.delay;
    if delay.probability > 0.0 && chance.random_bool(delay.probability) {
        link.counts.delayed.fetch_add(1, Ordering::Relaxed);
        due += delay.least + delay.longest.saturating_sub(delay.least).mul_f64(chance.random());
    }
    if shape.loss > 0.0 && chance.random_bool(shape.loss) {
        due += SENT_AGAIN;
    }
    due
}

async fn write_all(to: &mut OwnedWriteHalf, link: &Link, way: Way, mut receive: mpsc::Receiver<Piece>) -> End {
    let mut conditions = link.conditions.clone();
    loop {
        let piece = receive.recv().await;
        if let Some(piece) = &piece {
            sleep_until(piece.due).await;
        }
        // An error of these waits means that the relay is gone: the connection goes with it.
        let Ok(now) = conditions.wait_for(|now| !now.state.holds(way)).await.map(|now| *now) else {
            return End::Closed;
        };
        if now.state == LinkState::Dropped {
            link.counts.dropped.fetch_add(1, Ordering::Relaxed);
            let _ = conditions.wait_for(|now| now.state != LinkState::Dropped).await;
            return End::Holed;
        }
        let Some(piece) = piece else {
            return End::Closed;
        };
        if to.write_all(&piece.bytes).await.is_err() {
            return End::Closed;
        }
    }
}
