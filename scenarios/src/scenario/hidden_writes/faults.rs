//! Transactions with images meet others, and faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_postgres::Client;

use super::super::regressions::support::outcome;
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, Member};
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Clients side by side, and how long.
const CLIENTS: u64 = 6;
const LOAD: Duration = Duration::from_secs(3);
/// Longest return of a member.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// Clients that meet in the same rows, some with triggers and some without.
pub(super) async fn side_by_side(cluster: &Cluster, seed: u64) -> Result<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| tokio::spawn(client(cluster.endpoint(), seed * 100 + n, Arc::clone(&stop)))).collect();
    sleep(LOAD).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for client in clients {
        done += client.await??;
    }
    Ok(done)
}

async fn client(endpoint: Endpoint, seed: u64, stop: Arc<AtomicBool>) -> Result<u64> {
    let client = endpoint.connect().await?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let (a, b) = (random.random_range(1..=8), random.random_range(1..=8));
        let sql = match random.random_range(0..8) {
            0 => format!("update account set balance = balance + 1 where id = {a}"),
            1 => format!("begin; call transfer({a}, {b}, 1); call transfer({b}, {a}, 1); commit"),
            2 => format!("select bump('c{a}')"),
            3 => format!("insert into counter values ('c{a}', 1) on conflict (name) do update set n = counter.n + 1"),
            4 => format!("insert into line(account_id) values ({a}); delete from line where id % 3 = 0"),
            5 => format!(
                "begin; savepoint s; select bump('c{b}'); rollback to s; update counter set n = 0 where name = 'c{a}'; commit"
            ),
            6 => format!("insert into heap values ({a}, null, 'x'); delete from heap where a = {b}"),
            _ => format!(
                "do $$ begin update account set note = 'n{b}' where id in ({a}, {b}); perform bump('c{b}'); end $$"
            ),
        };
        match outcome(&client.batch_execute(&sql).await).as_str() {
            "ok" => done += 1,
            // One PostgreSQL says that too.
            "40P01" | "40001" => client.batch_execute("rollback").await?,
            other => return fail(format!("{sql}: {other}")),
        }
    }
    Ok(done)
}

/// Killed between the intent of a transaction with images and its COMMIT: redone at the next start.
pub(super) async fn proxy_dies(cluster: &mut Cluster) -> Result<()> {
    let before = cluster.members[0].endpoint().value("select count(*) from log where line = 'crash'").await?;
    cluster.proxy_mut()?.stop().await?;
    cluster.proxy_mut()?.set_environment(vec![("RAIDB_FAULT".into(), "commit.intent_durable:1:crash".into())]);
    cluster.proxy_mut()?.restart().await?;
    let client = cluster.endpoint().connect().await?;
    let answer = client.batch_execute("select bump('crash'); update account set note = 'crash' where id = 9").await;
    if outcome(&answer) != "connection" {
        return fail(format!("the proxy should have died: {answer:?}"));
    }
    cluster.proxy_mut()?.wait_end(Duration::from_secs(20)).await?;
    cluster.proxy_mut()?.set_environment(Vec::new());
    cluster.proxy_mut()?.restart().await?;
    all_enabled(cluster).await?;
    for member in &cluster.members {
        let now = member.endpoint().value("select count(*) from log where line = 'crash'").await?;
        let noted = member.endpoint().value("select count(*) from account where id = 9 and note = 'crash'").await?;
        if now.parse::<i64>()? != before.parse::<i64>()? + 1 || noted != "1" {
            return fail(format!("{}: {now} rows in place of {before} + 1, {noted} notes", member.name()));
        }
    }
    Ok(())
}

/// What was written with images while a member was away comes back from the log.
pub(super) async fn member_is_away(cluster: &mut Cluster) -> Result<()> {
    let follower = (cluster.lead().await? + 1) % 3;
    let name = cluster.members[follower].name().to_owned();
    cluster.members[follower].kill_9()?;
    let client = cluster.endpoint().connect().await?;
    for n in 0..20 {
        client.batch_execute(&format!("call transfer({}, {}, 1)", n % 5 + 1, n % 7 + 6)).await?;
        client.batch_execute(&format!("select bump('away {n}'); insert into part values ({n}, 'away')")).await?;
    }
    client.batch_execute("select empties(); delete from part where v = 'away'").await?;
    cluster.wait_for_state(&name, "disabled", Duration::from_secs(40)).await?;
    cluster.members[follower].restart().await?;
    all_enabled(cluster).await
}

/// A copy has the triggers and what belongs to them.
pub(super) async fn member_is_rebuilt(cluster: &Cluster) -> Result<()> {
    let follower = (cluster.lead().await? + 1) % 3;
    let name = cluster.members[follower].name();
    for arguments in [["disable", name], ["rebuild", name]] {
        let (code, said) = cluster.proxy()?.member(&arguments).await?;
        if code != Some(0) {
            return fail(format!("{arguments:?}: {said}"));
        }
    }
    all_enabled(cluster).await?;
    cluster
        .endpoint()
        .execute("update account set note = 'behind the rebuild' where id = 5; select bump('rebuilt')")
        .await
}

/// The lead dies under a transaction with images: it goes on with the next, or is told 40001 where rows were locked by
/// functions; what is acknowledged is there on all that are left.
pub(super) async fn lead_dies(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.endpoint().connect().await?;
    let other = cluster.endpoint().connect().await?;
    client.batch_execute("begin; update account set note = 'carried over' where id = 11; select bump('over')").await?;
    other.batch_execute("begin; insert into line(account_id) values (12)").await?;
    let lead = cluster.lead().await?;
    cluster.members[lead].kill_9()?;
    carried(&client, "select bump('over'); commit", &["ok", "40001"]).await?;
    // The foreign key has locked a row of account on the lead that is gone.
    carried(&other, "insert into line(account_id) values (13); commit", &["40001"]).await?;
    let name = cluster.members[lead].name().to_owned();
    cluster.wait_for_state(&name, "disabled", Duration::from_secs(40)).await?;
    let endpoint = cluster.endpoint();
    // A new lead takes images too.
    endpoint.execute("update account set note = 'new lead' where id = 14; select bump('new lead')").await?;
    let noted = endpoint.value("select count(*) from account where note = 'new lead'").await?;
    let left: Vec<&Member> = cluster.members.iter().filter(|member| member.pid().is_some()).collect();
    members_equal(&left, EqualityOptions::default().without_sequences()).await?;
    if noted != "1" || left.len() != 2 {
        return fail(format!("{noted} notes on {} members", left.len()));
    }
    cluster.members[lead].restart().await?;
    all_enabled(cluster).await?;
    let members: Vec<&Member> = cluster.members.iter().collect();
    members_equal(&members, EqualityOptions::default().without_sequences()).await.map(drop)
}

async fn carried(client: &Client, sql: &str, allowed: &[&str]) -> Result<()> {
    let found = outcome(&client.batch_execute(sql).await);
    client.batch_execute("rollback").await.map_err(Failure::from)?;
    if allowed.contains(&found.as_str()) { Ok(()) } else { fail(format!("{sql} over a change of lead: {found}")) }
}

async fn all_enabled(cluster: &Cluster) -> Result<()> {
    for member in &cluster.members {
        cluster.wait_for_state(member.name(), "enabled", RETURN_LIMIT).await?;
    }
    Ok(())
}
