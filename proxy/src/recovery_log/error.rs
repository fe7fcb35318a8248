//! Why the recovery log refuses.

use std::io;
use std::path::PathBuf;

use raidb_core::log::{Corrupt, Position, TooLarge};

/// Why the recovery log refuses.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another proxy uses the directory.
    #[error("{0} is in use by another proxy; every proxy needs a log.dir of its own")]
    Locked(PathBuf),
    /// The directory holds no segment.
    #[error("{0} holds no recovery log")]
    Missing(PathBuf),
    /// The log holds something that is no torn tail. An operator decides.
    #[error("{dir}: {corrupt}")]
    Corrupt {
        /// Directory of the log.
        dir: PathBuf,
        /// Where, and what.
        corrupt: Corrupt,
    },
    /// The operating system refused.
    #[error("recovery log: cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The disk is full. Nothing was written; an append may succeed again when there is room.
    #[error("recovery log: the disk is full")]
    Full,
    /// The record is too long. Nothing was written.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A write or flush failed before; the log takes nothing more until the proxy starts again.
    #[error("recovery log: stopped after a failure: {0}")]
    Poisoned(String),
    /// The records were truncated away.
    #[error("recovery log: {from} is gone; it begins at {first}")]
    Gone {
        /// What was asked for.
        from: Position,
        /// What is there.
        first: Position,
    },
    /// The log was closed.
    #[error("recovery log: closed")]
    Closed,
}

impl LogError {
    /// For `map_err`: names what was tried.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
