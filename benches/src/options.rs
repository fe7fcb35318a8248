//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Runs the same loads on bare PostgreSQL, PgBouncer, pgpool-II and raidb, and writes a record of it.
#[derive(Debug, Parser)]
#[command(name = "benches")]
pub struct Options {
    /// How long each load runs, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// How often everything is repeated; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    pub clients: Vec<u32>,
    /// Only these targets and loads, by the names that the table shows; several with commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// pgbench scale factor of the data that every target starts from.
    #[arg(long, default_value_t = 10)]
    pub scale: u32,
    /// The raidb binary; by default the one beside this program.
    #[arg(long)]
    pub raidb: Option<PathBuf>,
    /// Where the record goes; by default benches/runs/<date>-<host>.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Where the members keep their data while the benchmark runs (a disk, not memory).
    #[arg(long, default_value = "/var/tmp")]
    pub work_dir: PathBuf,
}
