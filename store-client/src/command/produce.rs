//! `message-store produce`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use store_client::{Draft, MessageId, Priority, Session, Store, Unit};

use super::failure::Failure;
use super::{amount, latency, progress};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The queue; with --topic, the topic.
    name: String,
    /// Publish to a topic: stored for those who have a subscription.
    #[arg(long)]
    topic: bool,
    /// How many messages.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Bytes of each message (as 1024, 64k, 100m); zeros.
    #[arg(long, default_value = "1k", value_parser = amount::bytes)]
    size: usize,
    /// The body of one message, streamed; - is standard input. In place of --count and --size.
    #[arg(long, conflicts_with_all = ["count", "size", "batch", "topic"])]
    file: Option<PathBuf>,
    /// Messages in one transaction.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// 0 (last) to 9 (first).
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
}

pub(super) async fn run(store: &Store, arguments: Arguments) -> Result<(), Failure> {
    store.migrate().await?;
    let mut session = store.session().await?;
    if let Some(path) = &arguments.file {
        let id = append_file(&mut session, &arguments, path).await?;
        println!("appended message {id}");
    } else {
        produce(&mut session, &arguments).await?;
    }
    session.close().await;
    Ok(())
}

async fn append_file(session: &mut Session, arguments: &Arguments, path: &PathBuf) -> Result<MessageId, Failure> {
    let draft = Draft::new([]).priority(Priority::new(arguments.priority)?);
    if path.as_os_str() == "-" {
        return Ok(session.append_stream(&arguments.name, draft, tokio::io::stdin()).await?);
    }
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|error| Failure::new(format!("cannot read --file {}: {error}", path.display())))?;
    Ok(session.append_stream(&arguments.name, draft, file).await?)
}

async fn produce(session: &mut Session, arguments: &Arguments) -> Result<(), Failure> {
    let draft = Draft::new(vec![0; arguments.size]).priority(Priority::new(arguments.priority)?);
    let (started, bar) = (Instant::now(), progress::bar(Some(arguments.count)));
    let mut left = arguments.count;
    while left > 0 {
        let now = left.min(u64::from(arguments.batch));
        if now == 1 && !arguments.topic {
            session.append(&arguments.name, draft.clone()).await?;
        } else {
            let mut unit = Unit::new();
            for _ in 0..now {
                let add = if arguments.topic { Unit::publish } else { Unit::append };
                add(&mut unit, &arguments.name, draft.clone())?;
            }
            session.commit(unit).await?;
        }
        left -= now;
        bar.inc(now);
    }
    bar.finish_and_clear();
    let (count, time) = (usize::try_from(arguments.count).unwrap_or(usize::MAX), started.elapsed());
    println!("produced {count} messages in {:.2} s, {:.0}/s", time.as_secs_f64(), latency::rate(count, time));
    Ok(())
}
