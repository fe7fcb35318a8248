//! CancelRequest to a member.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::open_stream;
use super::target::Target;
use crate::wire::encode;

/// A request is given up after this time; a cancel is a wish, never a promise.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// What is needed to cancel what runs on one connection.
#[derive(Clone, Debug)]
pub struct CancelKey {
    /// The member.
    pub target: Arc<Target>,
    /// Process id on the member.
    pub pid: u32,
    /// Its secret.
    pub key: u32,
}

/// Sends the request and waits until the member has closed the connection, which it does behind the signal.
///
/// # Cancel safety
/// Dropping the future may or may not leave the request sent.
pub async fn cancel(key: CancelKey) {
    let work = async {
        let Ok(mut stream) = open_stream(&key.target, CANCEL_TIMEOUT).await else { return };
        if stream.write_all(&encode::cancel_request(key.pid, key.key)).await.is_ok() {
            let _closed = stream.flush().await;
            let _closed = stream.read(&mut [0; 1]).await;
        }
    };
    if tokio::time::timeout(CANCEL_TIMEOUT, work).await.is_err() {
        tracing::debug!(member = key.target.name, "cancel request timed out");
    }
}
