//! A file goes through the store in pieces: memory stays at a few hundred kilobytes, however long it is.
//!
//! `cargo run -p store-client --example large_body -- FILE COPY [URL]`

use std::time::Duration;

use store_client::{Draft, Source, Store};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, copy, rest @ ..] = &arguments[..] else { return Err("allowed: FILE COPY [URL]".into()) };
    let url = rest.first().map_or("postgresql://postgres@127.0.0.1:6432/demo", String::as_str);
    let store = Store::open(url)?;
    store.migrate().await?;
    let mut session = store.session().await?;

    session.append_stream("files", Draft::new([]), tokio::fs::File::open(file).await?).await?;
    let files = Source::queue("files")?;
    if let Some(delivery) = session.take(&files, 1, Duration::from_secs(60)).await? {
        let message = &delivery.messages[0];
        let bytes = session.read_body(message, tokio::fs::File::create(copy).await?).await?;
        session.acknowledge(&delivery).await?;
        println!("message {}: {bytes} bytes", message.id);
    }
    session.close().await;
    Ok(())
}
