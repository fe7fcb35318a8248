//! One writer: a connection, transactions of one kind one after the other, and what became of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::Shared;
use super::ledger::Kind;
use super::writes::write;
use crate::workloads::Ended;

/// Wait before the next attempt to connect.
const RETRY: Duration = Duration::from_millis(20);

/// Writes until the gate closes. After the loss of its connection it connects again, patiently.
pub(super) async fn run(shared: Arc<Shared>, number: usize, seed: u64) {
    let kind = Kind::of(number);
    let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(number as u64));
    // Half of the writers of each kind use the simple protocol.
    let is_simple = (number / Kind::ALL.len()).is_multiple_of(2);
    let mut key = (number as i64) << 32;
    let mut connection = None;
    while shared.gate.pass().await {
        let Some(client) = &connection else {
            connection = shared.endpoint.connect().await.ok();
            if connection.is_none() {
                sleep(RETRY).await;
            }
            continue;
        };
        key += 1;
        let began = Instant::now();
        let ended = write(kind, (client, is_simple), key, &mut chance).await;
        let goes_on = match &ended {
            Ended::Done | Ended::RolledBack => true,
            Ended::NotDone(code) => code.starts_with("40"),
            Ended::Unknown(_) | Ended::Unexpected(_) => false,
        };
        match &ended {
            Ended::Done | Ended::RolledBack => shared.timeline.done(began),
            Ended::NotDone(_) | Ended::Unknown(_) | Ended::Unexpected(_) => shared.timeline.failed(),
        }
        shared.ledger().record(number, kind, key, ended);
        if !goes_on {
            connection = None;
            sleep(RETRY).await;
        }
    }
}
