//! One master at a time.

use std::time::Duration;

use store_client::election::{Lease, Lock};

use crate::fixture::Fixture;

#[tokio::test]
async fn a_lock_has_one_master_and_passes_on_when_its_connection_is_lost() {
    let fixture = Fixture::start().await;
    let store = fixture.store();
    let mut first = Lock::wait(&store, "broker", "first").await.expect("a lock");
    assert!(Lock::try_take(&store, "broker", "second").await.expect("a look").is_none());
    let other = Lock::try_take(&store, "another", "second").await.expect("a look").expect("a lock of another name");
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { Lock::wait(&store, "broker", "second").await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    first.keep().await.expect("still master");
    assert!(!waiting.is_finished());
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction' and query like '%store_lock%'";
    fixture.member.endpoint().execute(kill).await.expect("terminate");
    let mut second = waiting.await.expect("a task").expect("takeover");
    second.keep().await.expect("master");
    assert!(first.keep().await.expect_err("lost").is_not_held());
    second.release().await;
    other.release().await;
    Lock::try_take(&store, "broker", "third").await.expect("a look").expect("free").release().await;
}

#[tokio::test]
async fn a_lease_has_one_master_until_its_time_is_up() {
    let fixture = Fixture::start().await;
    let store = fixture.store();
    let time = Duration::from_millis(600);
    let mut first = Lease::try_take(&store, "broker", "a", time).await.expect("a look").expect("a lease");
    assert!(
        Lease::try_take(&store, "broker", "a", time).await.expect("a look").is_none(),
        "the name alone is not the holder"
    );
    tokio::time::sleep(time / 2).await;
    first.keep().await.expect("still master");
    tokio::time::sleep(time / 2 + Duration::from_millis(50)).await;
    assert!(Lease::try_take(&store, "broker", "b", time).await.expect("a look").is_none());
    tokio::time::sleep(time).await;
    let second = Lease::try_take(&store, "broker", "b", time).await.expect("a look").expect("its time is up");
    assert_eq!(second.term(), first.term() + 1);
    assert!(first.keep().await.expect_err("lost").is_not_held());
    second.release().await.expect("release");
    let third = Lease::try_take(&store, "broker", "c", time).await.expect("a look").expect("released");
    assert_eq!(third.term(), first.term() + 2);
}

/// A wait that is given up leaves no place in the queue behind, and no connection.
#[tokio::test]
async fn a_wait_that_is_given_up_leaves_nothing() {
    let fixture = Fixture::start().await;
    let store = fixture.store();
    let first = Lock::wait(&store, "broker", "first").await.expect("a lock");
    for _ in 0..5 {
        let waiting = Lock::wait(&store, "broker", "second");
        assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    }
    let left = "select count(*) from pg_stat_activity where application_name = 'second'";
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while fixture.value(left).await != "0" {
        assert!(std::time::Instant::now() < until, "connections that wait for nobody");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.release().await;
}
