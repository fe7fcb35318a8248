//! Durable subscriptions.

use std::time::{Duration, SystemTime};

use store_client::{Draft, INLINE_MAX, Priority, Session, Subscription, Unit};

use crate::fixture::{Fixture, LEASE, draft, texts};

async fn take(session: &mut Session, subscription: &Subscription) -> Vec<String> {
    let delivery = session.take_subscribed(subscription, 100, LEASE).await.expect("take");
    let Some(delivery) = delivery else { return Vec::new() };
    session.acknowledge(&delivery).await.expect("acknowledge");
    texts(&delivery.messages)
}

fn ranked(text: &str, priority: u8) -> Draft {
    draft(text).priority(Priority::new(priority).expect("a priority"))
}

#[tokio::test]
async fn who_was_away_catches_up_by_priority_and_the_last_one_removes() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    session.publish("prices", "before anybody").await.expect("publish");
    let paper = session.subscribe("prices", "desk", "paper", Some("kind = 'paper'")).await.expect("subscribe");
    session.publish("prices", ranked("1 low", 1)).await.expect("publish");
    let ink = session.subscribe("prices", "desk", "ink", None).await.expect("subscribe");
    let mut unit = Unit::new();
    unit.publish("prices", ranked("2 low", 1)).expect("room");
    unit.publish("prices", ranked("3 high", 8)).expect("room");
    unit.publish("prices", ranked("4 low", 1)).expect("room");
    unit.append("orders", "not a publication").expect("room");
    session.commit(unit).await.expect("commit");

    drop(session);
    let mut later = fixture.session().await;
    assert_eq!(later.subscriptions("prices").await.expect("list"), [ink.clone(), paper.clone()]);
    assert_eq!(later.count_pending(&paper).await.expect("count"), 4);
    assert_eq!(take(&mut later, &paper).await, ["3 high", "1 low", "2 low", "4 low"]);
    // "1 low" was for paper alone.
    assert_eq!(fixture.value("select count(*) from store_message where destination = 't/prices'").await, "3");
    let delivery = later.take_subscribed(&ink, 2, LEASE).await.expect("take").expect("messages");
    assert_eq!(texts(&delivery.messages), ["3 high", "2 low"]);
    later.acknowledge_some(&delivery, &delivery.ids()[1..]).await.expect("one of them");
    assert_eq!(later.count_pending(&ink).await.expect("count"), 2);
    later.give_back(delivery).await.expect("give back");
    assert_eq!(take(&mut later, &ink).await, ["3 high"]);
    assert_eq!(take(&mut later, &ink).await, ["4 low"]);
    assert_eq!(take(&mut later, &ink).await, [""; 0]);
    assert_eq!(fixture.value("select count(*) from store_message where destination = 't/prices'").await, "0");
}

#[tokio::test]
async fn a_selector_is_kept_and_a_subscription_found_again() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let made = session.subscribe("t", "c", "s", Some("colour = 'red'")).await.expect("subscribe");
    assert_eq!(session.subscribe("t", "c", "s", Some("colour = 'red'")).await.expect("again"), made);
    let error = session.subscribe("t", "c", "s", None).await.expect_err("another selector");
    assert!(error.to_string().contains("unsubscribe first"), "{error}");
    session.publish("t", "x").await.expect("publish");
    session.unsubscribe(&made).await.expect("unsubscribe");
    session.unsubscribe(&made).await.expect("unsubscribe again");
    let error = session.take_subscribed(&made, 1, LEASE).await.expect_err("removed");
    assert!(error.is_not_held(), "{error}");
    assert_eq!(fixture.value("select (select count(*) from store_pending) + (select count(*) from store_message where destination <> '')").await, "0");
    let new = session.subscribe("t", "c", "s", None).await.expect("anew");
    assert!(new != made && new.selector.is_none());
    // Somebody died while removing it: nothing is published to it, and who subscribes removes it to the end.
    session.publish("t", "y").await.expect("publish");
    fixture.member.endpoint().execute("update store_subscription set closed = true").await.expect("closed");
    session.publish("t", "z").await.expect("publish");
    assert_eq!(session.count_pending(&new).await.expect("count"), 1);
    assert_eq!(session.subscriptions("t").await.expect("list"), []);
    let newest = session.subscribe("t", "c", "s", None).await.expect("anew");
    assert!(newest != new && session.count_pending(&newest).await.expect("count") == 0);
}

/// The last acknowledgement removes the message, whoever is last; a subscription that goes takes nothing from the others.
#[tokio::test]
async fn subscribers_at_the_same_time_leave_nothing() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let mut subscriptions = Vec::new();
    for name in ["a", "b", "c", "d"] {
        subscriptions.push(session.subscribe("t", "client", name, None).await.expect("subscribe"));
    }
    let store = fixture.store();
    let publisher = tokio::spawn(async move {
        for number in 0..60_u8 {
            session.publish("t", ranked(&number.to_string(), number % 3)).await.expect("publish");
        }
    });
    let gone = subscriptions.pop().expect("four");
    let consumers = subscriptions.into_iter().map(|subscription| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut session = store.session().await.expect("a session");
            let mut count = 0;
            while count < 60 {
                count += take(&mut session, &subscription).await.len();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(count, 60);
        })
    });
    let consumers = futures::future::join_all(consumers);
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.session().await.expect("a session").unsubscribe(&gone).await.expect("unsubscribe");
    publisher.await.expect("the publisher");
    for consumer in consumers.await {
        consumer.expect("a consumer");
    }
    assert_eq!(fixture.value("select (select count(*) from store_pending) + (select count(*) from store_message where destination <> '')").await, "0");
}

#[tokio::test]
async fn what_expired_goes_for_all_subscriptions() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let one = session.subscribe("t", "c", "one", None).await.expect("subscribe");
    let two = session.subscribe("t", "c", "two", None).await.expect("subscribe");
    let past = SystemTime::now() - Duration::from_secs(1);
    session.publish("t", Draft::new(vec![1; INLINE_MAX * 5]).expires(past)).await.expect("publish");
    session.publish("t", "stays").await.expect("publish");
    assert_eq!(take(&mut session, &one).await, ["stays"]);
    assert_eq!(session.remove_expired_from_topic("t").await.expect("expire"), 1);
    assert_eq!(session.count_pending(&one).await.expect("count"), 0);
    assert_eq!(take(&mut session, &two).await, ["stays"]);
    assert_eq!(fixture.value("select (select count(*) from store_chunk) + (select count(*) from store_message where destination <> '')").await, "0");
}
