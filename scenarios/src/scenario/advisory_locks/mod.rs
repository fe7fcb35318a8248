//! Advisory locks: what PostgreSQL says of them, a lock service, and two sessions that compete while leads are killed.
//! On all members the same locks are held at rest, and none is left at the end.

mod compete;
mod forms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::time::{sleep, timeout};

use super::ending;
use crate::checkers::hang_report;
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::sql::Endpoint;
use crate::{Options, Result, Summary, fail};

/// Nobody is frozen here: a machine that has much else to do must not look like a member that does not answer.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest run of the lock service.
const SERVICE_LIMIT: Duration = Duration::from_secs(300);
/// How long locks of sessions that have ended may be seen.
const GONE_LIMIT: Duration = Duration::from_secs(30);
/// Locks of the lock service.
const KEYS: i64 = 3;

/// What is held on a member, and by how many.
const HELD: &str = "select coalesce(string_agg(x, ' ' order by x), 'none') from (select classid || '/' || objid || '/' \
                    || objsubid || '/' || mode || '*' || count(*) as x from pg_locks where locktype = 'advisory' \
                    and granted group by classid, objid, objsubid, mode) held";

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut cluster =
        Cluster::start(&options, ClusterOptions { member_timeout: MEMBER_TIMEOUT, ..ClusterOptions::default() })
            .await?;
    let checks = forms::run(&cluster).await?;
    held_by_all(&cluster.members, "none").await?;
    let Ok(served) = timeout(SERVICE_LIMIT, service(&cluster.endpoint(), &options)).await else {
        return fail(format!("the lock service hangs:\n{}", hang_report(&cluster).await));
    };
    let served = served?;
    held_by_all(&cluster.members, "none").await?;
    ending(&cluster).await?;
    let report = if options.bare { compete::Report::default() } else { compete::run(&mut cluster).await? };
    Ok(Summary::default()
        .with("checks", checks)
        .with("served", served)
        .with("kills", report.kills)
        .with("taken", report.taken)
        .with("sessions_ended", report.ended))
}

/// Waits until every living member holds exactly these locks.
async fn held_by_all(members: &[Member], wanted: &str) -> Result<()> {
    for member in members.iter().filter(|member| member.pid().is_some()) {
        let begun = Instant::now();
        loop {
            let held = member.endpoint().value(HELD).await?;
            if held == wanted {
                break;
            }
            if begun.elapsed() > GONE_LIMIT {
                return fail(format!("{} holds {held} in place of {wanted}", member.name()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Clients take a lock, read a counter, write it one higher, and give the lock back: no two at a time, nothing lost.
async fn service(endpoint: &Endpoint, options: &Options) -> Result<i64> {
    endpoint.execute("create table served(id bigint primary key, n bigint)").await?;
    for key in 0..KEYS {
        endpoint.execute(&format!("insert into served values ({key}, 0)")).await?;
    }
    let inside: Arc<Vec<AtomicBool>> = Arc::new((0..KEYS).map(|_| AtomicBool::new(false)).collect());
    let clients = (0..options.clients).map(|client| {
        let (inside, transactions) = (inside.clone(), options.transactions);
        async move { serve(endpoint, client, transactions, &inside).await }
    });
    try_join_all(clients).await?;
    let total: i64 = endpoint.value("select sum(n) from served").await?.parse()?;
    let wanted = i64::try_from(options.clients * options.transactions)?;
    if total != wanted {
        return fail(format!("{total} of {wanted} updates under a lock were kept"));
    }
    Ok(total)
}

async fn serve(endpoint: &Endpoint, client: usize, transactions: usize, inside: &[AtomicBool]) -> Result<()> {
    let mut connection = endpoint.connect().await?;
    for n in 0..transactions {
        let key = i64::try_from(client * 7 + n)? % KEYS;
        let place = &inside[usize::try_from(key)?];
        let enter = || if place.swap(true, Ordering::SeqCst) { fail("two holders of one lock") } else { Ok(()) };
        if n % 3 == 0 {
            // A lock of the transaction: COMMIT gives it back.
            let transaction = connection.transaction().await?;
            transaction.query("select pg_advisory_xact_lock($1)", &[&key]).await?;
            enter()?;
            let read: i64 = transaction.query_one("select n from served where id = $1", &[&key]).await?.get(0);
            transaction.execute("update served set n = $2 where id = $1", &[&key, &(read + 1)]).await?;
            place.store(false, Ordering::SeqCst);
            transaction.commit().await?;
            continue;
        }
        if n % 3 == 1 {
            connection.query("select pg_advisory_lock($1)", &[&key]).await?;
        } else {
            while !connection.query_one("select pg_try_advisory_lock($1)", &[&key]).await?.get::<_, bool>(0) {
                sleep(Duration::from_millis(2)).await;
            }
        }
        enter()?;
        let read: i64 = connection.query_one("select n from served where id = $1", &[&key]).await?.get(0);
        connection.execute("update served set n = $2 where id = $1", &[&key, &(read + 1)]).await?;
        place.store(false, Ordering::SeqCst);
        if !connection.query_one("select pg_advisory_unlock($1)", &[&key]).await?.get::<_, bool>(0) {
            return fail("a lock that was held was not there any more");
        }
    }
    Ok(())
}
