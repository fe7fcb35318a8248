//! `message-store consume`.

use std::time::{Duration, Instant};

use clap::Args;
use store_client::{Delivery, Session, Source, Store};
use tokio::io::AsyncWriteExt;

use super::failure::Failure;
use super::{amount, latency, progress};

/// Between two looks at an empty source.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The queue; with --subscription, the topic.
    name: String,
    /// A durable subscription of the topic, as CLIENT/NAME; made if it is not there.
    #[arg(long, value_name = "CLIENT/NAME")]
    subscription: Option<String>,
    /// Messages in one delivery and transaction.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// Others get what this consumer has taken and not acknowledged behind this time (as 30s).
    #[arg(long, default_value = "30s", value_parser = amount::duration)]
    lease: Duration,
    /// Go on when there are no more messages, until interrupted.
    #[arg(long)]
    follow: bool,
    /// Write the bodies to standard output, each followed by a line feed, before they are acknowledged.
    #[arg(long)]
    print: bool,
}

pub(super) async fn run(store: &Store, arguments: Arguments) -> Result<(), Failure> {
    let mut session = store.session().await?;
    let source = source(&mut session, &arguments).await?;
    let (started, bar) = (Instant::now(), progress::bar(None));
    let mut count = 0;
    loop {
        match session.take(&source, arguments.batch, arguments.lease).await? {
            Some(delivery) => {
                if arguments.print {
                    print(&mut session, &delivery).await?;
                }
                session.acknowledge(&delivery).await?;
                count += delivery.messages.len();
                bar.inc(delivery.messages.len() as u64);
            }
            None if arguments.follow => tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                _ = tokio::signal::ctrl_c() => break,
            },
            None => break,
        }
    }
    bar.finish_and_clear();
    let time = started.elapsed();
    session.close().await;
    eprintln!("consumed {count} messages in {:.2} s, {:.0}/s", time.as_secs_f64(), latency::rate(count, time));
    Ok(())
}

async fn source(session: &mut Session, arguments: &Arguments) -> Result<Source, Failure> {
    let Some(subscription) = &arguments.subscription else { return Ok(Source::queue(&arguments.name)?) };
    let Some((client, name)) = subscription.split_once('/') else {
        return Err(Failure::new(format!("--subscription {subscription}: it has no /; allowed: CLIENT/NAME")));
    };
    let found = session.subscriptions(&arguments.name).await?;
    let found = found.into_iter().find(|found| found.client == client && found.name == name);
    let subscription = match found {
        Some(found) => found,
        None => session.subscribe(&arguments.name, client, name, None).await?,
    };
    Ok(Source::subscription(&subscription))
}

async fn print(session: &mut Session, delivery: &Delivery) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    for message in &delivery.messages {
        session.read_body(message, &mut out).await?;
        let ended = async {
            out.write_all(b"\n").await?;
            out.flush().await
        };
        ended.await.map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))?;
    }
    Ok(())
}
