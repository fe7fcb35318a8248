//! `raidb log`: a recovery log seen from outside.
//!
//! | command | lock | changes |
//! |---|---|---|
//! | `show`, `verify` | none: they work beside a running proxy | nothing |
//! | `checkpoint`, `truncate` | the proxy's own: refused while one runs | appends a record; removes segments |

mod change;
mod locate;
#[cfg(test)]
mod log_test;
mod show;
mod summary;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use raidb_core::log::Position;

use super::EXIT_USAGE;
use crate::recovery_log::LogError;

/// The log is damaged (`EX_DATAERR`).
const EXIT_DAMAGED: u8 = 65;

/// Which log.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The `[log] dir` of raidb.toml, or one virtual database's folder inside it
    #[arg(long)]
    dir: PathBuf,
    /// Which virtual database, if DIR holds the logs of several
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// List records; works beside a running proxy
    Show {
        #[command(flatten)]
        place: Place,
        /// Position of the first record to show
        #[arg(long, value_name = "P", default_value_t = 0)]
        from: u64,
        /// Show no more than this many records
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Show the last N records
        #[arg(long, value_name = "N", conflicts_with_all = ["from", "limit"])]
        last: Option<u64>,
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Read every byte of every segment; works beside a running proxy
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Append a named checkpoint; the proxy must not run
    Checkpoint {
        /// Its name, not used before
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove segments that hold only records before a position; keeps the membership; the proxy must not run
    Truncate {
        /// The first position that must stay
        #[arg(long, value_name = "P")]
        before: u64,
        #[command(flatten)]
        place: Place,
    },
}

/// Why a command was refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// The command line does not fit.
    #[error("{0}")]
    Usage(String),
    /// A running proxy has the log open.
    #[error(
        "{0} is open in a running proxy. Stop the proxy, run this command, start the proxy again \
         (`raidb log show` and `raidb log verify` work beside a running proxy)"
    )]
    InUse(PathBuf),
    /// The log does.
    #[error("{0}")]
    Log(LogError),
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Locked(dir) => Self::InUse(dir),
            other => Self::Log(other),
        }
    }
}

/// Runs one of the commands.
pub(super) async fn log(command: LogCommand) -> ExitCode {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let result = match command {
        LogCommand::Show { place, last: Some(last), json, .. } => {
            locate::locate(&place).and_then(|log| show::show_last(&log, last, json, &mut out))
        }
        LogCommand::Show { place, from, limit, json, last: None } => {
            locate::locate(&place).and_then(|log| show::show(&log, Position(from), limit, json, &mut out))
        }
        LogCommand::Verify { place } => locate::locate(&place).and_then(|log| verify::verify(&log, &mut out)),
        LogCommand::Checkpoint { name, place } => match locate::locate(&place) {
            Ok(log) => change::checkpoint(&log, &name, &mut out).await,
            Err(refused) => Err(refused),
        },
        LogCommand::Truncate { before, place } => match locate::locate(&place) {
            Ok(log) => change::truncate(&log, Position(before), &mut out).await,
            Err(refused) => Err(refused),
        },
    };
    // A reader that has gone away (`raidb log show | head`) is no failure.
    let _ = std::io::Write::flush(&mut out);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            eprintln!("raidb: {refused}");
            match refused {
                Refused::Usage(_) => EXIT_USAGE.into(),
                Refused::Log(LogError::Corrupt { .. }) => EXIT_DAMAGED.into(),
                Refused::InUse(_) | Refused::Log(_) => ExitCode::FAILURE,
            }
        }
    }
}
