//! How messages are handed out, and come again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use store_client::{Source, Store};

use crate::fixture::{Fixture, LEASE, draft, texts};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn what_a_dead_consumer_had_comes_again_and_is_counted() {
    let fixture = Fixture::start().await;
    let queue = Source::queue("q").expect("a queue");
    let mut producer = fixture.session().await;
    producer.append_batch("q", ["1", "2", "3", "4"]).await.expect("batch");
    let mut dying = fixture.session().await;
    let had = dying.take(&queue, 3, SHORT).await.expect("take").expect("messages");
    assert_eq!((texts(&had.messages), had.deliveries), (vec!["1".to_owned(), "2".into(), "3".into()], 1));
    dying.acknowledge_some(&had, &had.ids()[..1]).await.expect("the first");
    drop(dying);

    let mut next = fixture.session().await;
    let free = next.take(&queue, 10, LEASE).await.expect("take").expect("what nobody has");
    assert_eq!(texts(&free.messages), ["4"]);
    assert!(next.take(&queue, 10, LEASE).await.expect("take").is_none());
    tokio::time::sleep(SHORT * 2).await;
    let again = next.take(&queue, 10, LEASE).await.expect("take").expect("messages");
    assert_eq!((texts(&again.messages), again.deliveries), (vec!["2".to_owned(), "3".into()], 2));

    // The first one has come to life again: too late.
    let mut late = fixture.session().await;
    for error in [
        late.acknowledge(&had).await.expect_err("another one's"),
        late.acknowledge_some(&had, &had.ids()).await.expect_err("another one's"),
        late.give_back(had.clone()).await.expect_err("another one's"),
    ] {
        assert!(error.is_not_held() && !error.is_retryable(), "{error}");
    }
    next.acknowledge(&again).await.expect("acknowledge");
    next.acknowledge(&free).await.expect("acknowledge");
    assert_eq!(fixture.value("select (select count(*) from store_claim) + (select count(*) from store_message where destination <> '')").await, "0");
}

#[tokio::test]
async fn what_is_given_back_comes_at_once_and_a_lease_can_be_extended() {
    let fixture = Fixture::start().await;
    let queue = Source::queue("q").expect("a queue");
    let (mut one, mut two) = (fixture.session().await, fixture.session().await);
    one.append_batch("q", ["1", "2"]).await.expect("batch");
    let had = one.take(&queue, 10, LEASE).await.expect("take").expect("messages");
    assert!(two.take(&queue, 10, LEASE).await.expect("take").is_none());
    one.give_back(had).await.expect("give back");
    let mut again = two.take(&queue, 1, SHORT).await.expect("take").expect("messages");
    assert_eq!((texts(&again.messages), again.deliveries), (vec!["1".to_owned(), "2".into()], 2));
    two.extend(&mut again, LEASE).await.expect("extend");
    tokio::time::sleep(SHORT * 2).await;
    assert!(one.take(&queue, 10, LEASE).await.expect("take").is_none());
    two.acknowledge(&again).await.expect("acknowledge");
}

#[tokio::test]
async fn consumers_at_the_same_time_get_each_message_once() {
    let fixture = Fixture::start().await;
    fixture.session().await.append_batch("q", (0..600).map(|n| draft(&n.to_string()))).await.expect("batch");
    let consumers = (0..4).map(|_| tokio::spawn(consume(fixture.store())));
    let mut seen = BTreeMap::<String, u32>::new();
    for texts in futures::future::join_all(consumers).await {
        texts.expect("a consumer").into_iter().for_each(|text| *seen.entry(text).or_default() += 1);
    }
    assert!(seen.len() == 600 && seen.values().all(|count| *count == 1));
}

async fn consume(store: Store) -> Vec<String> {
    let (mut session, queue) = (store.session().await.expect("a session"), Source::queue("q").expect("a queue"));
    let mut seen = Vec::new();
    while let Some(delivery) = session.take(&queue, 17, LEASE).await.expect("take") {
        assert_eq!(delivery.deliveries, 1);
        session.acknowledge(&delivery).await.expect("acknowledge");
        seen.extend(texts(&delivery.messages));
    }
    seen
}

/// An open transaction, as a lock's, keeps every removed row in the index.
#[tokio::test]
async fn taking_stays_fast_behind_many_acknowledged_messages() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let queue = Source::queue("q").expect("a queue");
    session.append("q", "first").await.expect("append");
    let holder = fixture.member.endpoint().connect().await.expect("a connection");
    holder
        .batch_execute("begin isolation level repeatable read; select 1 from store_message")
        .await
        .expect("a snapshot");
    fixture
        .member
        .endpoint()
        .execute(
            "insert into store_message select 'q/q', i, 4, 1, now(), null, 1, 0, 'x' from generate_series(1000, 100000) i; \
             delete from store_message where id >= 1000; update store_counter set next = 100001; analyze store_message",
        )
        .await
        .expect("many removed messages");
    // The first look shows the counter, the second one is behind the time in which ids settle.
    let first = session.take(&queue, 1, LEASE).await.expect("take").expect("a message");
    session.acknowledge(&first).await.expect("acknowledge");
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert!(session.take(&queue, 1, LEASE).await.expect("take").is_none());
    let (started, takes) = (Instant::now(), 60);
    for _ in 0..takes {
        session.append("q", "x").await.expect("append");
        let delivery = session.take(&queue, 1, LEASE).await.expect("take").expect("a message");
        session.acknowledge(&delivery).await.expect("acknowledge");
    }
    let each = started.elapsed() / takes;
    eprintln!("append, take, acknowledge: {each:?}");
    let hits: i64 = fixture
        .value("select idx_tup_read from pg_stat_user_indexes where indexrelname = 'store_message_pkey'")
        .await
        .parse()
        .expect("a number");
    // From the front, every take would read all of them.
    assert!(hits < 1_500_000, "{hits} index entries read for {takes} messages");
}

/// The lease has ended, but its holder is about to acknowledge: whoever comes meanwhile does not wait for it, does not get what it has, and
/// afterwards gets only what it has left.
#[tokio::test]
async fn a_late_holder_that_acknowledges_is_not_taken_over_from() {
    let fixture = Fixture::start().await;
    let queue = Source::queue("q").expect("a queue");
    let (mut late, mut next) = (fixture.session().await, fixture.session().await);
    late.append_batch("q", ["1", "2", "3"]).await.expect("batch");
    let had = late.take(&queue, 2, SHORT).await.expect("take").expect("messages");
    tokio::time::sleep(SHORT * 2).await;
    // As `acknowledge_some` does, stopped half-way.
    let client = fixture.member.endpoint().connect().await.expect("a connection");
    client.batch_execute("begin; select 1 from store_claim for update").await.expect("the claim");
    let free = next.take(&queue, 10, LEASE).await.expect("take").expect("what nobody has");
    assert_eq!(texts(&free.messages), ["3"]);
    let first = had.ids()[0].number();
    let rest = format!("delete from store_message where destination = 'q/q' and id = {first}; commit");
    client.batch_execute(&rest).await.expect("acknowledged");
    let again = next.take(&queue, 10, LEASE).await.expect("take").expect("what it has left");
    assert_eq!((texts(&again.messages), again.deliveries), (vec!["2".to_owned()], 2));
}

#[tokio::test]
async fn a_session_does_not_hold_what_it_took_before_its_lease_ended() {
    let fixture = Fixture::start().await;
    let queue = Source::queue("q").expect("a queue");
    let mut session = fixture.session().await;
    session.append_batch("q", ["1", "2"]).await.expect("batch");
    let had = session.take(&queue, 10, SHORT).await.expect("take").expect("messages");
    tokio::time::sleep(SHORT * 2).await;
    let again = session.take(&queue, 10, LEASE).await.expect("take").expect("messages");
    assert_eq!(again.ids(), had.ids());
    assert!(session.acknowledge_some(&had, &had.ids()[..1]).await.expect_err("another delivery's").is_not_held());
    assert!(session.give_back(had).await.expect_err("another delivery's").is_not_held());
    session.acknowledge(&again).await.expect("acknowledge");
}

/// What is not there is locked by nobody.
#[tokio::test]
async fn a_source_that_was_forgotten_is_made_again() {
    let fixture = Fixture::start().await;
    let queue = Source::queue("q").expect("a queue");
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let mut session = fixture.session().await;
        assert!(session.take(&queue, 1, LEASE).await.expect("take").is_none());
        sessions.push(session);
    }
    for round in 0..10 {
        fixture.member.endpoint().execute("delete from store_source").await.expect("forgotten");
        sessions[0].append_batch("q", ["1", "2", "3", "4", "5", "6"]).await.expect("batch");
        let takes = sessions.iter_mut().map(|session| session.take(&queue, 2, LEASE));
        let taken = futures::future::try_join_all(takes).await.expect("takes");
        let mut ids: Vec<_> = taken.iter().flatten().flat_map(store_client::Delivery::ids).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!((ids.len(), count), (6, 6), "round {round}");
        for (session, delivery) in sessions.iter_mut().zip(&taken) {
            if let Some(delivery) = delivery {
                session.acknowledge(delivery).await.expect("acknowledge");
            }
        }
    }
}
