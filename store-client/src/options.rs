//! How a store is reached, and how long one waits for it.

use std::time::Duration;

/// Times that a session obeys. The defaults suit a proxy or server on the same network.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest wait for one host to be connected to and logged in at, if the URL does not say `connect_timeout`. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for one answer; then the connection counts as lost. It bounds the wait for locks, too. Default 60 s.
    pub answer_limit: Duration,
    /// How long a request that meets a lost connection, or an error that will pass, is tried again and asked about,
    /// all tries together. Zero: never tried again, but asked about once. Default 60 s.
    pub retry_limit: Duration,
    /// Longest pause before the second try; it doubles with each try. The pause is random below that. Default 20 ms.
    pub pause_first: Duration,
    /// Bound of the doubling. Default 2 s.
    pub pause_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            answer_limit: Duration::from_secs(60),
            retry_limit: Duration::from_secs(60),
            pause_first: Duration::from_millis(20),
            pause_max: Duration::from_secs(2),
        }
    }
}
