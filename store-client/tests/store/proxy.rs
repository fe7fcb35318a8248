//! The same through the proxy, on three members. The binary is `$RAIDB_BIN`, or the newest of the target folders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scenarios::cluster::{Cluster, ClusterOptions};
use store_client::election::{Lease, Lock};
use store_client::{CHUNK, Draft, Source, Store, Unit};

use crate::fixture::{LEASE, quick, store_at, texts};
use crate::once::{check, producers};

async fn cluster() -> (Cluster, Store) {
    let cluster = Cluster::start(&scenarios::Options::default(), ClusterOptions::default()).await.expect("a cluster");
    let store = store_at(cluster.endpoint().port);
    store.migrate().await.expect("tables");
    (cluster, store)
}

/// The store's tables are the same on all members, and none was disabled.
async fn members_are_equal(cluster: &Cluster) {
    cluster.expect_all_enabled().await.expect("all enabled");
    let sql = "select (select md5(string_agg(m::text, ',' order by destination, id)) from store_message m) || ' ' || \
               (select md5(coalesce(string_agg(c::text, ',' order by source, id), '')) from store_claim c) || ' ' || \
               (select md5(coalesce(string_agg(c::text, ',' order by message, number), '')) from store_chunk c) || ' ' || \
               (select md5(coalesce(string_agg(p::text, ',' order by p), '')) from store_pending p) || ' ' || \
               (select next from store_counter)";
    let mut all = Vec::new();
    for member in &cluster.members {
        all.push(member.endpoint().value(sql).await.expect("a hash"));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_through_the_proxy_and_members_stay_equal() {
    let (cluster, store) = cluster().await;
    let migrating = vec![store.clone(); 3];
    for done in futures::future::join_all(migrating.iter().map(Store::migrate)).await {
        done.expect("tables");
    }
    let mut session = store.session().await.expect("a session");
    session.append("q", "one").await.expect("append");
    session.append_batch("q", ["two", "three"]).await.expect("batch");
    let long = vec![7; 3 * CHUNK + 5];
    session.append_stream("q", Draft::new([]), &long[..]).await.expect("stream");
    let subscription = session.subscribe("t", "c", "s", None).await.expect("subscribe");
    let other = session.subscribe("t", "c", "other", None).await.expect("subscribe");
    let queue = Source::queue("q").expect("a queue");
    let delivery = session.take(&queue, 3, LEASE).await.expect("take").expect("messages");
    let mut unit = Unit::new();
    unit.acknowledge(&delivery).expect("room");
    unit.publish("t", "published").expect("room");
    unit.append("q", "four").expect("room");
    session.commit(unit).await.expect("commit");
    let mut delivery = session.take_subscribed(&subscription, 3, LEASE).await.expect("take").expect("messages");
    assert_eq!(texts(&delivery.messages), ["published"]);
    session.extend(&mut delivery, LEASE).await.expect("extend");
    session.acknowledge(&delivery).await.expect("acknowledge");
    session.unsubscribe(&other).await.expect("unsubscribe");
    assert_eq!(session.count_pending(&subscription).await.expect("count"), 0);
    let delivery = session.take(&queue, 3, LEASE).await.expect("take").expect("messages");
    let mut read = Vec::new();
    session.read_body(&delivery.messages[0], &mut read).await.expect("body");
    assert!(read == long);
    session.give_back(delivery).await.expect("give back");
    let expired = Draft::new("x").expires(std::time::UNIX_EPOCH);
    session.append("q", expired).await.expect("append");
    assert_eq!(session.remove_expired("q").await.expect("expire"), 1);

    let mut lock = Lock::wait(&store, "broker", "first").await.expect("a lock");
    lock.keep().await.expect("kept");
    assert!(Lock::try_take(&store, "broker", "second").await.expect("a look").is_none());
    lock.release().await;
    Lock::try_take(&store, "broker", "second").await.expect("a look").expect("free").release().await;
    let mut lease = Lease::try_take(&store, "broker", "a", LEASE).await.expect("a look").expect("a lease");
    lease.keep().await.expect("kept");
    assert!(Lease::try_take(&store, "broker", "b", LEASE).await.expect("a look").is_none());
    lease.release().await.expect("release");
    session.close().await;
    members_are_equal(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_proxy_loses_nothing_and_doubles_nothing() {
    let (mut cluster, _) = cluster().await;
    let options = store_client::Options { retry_limit: Duration::from_secs(30), ..quick() };
    let store = Store::with_options(&crate::fixture::url(cluster.endpoint().port), options).expect("a URL");
    let stop = Arc::new(AtomicBool::new(false));
    let producers = producers(&store, &stop, 4, usize::MAX);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let proxy = cluster.proxy_mut().expect("a proxy");
        proxy.kill_9().expect("kill");
        proxy.restart().await.expect("restart");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut session = store.session().await.expect("a session");
    let count = check(&mut session, producers).await;
    eprintln!("{count} messages over two kills of the proxy");
    assert!(count > 50, "{count} messages");
    session.close().await;
    members_are_equal(&cluster).await;
}
