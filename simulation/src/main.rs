//! `simulate`: runs seeds, and prints the first that fails.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use simulation::{Counts, Planted, run, run_traced};

#[derive(Parser)]
#[command(about = "Deterministic simulation of raidb's pure core", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run seeds.
    Run {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// A bug that is put back.
        #[arg(long, value_enum, default_value_t)]
        planted: Planted,
        /// Print every event.
        #[arg(long)]
        trace: bool,
        /// Go on behind a seed that fails, and count.
        #[arg(long)]
        keep_going: bool,
        /// Threads; each runs whole seeds.
        #[arg(long, default_value_t = 1)]
        threads: u64,
    },
}

fn main() -> ExitCode {
    let Command::Run { seed, seeds, planted, trace, keep_going, threads } = Arguments::parse().command;
    if trace {
        let report = run_traced(seed, planted);
        println!("{report}");
        return ExitCode::from(u8::from(report.violation.is_some()));
    }
    let last = seed.saturating_add(seeds);
    let workers: Vec<_> = (0..threads.max(1))
        .map(|first| {
            std::thread::spawn(move || {
                let (mut failed, mut counts) = (0_u64, Counts::default());
                let mut at = seed + first;
                while at < last {
                    let report = run(at, planted);
                    counts.add(&report.counts);
                    if report.violation.is_some() {
                        failed += 1;
                        if keep_going {
                            println!("seed {at}: {}", report.violation.unwrap_or_default());
                        } else {
                            println!("{report}");
                            break;
                        }
                    }
                    at += threads.max(1);
                }
                (failed, counts)
            })
        })
        .collect();
    let (mut failed, mut counts) = (0, Counts::default());
    for worker in workers {
        if let Ok((wrong, some)) = worker.join() {
            failed += wrong;
            counts.add(&some);
        } else {
            failed += 1;
        }
    }
    println!("{seeds} seeds from {seed}: {failed} failed; {counts:?}");
    ExitCode::from(u8::from(failed > 0))
}
