//! With `rejoin = "manual"` a member that was disabled stays disabled over a restart of the proxy, in order or by `kill -9`,
//! though it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::unique_inserts::{self, Journal};
use crate::{Failure, Options, Result, Summary, fail};

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { virtual_database: vec!["rejoin = \"manual\"".into()], ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options, setup).await?;
    let lead = cluster.lead().await?;
    // A follower's loss and the lead's take different paths: the seed picks.
    let victim = (lead + usize::try_from(options.seed % 3)?) % cluster.members.len();
    let name = cluster.members[victim].name().to_owned();
    cluster.endpoint().execute(unique_inserts::SCHEMA).await?;
    let mut journals = vec![insert_while_killing(&mut cluster, victim).await?];
    cluster.wait_for_state(&name, "disabled", Duration::from_secs(4)).await?;

    for in_order in [true, false] {
        let proxy = cluster.proxy_mut()?;
        if in_order {
            proxy.stop().await?;
        } else {
            proxy.kill_9()?;
        }
        cluster.members[victim].restart().await?;
        cluster.proxy_mut()?.restart().await?;
        expect_disabled(&cluster, &name).await?;
        journals.push(insert_for(&cluster, Duration::from_millis(500), i32::try_from(journals.len())?).await?);
        expect_disabled(&cluster, &name).await?;
    }
    let journal = Journal::merge(journals);
    let survivors = cluster.enabled().await?;
    for member in &survivors {
        journal.check(member).await?;
    }
    members_equal(&survivors, EqualityOptions::default()).await?;
    let stale = cluster.members[victim].endpoint().value("select count(*) from unique_inserts").await?;
    if stale.parse::<usize>()? >= journal.acknowledged.len() {
        return fail(format!("{name} has {stale} rows: it was written to while disabled"));
    }
    Ok(Summary::default()
        .with("acknowledged", journal.acknowledged.len())
        .with("unknown", journal.unknown.len())
        .with("disabled", name)
        .with("stale_rows", stale))
}

async fn expect_disabled(cluster: &Cluster, name: &str) -> Result<()> {
    let states = cluster.member_states().await?;
    let enabled: Vec<_> = states.iter().filter(|(_, state)| state == "enabled").collect();
    let disabled = states.iter().any(|(member, state)| member == name && state == "disabled");
    if disabled && enabled.len() == 2 {
        return Ok(());
    }
    fail(format!("{name} should be the one disabled member: {states:?}"))
}

async fn insert_for(cluster: &Cluster, length: Duration, client: i32) -> Result<Journal> {
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(unique_inserts::client(cluster.endpoint(), client, Arc::clone(&stop)));
    sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let journal = load.await??;
    if journal.acknowledged.is_empty() {
        return fail("not one insert was acknowledged");
    }
    Ok(journal)
}

async fn insert_while_killing(cluster: &mut Cluster, victim: usize) -> Result<Journal> {
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(unique_inserts::client(cluster.endpoint(), 0, Arc::clone(&stop)));
    sleep(Duration::from_secs(1)).await;
    cluster.members[victim].kill_9()?;
    sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    let journal = load.await??;
    if !journal.unknown.is_empty() || !journal.refused.is_empty() {
        return Err(Failure::new(format!("a client noticed the loss of a member: {:?}", journal.unknown)));
    }
    Ok(journal)
}
