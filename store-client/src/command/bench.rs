//! `message-store bench`: each client has a session and a queue of its own.

use std::time::{Duration, Instant};

use clap::Args;
use futures::future::try_join_all;
use indicatif::ProgressBar;
use serde_json::json;
use store_client::{MessageId, Session, Source, Store};

use super::failure::Failure;
use super::latency::{Latencies, rate};
use super::{amount, progress};

const LEASE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Clients at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// Bytes of each message (as 1024, 64k).
    #[arg(long, default_value = "1k", value_parser = amount::bytes)]
    size: usize,
    /// How long each of the three parts runs (as 5s).
    #[arg(long, default_value = "5s", value_parser = amount::duration)]
    seconds: Duration,
    /// Messages in one transaction of the batch part.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// What the endpoint is called in the table.
    #[arg(long, default_value = "endpoint")]
    label: String,
    /// Without the table's head: for the second row.
    #[arg(long)]
    no_head: bool,
    /// A JSON object in place of the row.
    #[arg(long, conflicts_with = "no_head")]
    json: bool,
}

/// What the clients do.
#[derive(Debug, Clone, Copy)]
enum Part {
    Single,
    Batch(u32),
    AppendAndAcknowledge,
}

/// What came of one part.
struct Result {
    messages: usize,
    time: Duration,
    latencies: Latencies,
}

pub(super) async fn run(store: &Store, arguments: Arguments) -> std::result::Result<(), Failure> {
    store.migrate().await?;
    let bar = progress::bar(None);
    let mut results = Vec::new();
    for part in [Part::Single, Part::Batch(arguments.batch), Part::AppendAndAcknowledge] {
        results.push(all_clients(store, &arguments, part, &bar).await?);
    }
    bar.finish_and_clear();
    report(&arguments, &mut results);
    Ok(())
}

async fn all_clients(
    store: &Store,
    arguments: &Arguments,
    part: Part,
    bar: &ProgressBar,
) -> std::result::Result<Result, Failure> {
    let sessions = try_join_all((0..arguments.clients).map(|_| store.session())).await?;
    let (started, until) = (Instant::now(), Instant::now() + arguments.seconds);
    let clients = sessions.into_iter().enumerate().map(|(number, session)| {
        let queue = format!("bench/{}/{number}", std::process::id());
        let client = Client {
            session,
            queue,
            body: vec![b'x'; arguments.size],
            latencies: Latencies::default(),
            ids: Vec::new(),
        };
        tokio::spawn(client.run(part, until, bar.clone()))
    });
    let done = try_join_all(clients).await.map_err(|error| Failure::new(format!("a client ended: {error}")))?;
    let time = started.elapsed();
    let mut result = Result { messages: 0, time, latencies: Latencies::default() };
    let mut clearing = Vec::new();
    for client in done {
        let mut client = client?;
        result.messages += client.ids.len();
        result.latencies.absorb(std::mem::take(&mut client.latencies));
        clearing.push(client.clear());
    }
    try_join_all(clearing).await?;
    Ok(result)
}

struct Client {
    session: Session,
    queue: String,
    body: Vec<u8>,
    latencies: Latencies,
    ids: Vec<MessageId>,
}

impl Client {
    async fn run(mut self, part: Part, until: Instant, bar: ProgressBar) -> std::result::Result<Self, Failure> {
        let source = Source::queue(&self.queue)?;
        while Instant::now() < until {
            let started = Instant::now();
            let before = self.ids.len();
            match part {
                Part::Single => self.ids.push(self.session.append(&self.queue, self.body.clone()).await?),
                Part::Batch(count) => {
                    let bodies = (0..count).map(|_| self.body.clone());
                    self.ids.extend(self.session.append_batch(&self.queue, bodies).await?);
                }
                Part::AppendAndAcknowledge => {
                    self.ids.push(self.session.append(&self.queue, self.body.clone()).await?);
                    match self.session.take(&source, 1, LEASE).await? {
                        Some(delivery) => self.session.acknowledge(&delivery).await?,
                        None => return Err(Failure::new("a message that was appended is not there")),
                    }
                }
            }
            self.latencies.add(started.elapsed());
            bar.inc((self.ids.len() - before) as u64);
        }
        Ok(self)
    }

    /// Leaves nothing behind.
    async fn clear(mut self) -> std::result::Result<(), Failure> {
        for ids in self.ids.chunks(1000) {
            self.session.remove(&self.queue, ids).await?;
        }
        self.session.close().await;
        Ok(())
    }
}

fn report(arguments: &Arguments, results: &mut [Result]) {
    let Arguments { label, clients, size, batch, .. } = arguments;
    let mut figures = results.iter_mut().map(|result| {
        let Result { messages, time, latencies } = result;
        (rate(*messages, *time), latencies.percentile(50), latencies.percentile(99), latencies.count())
    });
    let [single, batched, cycle] = [figures.next(), figures.next(), figures.next()].map(Option::unwrap_or_default);
    if arguments.json {
        let part = |(rate, p50, p99, operations): (f64, f64, f64, usize)| json!({"messages_per_second": rate, "p50_ms": p50, "p99_ms": p99, "operations": operations});
        println!(
            "{}",
            json!({"label": label, "clients": clients, "bytes": size, "batch": batch, "append": part(single),
            "append_batch": part(batched), "append_and_acknowledge": part(cycle)})
        );
        return;
    }
    if !arguments.no_head {
        println!(
            "| endpoint | clients | bytes | append/s | p50 ms | p99 ms | in batches of {batch}/s | p50 ms | p99 ms | append + acknowledge/s | p50 ms | p99 ms |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    }
    print!("| {label} | {clients} | {size} |");
    for (rate, p50, p99, _) in [single, batched, cycle] {
        print!(" {rate:.0} | {p50:.2} | {p99:.2} |");
    }
    println!();
}
