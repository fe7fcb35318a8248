//! `message-store serve-lock`.

use std::time::Duration;

use clap::Args;
use store_client::Store;
use store_client::election::{Lease, Lock};

use super::amount;
use super::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What there is one master of.
    name: String,
    /// Shown to people who look at the row.
    #[arg(long, default_value_t = format!("process {}", std::process::id()))]
    holder: String,
    /// By a lease of this time (as 10s), in place of a row lock in an open transaction.
    #[arg(long, value_parser = amount::duration)]
    lease: Option<Duration>,
    /// How often the master makes sure that it still is; of a lease, a third of its time if not given.
    #[arg(long, default_value = "1s", value_parser = amount::duration)]
    keep_every: Duration,
}

pub(super) async fn run(store: &Store, arguments: Arguments) -> Result<(), Failure> {
    store.migrate().await?;
    match arguments.lease {
        Some(lease) if lease < Duration::from_millis(100) => {
            Err(Failure::new(format!("--lease {lease:?} is too short; allowed: from 100ms")))
        }
        Some(lease) => by_lease(store, &arguments, lease).await,
        None => by_lock(store, &arguments).await,
    }
}

async fn by_lock(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let mut lock = tokio::select! {
        lock = Lock::wait(store, &arguments.name, &arguments.holder) => lock?,
        () = interrupted() => return Ok(()),
    };
    println!("master of {} by lock", lock.name());
    loop {
        tokio::select! {
            () = tokio::time::sleep(arguments.keep_every) => lock.keep().await?,
            () = interrupted() => break,
        }
    }
    lock.release().await;
    Ok(())
}

async fn by_lease(store: &Store, arguments: &Arguments, duration: Duration) -> Result<(), Failure> {
    let every = arguments.keep_every.min(duration / 3);
    let mut lease = loop {
        if let Some(lease) = Lease::try_take(store, &arguments.name, &arguments.holder, duration).await? {
            break lease;
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = interrupted() => return Ok(()),
        }
    };
    println!("master of {} by lease, term {}", lease.name(), lease.term());
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = interrupted() => break,
        }
        let ends = tokio::time::Instant::from_std(lease.ends());
        match tokio::time::timeout_at(ends, lease.keep()).await {
            Ok(kept) => kept?,
            Err(_) => return Err(Failure::new("the lease ran out: the endpoint did not answer in time")),
        }
    }
    Ok(lease.release().await?)
}

async fn interrupted() {
    // Without a handler there is nothing to wait for; the signal then ends the process by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
