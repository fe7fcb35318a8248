//! The command line.
//!
//! | command | does | exit code |
//! |---|---|---|
//! | `raidb run [--config FILE]` | runs the proxy until SIGTERM or Ctrl-C | 0, or 1 if it could not start |
//! | `raidb check FILE` | connects to the members and compares them | 0 if alike, 1 if not |
//! | `raidb status [--admin ADDR] [--json]` | shows a running proxy | 0, or 1 if there is no answer |
//! | `raidb member add NAME --url URL [--config FILE]` | adds a member to the file and to the running proxy, and builds it | 0, 64 if it does not fit, or 1 if refused |
//! | `raidb member disable\|enable\|rebuild NAME` | changes a member, by way of a running proxy | 0, or 1 if refused |
//! | `raidb log show\|verify\|checkpoint\|truncate --dir DIR` | reads or changes a recovery log | 0, or 1 if refused |
//!
//! A recovery log that is damaged: exit code 65, with segment and offset.
//! A command line or configuration that cannot be used: exit code 64, with everything that is wrong.

mod check;
mod entry;
mod http_get;
mod load;
mod log;
mod member;
mod run;
mod status;
mod table;
mod time;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line or the configuration cannot be used (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;

/// One PostgreSQL endpoint over several independent databases.
#[derive(Debug, Parser)]
#[command(name = "raidb", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or Ctrl-C
    Run {
        /// Configuration file
        #[arg(long, default_value = "raidb.toml", env = "RAIDB_CONFIG")]
        config: PathBuf,
    },
    /// Validate a configuration, connect to its members and compare them; run it when nobody writes
    Check {
        /// Configuration file
        file: PathBuf,
    },
    /// Show virtual databases, members and incidents of a running proxy
    Status {
        /// Address of the proxy's admin listener
        #[arg(long, default_value = "127.0.0.1:7432", env = "RAIDB_ADMIN")]
        admin: String,
        /// Print JSON, the same as GET /status
        #[arg(long)]
        json: bool,
    },
    /// Add a member, take one out, bring it back or make it anew, by way of the running proxy
    Member {
        #[command(subcommand)]
        command: member::MemberCommand,
    },
    /// Show, verify, mark or shorten a recovery log
    Log {
        #[command(subcommand)]
        command: log::LogCommand,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come here too; nothing can be done if they cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("raidb: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match arguments.command {
            Command::Run { config } => run::run(&config).await,
            Command::Check { file } => check::check(&file).await,
            Command::Status { admin, json } => status::status(&admin, json).await,
            Command::Member { command } => member::member(command).await,
            Command::Log { command } => log::log(command).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
