//! The command `message-store`: fill a queue, empty it, look at it.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Instant;
use store_client::{Error, MessageId, Store};

/// A message store on one PostgreSQL endpoint.
#[derive(Debug, Parser)]
#[command(name = "message-store", version)]
struct Options {
    /// The endpoint.
    #[arg(long, env = "MESSAGE_STORE_URL", default_value = "postgresql://postgres@127.0.0.1:6432/demo")]
    url: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Append messages of zero bytes and print the rate.
    Produce {
        queue: String,
        #[arg(long, default_value_t = 1000)]
        count: usize,
        /// Bytes of each message.
        #[arg(long, default_value_t = 1024)]
        size: usize,
        /// Messages per transaction.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batch: u32,
    },
    /// Read and remove messages until the queue is empty, and print the rate.
    Consume {
        queue: String,
        /// Messages per page and transaction.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batch: u32,
    },
    /// Print how many messages the queue holds.
    Stats { queue: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("message-store: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let mut store = Store::connect(&options.url).await?;
    let started = Instant::now();
    let (done, count) = match options.action {
        Action::Stats { queue } => {
            println!("{} messages", store.count(&queue).await?);
            return Ok(());
        }
        Action::Produce { queue, count, size, batch } => {
            store.create_schema().await?;
            produce(&mut store, &queue, count, &vec![0; size], batch).await?;
            ("produced", count)
        }
        Action::Consume { queue, batch } => ("consumed", consume(&mut store, &queue, batch).await?),
    };
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / seconds;
    println!("{done} {count} messages in {seconds:.2} s, {rate:.0}/s");
    Ok(())
}

async fn produce(store: &mut Store, queue: &str, count: usize, body: &[u8], batch: u32) -> Result<(), Error> {
    let mut left = count;
    while left > 0 {
        let now = left.min(batch as usize);
        if now == 1 {
            store.append(queue, body).await?;
        } else {
            store.append_batch(queue, &vec![body; now]).await?;
        }
        left -= now;
    }
    Ok(())
}

async fn consume(store: &mut Store, queue: &str, batch: u32) -> Result<usize, Error> {
    let mut count = 0;
    loop {
        let ids: Vec<MessageId> = store.page(queue, None, batch).await?.iter().map(|message| message.id).collect();
        if ids.is_empty() {
            return Ok(count);
        }
        count += ids.len();
        store.remove(queue, &ids).await?;
    }
}
