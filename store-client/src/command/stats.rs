//! `message-store stats`.

use clap::Args;
use serde_json::json;
use store_client::Store;

use super::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only the queue or topic of this name.
    name: Option<String>,
    /// One JSON array.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let mut stats = store.session().await?.stats().await?;
    if let Some(name) = &arguments.name {
        stats.retain(|stats| stats.name == *name);
    }
    let age = |time: std::time::SystemTime| time.elapsed().map_or(0, |age| age.as_secs());
    if arguments.json {
        let rows = stats.iter().map(|row| {
            json!({"kind": row.kind, "name": row.name, "messages": row.messages, "bytes": row.bytes,
                "first": row.first.number(), "oldest_seconds": age(row.oldest)})
        });
        println!("{}", serde_json::Value::Array(rows.collect()));
        return Ok(());
    }
    println!("{:<6} {:<40} {:>12} {:>15} {:>10}", "kind", "name", "messages", "bytes", "oldest/s");
    for row in &stats {
        println!("{:<6} {:<40} {:>12} {:>15} {:>10}", row.kind, row.name, row.messages, row.bytes, age(row.oldest));
    }
    Ok(())
}
