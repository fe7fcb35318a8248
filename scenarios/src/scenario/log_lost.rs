//! The proxy's machine is gone, log and all: a new proxy with an empty log directory adopts the members.
//!
//! In turns: killed under load; markers equal; transactions of which nobody was told undone on one member and done on
//! another; an old copy of the log; a member that was disabled before; that member alone; a member that is gone for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::ending;
use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::workloads::unique_inserts::{self, Journal};
use crate::{Options, Result, Summary, fail};

/// Beside the inserts: a key of two texts with odd characters, no key at all, a foreign key with a cascade.
const TABLES: &str = r#"
    create table odd("Key ""1" text, "key 2" text, v int, t timestamptz, primary key ("Key ""1", "key 2"));
    insert into odd select E'\\ '' é' || g, E'"\n(,)', g, '2026-01-01Z' from generate_series(1, 3000) g;
    create table no_key(a int, b text);
    create table parent(id int primary key);
    create table child(id int primary key, parent int references parent on delete cascade);
    insert into parent select generate_series(1, 5);
    insert into child select g, 1 + g % 5 from generate_series(1, 50) g;
"#;

/// Time for everything that is no process's own start.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions { member_timeout: Duration::from_secs(1), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options, setup).await?;
    cluster.proxy()?;
    let endpoint = cluster.endpoint();
    endpoint.execute(unique_inserts::SCHEMA).await?;
    endpoint.execute(TABLES).await?;
    for row in 1..=10 {
        endpoint.execute(&format!("insert into no_key values ({}, 'x')", row % 3)).await?;
    }
    let before = databases(&cluster).await?;

    let journal = killed_under_load(&mut cluster).await?;
    cluster.proxy_mut()?.restart().await?;
    expect_whole(&cluster, &journal).await?;
    let after_load = incidents(&cluster).await?.len();

    // Markers equal.
    lose_proxy_and_log(&mut cluster)?;
    cluster.proxy_mut()?.restart().await?;
    expect_whole(&cluster, &journal).await?;
    if !incidents(&cluster).await?.is_empty() {
        return fail("members whose markers are equal are no incident");
    }

    let victim = usize::try_from(options.seed)? % cluster.members.len();
    differ_and_be_repaired(&mut cluster, &journal, victim).await?;
    if databases(&cluster).await? != before {
        return fail("a member was rebuilt where rows were to be repaired");
    }

    old_copy(&mut cluster, victim).await?;
    stale(&mut cluster, victim).await?;
    gone_for_good(&mut cluster, victim).await?;
    let rows = ending(&cluster).await?;
    Ok(Summary::default()
        .with("acknowledged", journal.acknowledged.len())
        .with("unknown", journal.unknown.len())
        .with("repaired_after_load", after_load)
        .with("rows", rows))
}

/// Clients insert; the proxy is killed in the middle, and its log directory removed.
async fn killed_under_load(cluster: &mut Cluster) -> Result<Journal> {
    let stop = Arc::new(AtomicBool::new(false));
    let start = |client| tokio::spawn(unique_inserts::client(cluster.endpoint(), client, Arc::clone(&stop)));
    let clients: Vec<_> = (0..4).map(start).collect();
    sleep(Duration::from_secs(2)).await;
    lose_proxy_and_log(cluster)?;
    stop.store(true, Ordering::Relaxed);
    let mut journals = Vec::new();
    for client in clients {
        journals.push(client.await??);
    }
    let journal = Journal::merge(journals);
    if journal.acknowledged.is_empty() {
        return fail("not one insert was acknowledged");
    }
    Ok(journal)
}

fn lose_proxy_and_log(cluster: &mut Cluster) -> Result<()> {
    let proxy = cluster.proxy_mut()?;
    proxy.kill_9()?;
    std::fs::remove_dir_all(proxy.log_dir())?;
    Ok(())
}

/// All members are enabled and equal, and hold what was acknowledged.
async fn expect_whole(cluster: &Cluster, journal: &Journal) -> Result<()> {
    ending(cluster).await?;
    for member in &cluster.members {
        journal.check(member).await?;
    }
    Ok(())
}

/// On one member the last transactions are undone, markers and all; another one has one that nobody else has.
async fn differ_and_be_repaired(cluster: &mut Cluster, journal: &Journal, victim: usize) -> Result<()> {
    let endpoint = cluster.endpoint();
    let last = [
        "update odd set v = -1 where \"Key \"\"1\" = E'\\\\ '' é1500' and \"key 2\" = E'\"\\n(,)'",
        "insert into odd values (E'\\\\', '', 70007, 'infinity')",
        "delete from odd where \"Key \"\"1\" = E'\\\\ '' é2999' and \"key 2\" = E'\"\\n(,)'",
        "insert into no_key values (1, 'x')",
        "insert into no_key values (1, null)",
        "delete from parent where id = 3",
    ];
    for statement in last {
        endpoint.execute(statement).await?;
    }
    lose_proxy_and_log(cluster)?;
    let more = (victim + 1) % cluster.members.len();
    let undone = "begin; set local session_replication_role = replica; \
        update odd set v = 1500 where v = -1; delete from odd where v = 70007; \
        insert into odd values (E'\\\\ '' é2999', E'\"\\n(,)', 2999, '2026-01-01Z'); \
        delete from no_key where ctid in (select ctid from no_key where a = 1 and b = 'x' limit 1); \
        delete from no_key where b is null; insert into parent values (3); \
        insert into child select g, 3 from generate_series(1, 50) g where 1 + g % 5 = 3; \
        with last as (select position from raidb.applied_0 union select position from raidb.applied_1 order by 1 desc limit 6), \
          a as (delete from raidb.applied_0 where position in (table last)) \
        delete from raidb.applied_1 where position in (table last); commit";
    cluster.members[victim].endpoint().execute(undone).await?;
    // In flight when the proxy was killed: it reached one member only.
    let done = "begin; insert into unique_inserts values (-1, -1); insert into no_key values (9, E'\\t'); \
        insert into raidb.applied_0 select 1 + max(position) from \
        (select position from raidb.applied_0 union select position from raidb.applied_1) p; commit";
    cluster.members[more].endpoint().execute(done).await?;

    cluster.proxy_mut()?.restart().await?;
    ending(cluster).await?;
    let told = incidents(cluster).await?;
    let of = |member: usize| told.iter().find(|i| i["member"] == cluster.members[member].name());
    for part in [
        "public.odd: 1 rows deleted, 1 inserted, 1 changed",
        "public.no_key: 0 rows deleted, 3 inserted",
        "public.parent: 1 rows deleted",
        "public.child: 10 rows deleted",
        "public.unique_inserts: 0 rows deleted, 1 inserted",
    ] {
        if !of(victim).is_some_and(|incident| incident["answers"].to_string().contains(part)) {
            return fail(format!("no incident of the repaired member says {part:?}: {told:?}"));
        }
    }
    let other = (victim + 2) % cluster.members.len();
    if !of(other).is_some_and(|i| i["answers"].to_string().contains("2 differed")) || of(more).is_some() {
        return fail(format!("the second member was to be repaired, and the one that holds most not: {told:?}"));
    }
    for member in &cluster.members {
        let query = "select count(*) filter (where key >= 0) from unique_inserts";
        let kept = member.endpoint().value(query).await?;
        if kept.parse::<usize>()? < journal.acknowledged.len() {
            return fail(format!("{} acknowledged, {} has {kept}", journal.acknowledged.len(), member.name()));
        }
    }
    // It is told again by the next start, from the new log, and nothing is adopted a second time.
    cluster.proxy_mut()?.kill_9()?;
    cluster.proxy_mut()?.restart().await?;
    if incidents(cluster).await?.len() != told.len() {
        return fail("the log does not keep what was repaired");
    }
    ending(cluster).await.map(drop)
}

/// A copy of the log that is older than an adoption, and longer than what the members hold, since positions are used anew: the
/// start refuses it and says why.
async fn old_copy(cluster: &mut Cluster, victim: usize) -> Result<()> {
    let name = cluster.members[victim].name().to_owned();
    // More records behind the last transaction than the adoption writes.
    for verb in ["disable", "enable", "disable", "enable"] {
        let (code, printed) = cluster.proxy()?.member(&[verb, &name]).await?;
        if code != Some(0) {
            return fail(format!("raidb member {verb} {name}: {code:?}, {printed}"));
        }
    }
    let log = cluster.proxy()?.log_dir();
    let (old, newest) = (log.with_extension("old"), log.with_extension("newest"));
    cluster.proxy_mut()?.kill_9()?;
    std::fs::rename(&log, &old)?;
    cluster.proxy_mut()?.restart().await?;
    ending(cluster).await?;
    cluster.proxy_mut()?.kill_9()?;
    std::fs::rename(&log, &newest)?;
    std::fs::rename(&old, &log)?;
    cluster.proxy_mut()?.spawn()?;
    let begin = Instant::now();
    loop {
        let status = cluster.proxy()?.status().await.unwrap_or_default();
        let starting = status["virtual_databases"][0]["starting"].as_str().unwrap_or_default().to_owned();
        if starting.contains("of epoch") && starting.contains("the log is an old copy") {
            break;
        }
        if begin.elapsed() > LIMIT {
            return fail(format!("the start should refuse an old copy of the log, it says: {starting}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    // It looks again and again, and does not say so each time.
    sleep(Duration::from_secs(2)).await;
    let said = std::fs::read_to_string(cluster.proxy()?.log())?.matches("the log is an old copy").count();
    if said != 1 {
        return fail(format!("that the log is an old copy was logged {said} times"));
    }
    cluster.proxy_mut()?.kill_9()?;
    std::fs::remove_dir_all(&log)?;
    std::fs::rename(&newest, &log)?;
    cluster.proxy_mut()?.restart().await?;
    ending(cluster).await.map(drop)
}

/// A member that was disabled and does not know it: alone it is not adopted, with the others it is rebuilt.
async fn stale(cluster: &mut Cluster, victim: usize) -> Result<()> {
    let name = cluster.members[victim].name().to_owned();
    cluster.members[victim].kill_9()?;
    cluster.wait_for_state(&name, "disabled", LIMIT).await?;
    cluster.endpoint().execute("insert into parent values (1000)").await?;
    lose_proxy_and_log(cluster)?;
    for (number, member) in cluster.members.iter_mut().enumerate() {
        if number != victim {
            member.kill_9()?;
        }
    }
    cluster.members[victim].restart().await?;
    cluster.proxy_mut()?.spawn()?;
    let others: Vec<usize> = (0..cluster.members.len()).filter(|number| *number != victim).collect();
    let names: Vec<String> = others.iter().map(|n| cluster.members[*n].name().to_owned()).collect();
    expect_waiting_for(cluster, &names).await?;
    // One of them is not enough either: nobody knows what the third one would say.
    cluster.members[others[0]].restart().await?;
    expect_waiting_for(cluster, &names[1..]).await?;
    cluster.members[others[1]].restart().await?;
    cluster.proxy_mut()?.wait_ready().await?;
    let told = incidents(cluster).await?;
    let stale = told.iter().any(|i| i["member"] == name.as_str() && i["reason"] == "log_lost");
    if !stale {
        return fail(format!("no incident says that {name} is not current: {told:?}"));
    }
    cluster.wait_for_state(&name, "enabled", LIMIT).await?;
    ending(cluster).await?;
    let found = cluster.members[victim].endpoint().value("select count(*) from parent where id = 1000").await?;
    if found == "1" { Ok(()) } else { fail(format!("{name} lacks an acknowledged row")) }
}

/// Waits until the start says that it waits for exactly these, and then finds nothing served.
async fn expect_waiting_for(cluster: &Cluster, names: &[String]) -> Result<()> {
    let begin = Instant::now();
    loop {
        // The admin endpoint may not listen yet.
        let status = cluster.proxy()?.status().await.unwrap_or_default();
        let starting = status["virtual_databases"][0]["starting"].as_str().unwrap_or_default().to_owned();
        let waits = |name: &str| starting.contains(&format!("\"{name}\" ("));
        if cluster.members.iter().all(|m| waits(m.name()) == names.iter().any(|name| name == m.name())) {
            break;
        }
        if begin.elapsed() > LIMIT {
            return fail(format!("the start should wait for {names:?}, it says: {starting}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    match cluster.endpoint().config().connect(tokio_postgres::NoTls).await {
        Err(error) if error.code().is_some_and(|code| code.code() == "57P03") => Ok(()),
        Err(error) => fail(format!("not 57P03 while the start waits: {error}")),
        Ok(_) => fail("a client was let in before all members were seen"),
    }
}

/// A member's machine is gone with the proxy's: the operator names the others, and it is rebuilt when there is one again.
async fn gone_for_good(cluster: &mut Cluster, victim: usize) -> Result<()> {
    let name = cluster.members[victim].name().to_owned();
    let others: Vec<String> =
        cluster.members.iter().map(|m| m.name().to_owned()).filter(|other| *other != name).collect();
    lose_proxy_and_log(cluster)?;
    cluster.members[victim].kill_9()?;
    let proxy = cluster.proxy_mut()?;
    proxy.spawn_with(&["--adopt", &others.join(",")])?;
    proxy.wait_ready().await?;
    cluster.endpoint().execute("insert into parent values (2000)").await?;
    members_equal(&cluster.enabled().await?, EqualityOptions::default()).await?;
    cluster.members[victim].restart().await?;
    cluster.wait_for_state(&name, "enabled", LIMIT).await.map(drop)
}

/// What `/status` tells of members that were found wanting when the log was empty.
async fn incidents(cluster: &Cluster) -> Result<Vec<Value>> {
    let status = cluster.proxy()?.status().await?;
    Ok(status["virtual_databases"][0]["incidents"].as_array().cloned().unwrap_or_default())
}

/// Number of each member's database: a rebuild makes a new one.
async fn databases(cluster: &Cluster) -> Result<Vec<String>> {
    let mut numbers = Vec::new();
    for member in &cluster.members {
        let query = "select oid from pg_database where datname = current_database()";
        numbers.push(member.endpoint().value(query).await?);
    }
    Ok(numbers)
}
