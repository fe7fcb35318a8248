//! Exactly once, whatever happens to connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store_client::{Options, PAGE_MAX, Session, Source, Store};
use tokio::task::JoinHandle;

use crate::fixture::{Fixture, LEASE, draft, quick, text, url};
use crate::relay::Relay;

/// What one producer was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: Vec<String>,
    pub(crate) unknown: Vec<String>,
}

/// Appends one by one and in batches until `stop`, or so many messages.
pub(crate) async fn produce(store: Store, name: String, stop: Arc<AtomicBool>, count: usize) -> Told {
    let mut session = store.session().await.expect("a session");
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) && told.acknowledged.len() < count {
        let next = told.acknowledged.len() + told.unknown.len();
        let size = if next.is_multiple_of(3) { 5 } else { 1 };
        let bodies: Vec<String> = (next..next + size).map(|number| format!("{name} {number:05}")).collect();
        let done = if size == 1 {
            session.append("q", draft(&bodies[0])).await.map(drop)
        } else {
            session.append_batch("q", bodies.iter().map(|body| draft(body))).await.map(drop)
        };
        match done {
            Ok(()) => told.acknowledged.extend(bodies),
            Err(error) if error.is_unknown_outcome() => told.unknown.extend(bodies),
            Err(error) => panic!("{error}"),
        }
    }
    told
}

pub(crate) fn producers(store: &Store, stop: &Arc<AtomicBool>, clients: usize, count: usize) -> Vec<JoinHandle<Told>> {
    let produce = |client| tokio::spawn(produce(store.clone(), format!("p{client}"), Arc::clone(stop), count));
    (0..clients).map(produce).collect()
}

/// Every acknowledged message is in the queue once, and nothing twice. Returns how many were acknowledged.
pub(crate) async fn check(session: &mut Session, producers: Vec<JoinHandle<Told>>) -> usize {
    let mut told = Told::default();
    for producer in producers {
        let one = producer.await.expect("a producer");
        told.acknowledged.extend(one.acknowledged);
        told.unknown.extend(one.unknown);
    }
    let (mut found, mut after) = (BTreeMap::<String, u32>::new(), None);
    loop {
        let page = session.browse("q", after, PAGE_MAX).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        page.iter().for_each(|message| *found.entry(text(message)).or_default() += 1);
    }
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "there twice: {twice:?}");
    let lost: Vec<_> = told.acknowledged.iter().filter(|body| !found.contains_key(*body)).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    let strange = found.len() - told.acknowledged.len();
    assert!(strange <= told.unknown.len(), "{strange} that nobody was told of, {} unknown", told.unknown.len());
    told.acknowledged.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_whose_connections_are_terminated_append_each_message_once() {
    let fixture = Fixture::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let producers = producers(&fixture.store(), &stop, 4, usize::MAX);
    let killer = fixture.member.endpoint().connect().await.expect("a connection");
    let mut killed = 0;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'message-store' \
                   order by random() limit 1";
        killed += killer.query(sql, &[]).await.expect("terminate").len();
    }
    stop.store(true, Ordering::Relaxed);
    let count = check(&mut fixture.session().await, producers).await;
    eprintln!("{count} messages, {killed} connections terminated");
    assert!(killed > 20 && count > 50, "{count} messages, {killed} connections terminated");
}

/// Answers are lost behind what was done, most of all those of COMMIT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_whose_answers_are_lost_append_each_message_once() {
    let fixture = Fixture::start().await;
    let relay = Relay::start(fixture.member.port()).await;
    let store = Store::with_options(&url(relay.port), quick()).expect("a URL");
    let stop = Arc::new(AtomicBool::new(false));
    relay.cut_after(1000);
    let producers = producers(&store, &stop, 4, 120);
    let count = check(&mut fixture.session().await, producers).await;
    eprintln!("{count} messages, {} connections cut", relay.cut());
    assert!(relay.cut() > 8 && count >= 4 * 120, "{count} messages, {} connections cut", relay.cut());
}

/// The bytes of a connection that was given up arrive when the message has been sent again, delivered and removed.
#[tokio::test]
async fn bytes_that_arrive_late_do_nothing() {
    let fixture = Fixture::start().await;
    let relay = Relay::start(fixture.member.port()).await;
    let url = format!("postgresql://postgres@127.0.0.1:{0},127.0.0.1:{1}/bench", relay.port, fixture.member.port());
    let options =
        Options { answer_limit: Duration::from_millis(300), connect_timeout: Duration::from_millis(100), ..quick() };
    let mut session = Store::with_options(&url, options).expect("a URL").session().await.expect("a session");
    session.append("q", "before").await.expect("append");
    // Prepared statements and ids are there: what is held back is the INSERT itself.
    relay.hold(Duration::from_millis(1500));
    session.append("q", "late").await.expect("append, over the second host");
    relay.hold(Duration::ZERO);
    let queue = Source::queue("q").expect("a queue");
    let delivery = session.take(&queue, 10, LEASE).await.expect("take").expect("messages");
    assert_eq!(delivery.messages.len(), 2);
    session.acknowledge(&delivery).await.expect("acknowledge");
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_eq!(session.count("q").await.expect("count"), 0);
    let log = std::fs::read_to_string(fixture.member.log()).expect("the server's log");
    assert!(
        log.contains("duplicate key value violates unique constraint \"store_message_pkey\""),
        "the late bytes did not arrive"
    );
}

#[tokio::test]
async fn consumers_whose_answers_are_lost_take_and_acknowledge_once() {
    let fixture = Fixture::start().await;
    let relay = Relay::start(fixture.member.port()).await;
    let store = Store::with_options(&url(relay.port), quick()).expect("a URL");
    fixture.session().await.append_batch("q", (0..300).map(|n| draft(&format!("{n:03}")))).await.expect("batch");
    let (mut session, queue) = (store.session().await.expect("a session"), Source::queue("q").expect("a queue"));
    relay.cut_after(3000);
    let mut seen = Vec::new();
    while let Some(delivery) = session.take(&queue, 5, LEASE).await.expect("take") {
        assert_eq!(delivery.deliveries, 1, "an answer that was lost is no delivery");
        session.acknowledge(&delivery).await.expect("acknowledge");
        seen.extend(delivery.messages.iter().map(text));
    }
    let all: Vec<_> = (0..300).map(|n| format!("{n:03}")).collect();
    assert_eq!(seen, all);
    assert!(relay.cut() > 10, "{} connections cut", relay.cut());
}

#[tokio::test]
async fn what_cannot_be_known_is_called_unknown_and_what_was_not_sent_retryable() {
    let mut fixture = Fixture::start().await;
    let options = Options { retry_limit: Duration::from_millis(300), ..quick() };
    let store = Store::with_options(&url(fixture.member.port()), options).expect("a URL");
    let (mut writer, mut reader) =
        (store.session().await.expect("a session"), store.session().await.expect("a session"));
    writer.append("q", "before").await.expect("append");
    fixture.member.kill_9().expect("kill");
    let write = writer.append("q", "after").await.expect_err("no server");
    let read = reader.count("q").await.expect_err("no server");
    assert!(read.is_retryable() && !read.is_unknown_outcome(), "{read}");
    // The driver may know already that the connection is gone; then nothing was sent.
    assert!(write.is_unknown_outcome() != write.is_retryable(), "{write}");
    fixture.member.restart().await.expect("restart");
    assert!(writer.count("q").await.expect("count") <= 1, "the kill came before the append");
    writer.append("q", "the session goes on").await.expect("append");
}

#[tokio::test]
async fn a_refused_login_is_an_answer_and_young_receipts_are_not_swept() {
    let fixture = Fixture::start().await;
    let began = std::time::Instant::now();
    let nowhere = url(fixture.member.port()).replace("/bench", "/nowhere");
    let error = Store::with_options(&nowhere, quick()).expect("a URL").session().await.err().expect("no such database");
    assert!(error.sqlstate() == Some("3D000") && !error.is_retryable(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10), "it was tried again");
    let mut session = fixture.session().await;
    session.append("q", "1").await.expect("append");
    let error = session.sweep(std::time::SystemTime::now()).await.expect_err("too young");
    assert!(error.to_string().contains("allowed: older ones"), "{error}");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(24 * 3600);
    assert_eq!(session.sweep(long_ago).await.expect("sweep"), 0);
}
