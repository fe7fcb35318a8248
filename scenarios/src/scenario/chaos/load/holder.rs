//! The lock holder: one transaction that is to last for ever; begun anew only when its connection is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use crate::Result;
use crate::workloads::lock_forever::LockHolder;

/// Time between two signs of life, and before the next attempt to take the lock.
const EVERY: Duration = Duration::from_millis(50);

/// Holds the lock until all is to end.
pub(super) async fn run(shared: Arc<Shared>, number: usize) {
    while shared.gate.is_open() {
        if let Err(error) = hold(&shared, number).await {
            shared.ledger().holder_lost(error.to_string());
            sleep(EVERY).await;
        }
    }
}

async fn hold(shared: &Shared, number: usize) -> Result<()> {
    let mut holder = LockHolder::take(&shared.endpoint).await?;
    while shared.gate.is_open() {
        holder.keep_alive().await?;
        shared.ledger().holder_lives(number);
        sleep(EVERY).await;
    }
    holder.release().await
}
