//! Runs the proxy: listeners, virtual databases, admin endpoint, orderly shutdown.

use std::future::Future;

use raidb_core::config::Config;

/// Why the proxy did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened, or the recovery log could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Runs the proxy until `shutdown` completes.
///
/// # Errors
/// [`StartError`] before a port is opened.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    drop(config);
    shutdown.await;
    Ok(())
}
