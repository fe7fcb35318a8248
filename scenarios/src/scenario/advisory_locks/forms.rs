//! What one PostgreSQL says of advisory locks, in both protocols, in and outside of transactions.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::held_by_all;
use crate::cluster::{Cluster, Member};
use crate::scenario::regressions::support::outcome;
use crate::sql::rows;
use crate::{Failure, Result, fail};

/// Longest wait for something that must come.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a client that must wait is watched.
const WATCHED: Duration = Duration::from_millis(150);

/// Returns the number of checks.
pub(super) async fn run(cluster: &Cluster) -> Result<usize> {
    let endpoint = cluster.endpoint();
    let (first, second) = (endpoint.connect().await?, endpoint.connect().await?);
    first.batch_execute("create table al(id int primary key)").await?;
    let members = &cluster.members;
    let mut checks = nesting(&first, &second, members).await?;
    checks += transactions(&first, &second, members).await?;
    checks += modes_and_forms(&first, &second, members).await?;
    checks += waits(&first, &second).await?;
    checks += with_settings(&first, &second, members).await?;
    checks += refusals(&first).await?;
    drop((first, second));
    Ok(checks)
}

async fn value(client: &Client, sql: &str) -> Result<String> {
    let rows = rows(client, sql).await?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten().unwrap_or_default())
}

async fn expect(client: &Client, sql: &str, wanted: &str) -> Result<()> {
    let found = value(client, sql).await.map_err(|error| error.during(sql.to_owned()))?;
    if found == wanted { Ok(()) } else { fail(format!("{sql}: {found:?} in place of {wanted:?}")) }
}

/// Locks nest; a lock that is not held is not given back; DISCARD ALL and `unlock_all` give back everything.
async fn nesting(first: &Client, second: &Client, members: &[Member]) -> Result<usize> {
    expect(first, "select pg_advisory_lock(5)", "").await?;
    expect(first, "select pg_catalog.pg_try_advisory_lock(5) as again", "t").await?;
    held_by_all(members, "0/5/1/ExclusiveLock*1").await?;
    expect(second, "select pg_try_advisory_lock(5)", "f").await?;
    expect(second, "select pg_advisory_unlock(5)", "f").await?;
    expect(first, "select pg_advisory_unlock(5)", "t").await?;
    expect(second, "select pg_try_advisory_lock(5)", "f").await?;
    expect(first, "select pg_advisory_unlock(5)", "t").await?;
    expect(first, "select pg_advisory_unlock(5)", "f").await?;
    expect(second, "select pg_try_advisory_lock(5)", "t").await?;
    expect(second, "select pg_advisory_lock(-6)", "").await?;
    held_by_all(members, "0/5/1/ExclusiveLock*1 4294967295/4294967290/1/ExclusiveLock*1").await?;
    expect(second, "select pg_advisory_unlock_all()", "").await?;
    held_by_all(members, "none").await?;
    expect(second, "select pg_advisory_lock(7, 8)", "").await?;
    held_by_all(members, "7/8/2/ExclusiveLock*1").await?;
    second.batch_execute("discard all").await?;
    held_by_all(members, "none").await?;
    Ok(16)
}

/// A session's lock survives a rollback and an error, a transaction's does not, also not ROLLBACK TO.
async fn transactions(first: &Client, second: &Client, members: &[Member]) -> Result<usize> {
    first.batch_execute("begin; insert into al values (1)").await?;
    expect(first, "select pg_advisory_lock(1)", "").await?;
    expect(first, "select pg_advisory_xact_lock(2)", "").await?;
    let error = first.batch_execute("select 1/0").await;
    if outcome(&error) != "22012" {
        return fail(format!("a division by zero: {error:?}"));
    }
    first.batch_execute("rollback").await?;
    held_by_all(members, "0/1/1/ExclusiveLock*1").await?;
    first.batch_execute("begin; insert into al values (2); savepoint s").await?;
    expect(first, "select pg_try_advisory_xact_lock(3)", "t").await?;
    expect(first, "select pg_try_advisory_xact_lock(1)", "t").await?;
    expect(second, "select pg_try_advisory_xact_lock(3)", "f").await?;
    first.batch_execute("rollback to s").await?;
    expect(second, "select pg_try_advisory_xact_lock(3)", "t").await?;
    expect(first, "select pg_advisory_xact_lock_shared(4)", "").await?;
    expect(first, "select pg_advisory_unlock(1)", "t").await?;
    expect(first, "select pg_advisory_unlock(4)", "f").await?;
    first.batch_execute("commit").await?;
    held_by_all(members, "none").await?;
    expect(first, "select count(*) from al", "1").await?;
    Ok(13)
}

/// Shared locks, two-part keys, parameters of several types, pipelines; NULL does nothing.
async fn modes_and_forms(first: &Client, second: &Client, members: &[Member]) -> Result<usize> {
    first.query("select pg_advisory_lock_shared($1, $2)", &[&1_i32, &-2_i32]).await?;
    second.query("select pg_advisory_lock_shared($1::int, '-2'::int)", &[&1_i32]).await?;
    held_by_all(members, "1/4294967294/2/ShareLock*2").await?;
    let taken: bool = first.query_one("select pg_try_advisory_lock(1, $1)", &[&-2_i32]).await?.get(0);
    let null: Option<bool> = first.query_one("select pg_try_advisory_lock($1)", &[&Option::<i64>::None]).await?.get(0);
    let given: bool = second.query_one("select pg_advisory_unlock_shared(1, $1)", &[&-2_i32]).await?.get(0);
    let taken_then: bool = first.query_one("select pg_try_advisory_lock(1, $1)", &[&-2_i32]).await?.get(0);
    if (taken, null, given, taken_then) != (false, None, true, true) {
        return fail(format!("shared locks: {taken} {null:?} {given} {taken_then}"));
    }
    held_by_all(members, "1/4294967294/2/ExclusiveLock*1 1/4294967294/2/ShareLock*1").await?;
    // Two statements of one message; two of one pipeline.
    first.batch_execute("select pg_advisory_unlock(1, -2); select pg_advisory_unlock_shared(1, -2)").await?;
    held_by_all(members, "none").await?;
    let keys = [&9_i64, &10_i64];
    let statement = first.prepare("select pg_advisory_lock($1)").await?;
    let pipelined = keys.map(|key| {
        let statement = &statement;
        async move { first.query(statement, &[key]).await }
    });
    let [nine, ten] = pipelined;
    let (nine, ten) = tokio::join!(nine, ten);
    nine?;
    ten?;
    held_by_all(members, "0/10/1/ExclusiveLock*1 0/9/1/ExclusiveLock*1").await?;
    first.batch_execute("select pg_advisory_unlock_all()").await?;
    Ok(8)
}

/// A client waits for a lock as long as it is held, can be cancelled, and goes away without a trace.
async fn waits(first: &Client, second: &Client) -> Result<usize> {
    first.batch_execute("select pg_advisory_lock(20)").await?;
    let waiting = second.simple_query("select pg_advisory_lock(20)");
    tokio::pin!(waiting);
    if timeout(WATCHED, &mut waiting).await.is_ok() {
        return fail("a lock that is held was given to somebody else");
    }
    second.cancel_token().cancel_query(NoTls).await?;
    let cancelled = timeout(LIMIT, &mut waiting).await.map_err(|_| Failure::new("a cancel was not heard"))?;
    if outcome(&cancelled) != "57014" {
        return fail(format!("a cancelled wait for a lock: {cancelled:?}"));
    }
    let waiting = second.simple_query("select pg_advisory_lock(20)");
    let giving = async {
        sleep(WATCHED).await;
        first.batch_execute("select pg_advisory_unlock(20)").await
    };
    let both = timeout(LIMIT, async { tokio::join!(waiting, giving) }).await;
    let (given, unlocked) = both.map_err(|_| Failure::new("a lock that was given back was given to nobody"))?;
    given?;
    unlocked?;
    expect(first, "select pg_try_advisory_lock(20)", "f").await?;
    expect(second, "select pg_advisory_unlock(20)", "t").await?;
    Ok(5)
}

/// A time limit acts on the lead alone, and a deadlock is found there.
async fn with_settings(first: &Client, second: &Client, members: &[Member]) -> Result<usize> {
    first.batch_execute("set lock_timeout = '100ms'; select pg_advisory_lock(30)").await?;
    second.batch_execute("select pg_advisory_lock(31)").await?;
    let limited = first.simple_query("select pg_advisory_lock(31)").await;
    if outcome(&limited) != "55P03" {
        return fail(format!("a lock that was not to be had in time: {limited:?}"));
    }
    held_by_all(members, "0/30/1/ExclusiveLock*1 0/31/1/ExclusiveLock*1").await?;
    first.batch_execute("reset lock_timeout").await?;
    deadlock(first, second).await?;
    first.batch_execute("select pg_advisory_unlock_all()").await?;
    second.batch_execute("select pg_advisory_unlock_all()").await?;
    held_by_all(members, "none").await?;
    Ok(3)
}

/// Each waits for what the other holds: the lead hits one, who then gives back.
async fn deadlock(first: &Client, second: &Client) -> Result<()> {
    let one = take_or_give_back(first, "select pg_advisory_lock(31)");
    let other = take_or_give_back(second, "select pg_advisory_lock(30)");
    let both = timeout(LIMIT, async { tokio::join!(one, other) }).await;
    let (one, other) = both.map_err(|_| Failure::new("a deadlock was not found"))?;
    let (one, other) = (one?, other?);
    if one == other { fail(format!("a deadlock: {one} were hit in place of one")) } else { Ok(()) }
}

/// Whether it was hit by the deadlock; then it has given everything back.
async fn take_or_give_back(client: &Client, sql: &str) -> Result<bool> {
    let answer = client.simple_query(sql).await;
    match outcome(&answer).as_str() {
        "ok" => Ok(false),
        "40P01" => client.batch_execute("select pg_advisory_unlock_all()").await.map(|()| true).map_err(Into::into),
        _ => fail(format!("{sql}: {answer:?}")),
    }
}

/// What is not understood is refused, and locks nothing.
async fn refusals(client: &Client) -> Result<usize> {
    let statements = [
        "select pg_advisory_lock(id) from al",
        "select pg_advisory_lock(1), 2",
        "select 1 where pg_try_advisory_lock(1)",
        "select pg_advisory_lock(hashtext('x'))",
        "prepare p as select pg_advisory_lock(1)",
    ];
    for sql in statements {
        let refused = client.simple_query(sql).await;
        if outcome(&refused) != "0A000" {
            return fail(format!("{sql}: {refused:?}"));
        }
    }
    Ok(statements.len())
}
