//! A shop: orders come in a queue, are confirmed and billed in one unit of work, and all who subscribed are told.
//!
//! `cargo run -p store-client --example orders -- postgresql://postgres@127.0.0.1:6432/demo`

use std::time::Duration;

use store_client::{Draft, Error, Priority, Source, Store, Unit};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let store = Store::open(url.as_deref().unwrap_or("postgresql://postgres@127.0.0.1:6432/demo"))?;
    store.migrate().await?;

    let mut session = store.session().await?;
    let kitchen = session.subscribe("confirmed", "kitchen", "all", None).await?;
    session.append_batch("orders", ["one tea, no milk", "two coffees"]).await?;

    let orders = Source::queue("orders")?;
    while let Some(delivery) = session.take(&orders, 10, LEASE).await? {
        let mut unit = Unit::new();
        for message in &delivery.messages {
            let body = message.bytes().unwrap_or_default();
            unit.append("bills", body)?;
            unit.publish("confirmed", Draft::new(body).priority(Priority::new(7)?))?;
        }
        unit.acknowledge(&delivery)?;
        // Bills, publications and acknowledgements: all of it or nothing, and never twice.
        session.commit(unit).await?;
    }

    while let Some(delivery) = session.take_subscribed(&kitchen, 10, LEASE).await? {
        for message in &delivery.messages {
            let text = String::from_utf8_lossy(message.bytes().unwrap_or_default());
            println!("{} for the kitchen, delivered {} time(s): {text}", message.id, delivery.deliveries);
        }
        session.acknowledge(&delivery).await?;
    }
    println!("{} bills", session.count("bills").await?);
    session.close().await;
    Ok(())
}
