//! `message-store browse`.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;
use store_client::{Message, MessageId, Store};

use super::failure::Failure;

/// Of a body, so many bytes are shown.
const SHOWN: usize = 60;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The queue.
    queue: String,
    /// Only messages behind this id.
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &Store, arguments: Arguments) -> Result<(), Failure> {
    let mut session = store.session().await?;
    let after = Some(MessageId::from_number(arguments.after));
    let page = session.browse(&arguments.queue, after, arguments.limit).await?;
    if !arguments.json {
        println!("{:>12} {:>4} {:>12}  beginning of the body", "id", "prio", "bytes");
    }
    for message in &page {
        let (id, priority, size) = (message.id.number(), message.priority.number(), message.size);
        if arguments.json {
            let expires = message.expires.map(seconds);
            let sent = seconds(message.sent);
            println!(
                "{}",
                json!({"id": id, "priority": priority, "bytes": size, "sent": sent, "expires": expires, "body": beginning(message)})
            );
        } else {
            println!("{id:>12} {priority:>4} {size:>12}  {}", beginning(message));
        }
    }
    Ok(())
}

/// Text without control characters.
fn beginning(message: &Message) -> String {
    let bytes = message.bytes().map_or(&b"(in pieces)"[..], |bytes| &bytes[..bytes.len().min(SHOWN)]);
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
