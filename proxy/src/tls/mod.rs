//! TLS from files: towards members as their `sslmode` says, towards clients as `[listen]` says.

mod client;
mod no_host_name;
mod server;

pub use client::client_config;
pub use server::server_config;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of its kind.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificate, key or protocol do not fit.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The trusted roots cannot be used.
    #[error("{0}")]
    Roots(String),
}

impl TlsError {
    fn file(file: &std::path::Path, problem: impl ToString) -> Self {
        Self::File { file: file.display().to_string(), problem: problem.to_string() }
    }
}
