//! What the command line says, and who does it.

mod amount;
mod bench;
mod browse;
mod consume;
mod failure;
mod latency;
mod produce;
mod progress;
mod serve_lock;
mod stats;

use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand};
use store_client::Store;

use failure::Failure;

/// A message store on one PostgreSQL endpoint: raidb, or a single server.
#[derive(Debug, Parser)]
#[command(name = "message-store", version)]
pub(crate) struct Options {
    /// The endpoint; several hosts are tried in their order: postgresql://user@h1:p1,h2:p2/database.
    #[arg(long, env = "MESSAGE_STORE_URL", default_value = "postgresql://postgres@127.0.0.1:6432/demo", global = true)]
    url: String,
    /// How long a lost connection is tried again and asked about (as 500ms, 10s, 5min).
    #[arg(long, default_value = "60s", value_parser = amount::duration, global = true)]
    retry_limit: Duration,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the tables, or bring them to this program's version.
    Migrate,
    /// Append messages to a queue, or publish them to a topic, and print the rate.
    Produce(produce::Arguments),
    /// Take, acknowledge and so remove messages until there are none, and print the rate.
    Consume(consume::Arguments),
    /// Look at the messages of a queue without taking them.
    Browse(browse::Arguments),
    /// What each queue and topic holds.
    Stats(stats::Arguments),
    /// Throughput and latency of append and acknowledge, as a row of a Markdown table: run it on two endpoints to compare.
    Bench(bench::Arguments),
    /// Wait to be master, say so on standard output, and stay it until interrupted. Ends with an error when it is lost.
    ServeLock(serve_lock::Arguments),
    /// Remove the small rows that clients left which ended without closing their session.
    Sweep {
        /// Only those of before (as 12h, 1d): longer than any client still tries a write again.
        #[arg(long, default_value = "1d", value_parser = amount::duration)]
        older_than: Duration,
    },
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let limits = store_client::Options { retry_limit: options.retry_limit, ..store_client::Options::default() };
    let store = Store::with_options(&options.url, limits)?;
    match options.action {
        Action::Migrate => Ok(store.migrate().await?),
        Action::Produce(arguments) => produce::run(&store, arguments).await,
        Action::Consume(arguments) => consume::run(&store, arguments).await,
        Action::Browse(arguments) => browse::run(&store, arguments).await,
        Action::Stats(arguments) => stats::run(&store, &arguments).await,
        Action::Bench(arguments) => bench::run(&store, arguments).await,
        Action::ServeLock(arguments) => serve_lock::run(&store, arguments).await,
        Action::Sweep { older_than } => sweep(&store, older_than).await,
    }
}

async fn sweep(store: &Store, older_than: Duration) -> Result<(), Failure> {
    let Some(before) = SystemTime::now().checked_sub(older_than) else {
        return Err(Failure::new("--older-than lies before the beginning of time; allowed: a shorter time, as 1d"));
    };
    let mut session = store.session().await?;
    println!("removed {}", session.sweep(before).await?);
    session.close().await;
    Ok(())
}
