//! The command line.
//!
//! | command | does | exit code |
//! |---|---|---|
//! | `raidb run [--config FILE] [--adopt MEMBER,…]` | runs the proxy until SIGTERM or Ctrl-C | 0, or 1 if it could not start |
//! | `raidb check FILE` | connects to the members and compares them | 0 if alike, 1 if not |
//! | `raidb explain SQL [--config FILE] [--database NAME]` | says what statements would come to (EXPLAIN ROUTE), by the catalog of a member | 0, also for what would be refused; 1 if no member answers |
//! | `raidb status [--admin ADDR] [--json]` | shows a running proxy | 0, or 1 if there is no answer |
//! | `raidb member add NAME --url URL [--config FILE]` | adds a member to the file and to the running proxy, and builds it | 0, 64 if it does not fit, or 1 if refused |
//! | `raidb member disable\|enable\|rebuild NAME` | changes a member, by way of a running proxy | 0, or 1 if refused |
//! | `raidb log show\|verify\|checkpoint\|truncate --dir DIR` | reads or changes a recovery log | 0, or 1 if refused |
//!
//! A recovery log that is damaged: exit code 65, with segment and offset.
//! A command line or configuration that cannot be used: exit code 64, with everything that is wrong.

mod check;
mod entry;
mod explain;
mod http_get;
mod load;
mod log;
mod member;
mod run;
mod status;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Threads for everything but sessions, which have their own: heartbeats, rejoin, admin.
const OWN_THREADS: usize = 2;
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
        /// With an empty log directory: start as soon as these members answer, and make the others anew. Give every
        /// member that still exists and was not disabled; without this, a start with an empty log waits for all members
        #[arg(long, value_name = "MEMBER,…", value_delimiter = ',')]
        adopt: Vec<String>,
    },
    /// Validate a configuration, connect to its members and compare them; run it when nobody writes
    Check {
        /// Configuration file
        file: PathBuf,
    },
    /// Say what statements would come to, by the catalog of a member; runs nothing and needs no running proxy
    Explain {
        /// The statements; `-`: read them from standard input
        sql: String,
        /// Configuration file
        #[arg(long, default_value = "raidb.toml", env = "RAIDB_CONFIG")]
        config: PathBuf,
        /// Which virtual database, if the file has several
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
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
    /// Name the points at which a test build can be made to fail
    #[cfg(feature = "fault-points")]
    #[command(hide = true)]
    FaultPoints,
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
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(OWN_THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("raidb: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match arguments.command {
            Command::Run { config, adopt } => run::run(&config, &adopt).await,
            Command::Check { file } => check::check(&file).await,
            Command::Explain { sql, config, database } => explain::explain(&sql, &config, database.as_deref()).await,
            Command::Status { admin, json } => status::status(&admin, json).await,
            Command::Member { command } => member::member(command).await,
            #[cfg(feature = "fault-points")]
            Command::FaultPoints => fault_points(),
            Command::Log { command } => log::log(command).await,
        }
    })
}

/// Prints each point with what may be done there.
#[cfg(feature = "fault-points")]
fn fault_points() -> ExitCode {
    for point in crate::fault_points::FaultPoint::ALL {
        println!("{} {:?}", point.name(), point.takes());
    }
    ExitCode::SUCCESS
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
