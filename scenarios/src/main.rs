//! `scenarios list` and `scenarios run NAME`: one summary line per run, exit code 1 if one failed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use scenarios::report::{Run, is_page, utc};
use scenarios::scenario::{ALL, COUNTS_CYCLES, run};
use scenarios::timeline::Timeline;
use scenarios::{Against, Allowed, Options};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "Real processes, real faults: runs scenarios against raidb")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names all scenarios.
    List,
    /// Runs one scenario (or `all`).
    Run(Box<RunArguments>),
}

#[derive(clap::Args)]
struct RunArguments {
    /// A name from `scenarios list`, or `all`.
    name: String,
    /// The one source of chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of a time-bound load.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The same, in minutes.
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// Repetitions, each with the next seed; for `chaos`, cycles of each fault in one set-up.
    #[arg(long, default_value_t = 1)]
    cycles: u32,
    /// Concurrent clients of the load.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Transactions per client (messages, for the store) of a load that is bounded by count.
    #[arg(long, default_value_t = 100)]
    transactions: usize,
    /// Scale factor of pgbench's tables.
    #[arg(long, default_value_t = 1)]
    scale: u32,
    /// The raidb binary; by default the newest of target/{release,debug}.
    #[arg(long)]
    raidb: Option<PathBuf>,
    /// One bare PostgreSQL in place of the proxy: checks load and checkers themselves.
    #[arg(long)]
    bare: bool,
    /// Only these parts of a scenario that has several: faults of `chaos`, levels (rc,rr,ser) of `list_append` and
    /// `hermitage`.
    #[arg(long)]
    only: Option<String>,
    /// Faults during a load: a list of those of `chaos`; without a value, all of them; `none`. For `list_append` (none, if it
    /// is not given), `bank`, `registers`, `locks` and `unique_inserts` (member_kill,member_freeze).
    #[arg(long, num_args = 0..=1, default_missing_value = "all")]
    faults: Option<String>,
    /// A file for the report. NAME.html: a page with the figures and how the run went over time, of every scenario;
    /// with several runs the last one's. Other names: the tables of `chaos`, `list_append`, `differential`, as Markdown.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Keep the run's folder, and in it the history of a scenario that has one.
    #[arg(long)]
    keep: bool,
    /// The `raidb.toml` of an installation of your own that runs: `bank`, `registers`, `locks` and `unique_inserts` work in
    /// it, in a schema `raidb_scenarios`, which is dropped at the end.
    #[arg(long, value_name = "RAIDB.TOML", conflicts_with_all = ["raidb", "bare", "faults"])]
    against: Option<PathBuf>,
    /// Which of its virtual databases, if it is not the first one.
    #[arg(long, requires = "against")]
    database: Option<String>,
    /// What may be done to it, separated by commas; nothing, if this is not given.
    #[arg(long, value_enum, value_delimiter = ',', requires = "against")]
    allow: Vec<Allowed>,
}

impl RunArguments {
    fn against(&self) -> Option<Against> {
        let config = self.against.clone()?;
        Some(Against { config, database: self.database.clone(), allow: self.allow.clone() })
    }

    fn options(&self) -> Options {
        Options {
            seed: self.seed,
            seconds: self.minutes.map_or(self.seconds, |minutes| minutes * 60),
            cycles: self.cycles,
            clients: self.clients,
            transactions: self.transactions,
            scale: self.scale,
            raidb: self.raidb.clone(),
            bare: self.bare,
            only: self.only.clone(),
            faults: self.faults.clone(),
            // A page is written by the runner, behind the run.
            report: self.report.clone().filter(|file| !is_page(file)),
            keep: self.keep,
            against: self.against(),
            timeline: Timeline::default(),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::List => {
            for scenario in ALL {
                println!("{:22} {}", scenario.name, scenario.about);
            }
            ExitCode::SUCCESS
        }
        Command::Run(arguments) => {
            // Dropping the run is what ends its processes, so an interrupt must not end this one at once.
            tokio::select! {
                passed = run_all(&arguments) => if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE },
                () = interrupted() => ExitCode::from(130),
            }
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => drop(stream.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

async fn run_all(arguments: &RunArguments) -> bool {
    let names: Vec<&str> = match arguments.name.as_str() {
        "all" => ALL.iter().map(|scenario| scenario.name).collect(),
        name => vec![name],
    };
    let mut passed = true;
    for name in names {
        let runs = if COUNTS_CYCLES.contains(&name) { 1 } else { arguments.cycles };
        for cycle in 0..runs {
            let seed = arguments.seed + u64::from(cycle);
            let page = arguments.report.as_deref().filter(|file| is_page(file));
            passed &= run_one(name, Options { seed, ..arguments.options() }, page).await;
        }
    }
    passed
}

/// Seconds since 1970.
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Runs one scenario once, prints its line and writes its page.
async fn run_one(name: &str, options: Options, page: Option<&Path>) -> bool {
    let (seed, start) = (options.seed, Instant::now());
    let result = run(name, options.clone()).await;
    let took = start.elapsed().as_secs_f64();
    if let Some(file) = page {
        let when = format!("{took:.1} s long, ended {}", utc(seconds_now()));
        let report = Run { name, options: &options, when: &when, result: &result };
        if let Err(failure) = report.write(file) {
            eprintln!("no report: {failure}");
        }
    }
    match &result {
        Ok(summary) => println!("ok {name} seed={seed} took={took:.1}s {summary}"),
        Err(failure) => println!("FAILED {name} seed={seed} took={took:.1}s {failure}"),
    }
    result.is_ok()
}
