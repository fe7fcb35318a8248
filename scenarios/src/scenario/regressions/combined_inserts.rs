//! Single INSERTs of many sessions run as one transaction; each is told what it would have been told alone: of two with one key one
//! is refused, one that waits for a lock waits alone and can be cancelled, and nobody waits with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::support::{bind, code, execute, expect_on_all, kinds, outcome, parse, session, sync, wait_for_lock};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

const CLIENTS: i64 = 8;
/// INSERTs of each.
const TURNS: i64 = 40;
/// Far above what an INSERT takes, far below how long the lock is held.
const BYSTANDER_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute(
            "create table combined(id bigint primary key, client bigint, small smallint check (small > 0)); \
             create table combined_two(id bigint primary key); \
             create table combined_too(id bigint primary key, t text)",
        )
        .await?;
    let clients = try_join_all((0..CLIENTS).map(|_| session(&endpoint, "combined"))).await?;
    let before = cluster.proxy()?.metric("raidb_combined_inserts_total").await?;
    tokio::try_join!(inserts(&clients, 0), by_hand(&endpoint))?;
    let combined = cluster.proxy()?.metric("raidb_combined_inserts_total").await? - before;
    if combined < 20.0 {
        return fail(format!("only {combined} INSERTs were combined"));
    }
    let mixed = async { tokio::try_join!(conflicts(&clients[..4]), inserts(&clients[4..], TURNS * CLIENTS)) };
    mixed.await?;
    // Each key of a round once; nothing of those that were refused.
    expect_on_all(&cluster.members, "select count(*) from combined", &(TURNS * 2).to_string()).await?;
    expect_on_all(&cluster.members, "select count(*) from combined_too", &(TURNS * (CLIENTS + 5)).to_string()).await?;
    who_waits_waits_alone(cluster, &clients).await?;
    nobody_waits_with_who_waits(&endpoint).await?;
    names_are_ones_own(&clients).await?;
    for number in 0..CLIENTS {
        let table = format!("select count(*) from combined_{number}");
        expect_on_all(&cluster.members, &table, &TURNS.to_string()).await?;
    }
    expect_on_all(&cluster.members, "select count(*) from combined where id < 0", "2").await
}

/// Keys of their own, each in another text, with quotes in it.
async fn inserts(clients: &[Client], from: i64) -> Result<()> {
    let clients = (0_i64..).zip(clients).map(|(number, client)| async move {
        let prepared = client.prepare("insert into combined_too values ($1, $2)").await?;
        for turn in 0..TURNS {
            let key = from + turn * CLIENTS + number;
            if number % 2 == 0 {
                client.batch_execute(&format!("insert into combined_too values ({key}, 'it''s {key}')")).await?;
            } else if client.execute(&prepared, &[&key, &format!("it's {key}")]).await? != 1 {
                return fail(format!("the INSERT of {key} did not say that it inserted one row"));
            }
        }
        Ok::<_, Failure>(())
    });
    try_join_all(clients).await.map(drop)
}

/// As JDBC sends them: Parse, Bind, Describe, Execute, Sync.
async fn by_hand(endpoint: &Endpoint) -> Result<()> {
    let mut raw = Raw::connect(endpoint, &[]).await?;
    for key in 1..=TURNS {
        parse(&mut raw, "insert into combined_too values ($1, $2)").await?;
        bind(&mut raw, &[&(-1000 - key).to_string(), "by hand"]).await?;
        raw.send(b'D', b"P\0").await?;
        execute(&mut raw).await?;
        let answers = sync(&mut raw).await?;
        if kinds(&answers) != "12nCZ" {
            return fail(format!("an INSERT by hand was answered by {}", kinds(&answers)));
        }
    }
    Ok(())
}

/// Two clients at a time want the same key; now and then a value is refused by the table.
async fn conflicts(clients: &[Client]) -> Result<()> {
    let clients = (0_i64..).zip(clients).map(|(number, client)| async move {
        let mut done = 0;
        for turn in 0..TURNS {
            let shared = turn * CLIENTS + number / 2;
            let answer = client.batch_execute(&format!("insert into combined values ({shared}, {number}, 1)")).await;
            match answer {
                Ok(()) => done += 1,
                Err(error) if code(&error) == "23505" => {}
                Err(error) => return fail(format!("a conflict was answered by {error}")),
            }
            if turn % 10 == 0 {
                let sql = format!("insert into combined values ({shared} + 100000, 0, -1)");
                let refused = outcome(&client.batch_execute(&sql).await);
                if refused != "23514" {
                    return fail(format!("a value that the table does not allow: {refused}"));
                }
            }
        }
        Ok(done)
    });
    let done = try_join_all(clients).await?.into_iter().sum::<i64>();
    if done != TURNS * 2 {
        return fail(format!("{done} of {} keys were acknowledged", TURNS * 2));
    }
    Ok(())
}

/// With two clients there is no third one whose coming would wake the second.
async fn nobody_waits_with_who_waits(endpoint: &Endpoint) -> Result<()> {
    let holder = session(endpoint, "combined_two").await?;
    let waiter = Arc::new(session(endpoint, "combined_two").await?);
    let other = session(endpoint, "combined_two").await?;
    let key = std::sync::atomic::AtomicI64::new(1_000_000);
    let next = || key.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    for round in 0..25 {
        let locked = next();
        holder.batch_execute(&format!("begin; insert into combined_two values ({locked})")).await?;
        for _ in 0..3 {
            let sql = [next(), next()].map(|key| format!("insert into combined_two values ({key})"));
            tokio::try_join!(waiter.batch_execute(&sql[0]), other.batch_execute(&sql[1]))?;
        }
        let waits = {
            let waiter = Arc::clone(&waiter);
            tokio::spawn(
                async move { waiter.batch_execute(&format!("insert into combined_two values ({locked})")).await },
            )
        };
        for _ in 0..10 {
            let sql = format!("insert into combined_two values ({})", next());
            timeout(BYSTANDER_LIMIT, other.batch_execute(&sql))
                .await
                .map_err(|_| Failure::new(format!("an INSERT waits with another's lock in round {round}")))??;
        }
        holder.batch_execute("rollback").await?;
        waits.await??;
    }
    Ok(())
}

/// EXECUTE of a name that means another statement to each session.
async fn names_are_ones_own(clients: &[Client]) -> Result<()> {
    for (number, client) in clients.iter().enumerate() {
        let sql = format!("create table combined_{number}(id int primary key)");
        client.batch_execute(&sql).await?;
        client.batch_execute(&format!("prepare p(int) as insert into combined_{number} values ($1)")).await?;
    }
    let clients = clients.iter().map(|client| async move {
        for turn in 0..TURNS {
            client.batch_execute(&format!("execute p({turn})")).await?;
        }
        Ok::<_, Failure>(())
    });
    try_join_all(clients).await.map(drop)
}

async fn who_waits_waits_alone(cluster: &Cluster, clients: &[Client]) -> Result<()> {
    let endpoint = cluster.endpoint();
    let lead = &cluster.members[cluster.lead().await?];
    let holder = session(&endpoint, "combined_holder").await?;
    holder.batch_execute("begin; insert into combined values (-1, 0, 1)").await?;
    let waiter = session(&endpoint, "combined_waiter").await?;
    waiter.batch_execute("insert into combined values (-3, 0, 1)").await?;
    let cancel = waiter.cancel_token();
    let waiting =
        tokio::spawn(async move { outcome(&waiter.batch_execute("insert into combined values (-1, 1, 1)").await) });
    let begun = Instant::now();
    let others = (1_i64..).zip(clients).map(|(number, client)| async move {
        for turn in 0..20 {
            client.batch_execute(&format!("insert into combined_too values ({})", -(turn * CLIENTS + number))).await?;
        }
        Ok::<_, Failure>(())
    });
    timeout(BYSTANDER_LIMIT, try_join_all(others))
        .await
        .map_err(|_| Failure::new("others wait for a lock that is none of theirs"))??;
    wait_for_lock(lead, "combined_waiter").await?;
    sleep(Duration::from_millis(20)).await;
    cancel.cancel_query(NoTls).await?;
    let answer = timeout(BYSTANDER_LIMIT, waiting).await.map_err(|_| Failure::new("not cancelled"))??;
    if answer != "57014" {
        return fail(format!("the cancelled INSERT ended with {answer} behind {:?}", begun.elapsed()));
    }
    holder.batch_execute("commit").await?;
    Ok(())
}
