//! Queues, units of work, bodies.

use std::time::{Duration, SystemTime};

use store_client::{Body, CHUNK, Draft, INLINE_MAX, MessageId, PAGE_MAX, Session, Source, Unit};

use crate::fixture::{Fixture, LEASE, draft, texts};

async fn ids(session: &mut Session, after: Option<MessageId>, limit: u32) -> Vec<MessageId> {
    session.browse("q", after, limit).await.expect("a page").into_iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn messages_come_in_order_until_they_are_removed() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let first = session.append("q", "one").await.expect("append");
    let more = session.append_batch("q", [&b"two"[..], b"\0\xff three"]).await.expect("batch");
    session.append("other", "not ours").await.expect("append");
    assert_eq!(session.append_batch("q", Vec::<Draft>::new()).await.expect("nothing"), []);

    let page = session.browse("q", None, 10).await.expect("page");
    let bodies: Vec<_> = page.iter().map(|message| message.bytes().expect("a short body")).collect();
    assert_eq!(bodies, [&b"one"[..], b"two", b"\0\xff three"]);
    assert_eq!(ids(&mut session, None, 2).await, [first, more[0]]);
    assert_eq!(ids(&mut session, Some(more[0]), 10).await, [more[1]]);

    assert_eq!(session.remove("q", &[first, more[1]]).await.expect("remove"), 2);
    assert_eq!(session.remove("q", &[first]).await.expect("remove again"), 0);
    assert_eq!(ids(&mut session, None, 10).await, [more[0]]);
    assert_eq!((session.count("q").await.expect("count"), session.count("other").await.expect("count")), (1, 1));
    let stats = session.stats().await.expect("stats");
    let told: Vec<_> = stats.iter().map(|row| (row.kind, row.name.as_str(), row.messages, row.bytes)).collect();
    assert_eq!(told, [("queue", "other", 1, 8), ("queue", "q", 1, 3)]);

    session.close().await;
    assert_eq!(fixture.value("select count(*) from store_message where destination = ''").await, "0");
}

#[tokio::test]
async fn sessions_at_the_same_time_share_no_id_and_keep_the_order_of_each() {
    let fixture = Fixture::start().await;
    let producers = (0..4).map(|producer| {
        let store = fixture.store();
        async move {
            let mut session = store.session().await.expect("a session");
            for number in 0..10 {
                let bodies = (0..50).map(|part| draft(&format!("{producer} {:04}", number * 50 + part)));
                session.append_batch("q", bodies).await.expect("batch");
            }
        }
    });
    futures::future::join_all(producers).await;
    let mut session = fixture.session().await;
    assert_eq!(session.count("q").await.expect("count"), 4 * 10 * 50);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = session.browse("q", after, PAGE_MAX).await.expect("page");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        all.extend(texts(&page));
    }
    for producer in ["0 ", "1 ", "2 ", "3 "] {
        let own: Vec<_> = all.iter().filter(|text| text.starts_with(producer)).collect();
        assert!(own.len() == 500 && own.is_sorted(), "{producer}");
    }
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent_and_the_session_goes_on() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    for error in [
        session.append("", "x").await.expect_err("no name"),
        session.append_batch("a\0b", ["x", "y"]).await.expect_err("a zero byte"),
        session.browse("q", None, 0).await.expect_err("no messages"),
        session.append_batch("q", vec![""; 10_001]).await.expect_err("too many"),
    ] {
        assert!(error.to_string().contains("allowed:"), "{error}");
        assert!(!error.is_retryable() && !error.is_unknown_outcome() && error.sqlstate().is_none());
    }
    session.append("q", "x").await.expect("the session goes on");
    assert_eq!(session.count("q").await.expect("count"), 1);
}

#[tokio::test]
async fn a_unit_of_work_happens_whole_or_not_at_all() {
    let fixture = Fixture::start().await;
    let (mut session, mut other) = (fixture.session().await, fixture.session().await);
    session.append_batch("a", ["1", "2"]).await.expect("a");
    session.append("b", "3").await.expect("b");
    let (a, b) = (Source::queue("a").expect("a"), Source::queue("b").expect("b"));
    let from_a = session.take(&a, 10, LEASE).await.expect("take").expect("messages");
    let from_b = session.take(&b, 10, LEASE).await.expect("take").expect("messages");

    let mut unit = Unit::new();
    unit.acknowledge(&from_a).expect("room");
    unit.acknowledge(&from_b).expect("room");
    unit.append("c", draft("1+2+3")).expect("room");
    unit.append("d", Draft::new(vec![7; INLINE_MAX + 1])).expect("room");
    assert_eq!(unit.operations(), 5);
    assert_eq!(session.commit(unit).await.expect("commit").len(), 2);
    let mut counts = Vec::new();
    for queue in ["a", "b", "c", "d"] {
        counts.push(session.count(queue).await.expect("count"));
    }
    assert_eq!(counts, [0, 0, 1, 1]);

    // A delivery that is gone: nothing of the unit happens.
    let mut unit = Unit::new();
    unit.append("c", draft("again")).expect("room");
    unit.acknowledge(&from_a).expect("room");
    let error = other.commit(unit).await.expect_err("it is acknowledged already");
    assert!(error.is_not_held() && !error.is_retryable() && !error.is_unknown_outcome(), "{error}");
    assert_eq!(other.count("c").await.expect("count"), 1);
}

#[tokio::test]
async fn long_bodies_go_in_pieces_with_their_message_and_leave_with_it() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let long: Vec<u8> = (0..5 * CHUNK + 17).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    let sizes = [0, 1, INLINE_MAX, INLINE_MAX + 1, CHUNK, CHUNK + 1, 2 * CHUNK, long.len()];
    for size in sizes {
        session.append_stream("streamed", Draft::new([]), &long[..size]).await.expect("stream");
        session.append("plain", &long[..size]).await.expect("append");
    }
    for queue in ["streamed", "plain"] {
        let page = session.browse(queue, None, 100).await.expect("page");
        assert_eq!(page.len(), sizes.len());
        for (message, size) in page.iter().zip(sizes) {
            assert_eq!((message.size, matches!(message.body, Body::Inline(_))), (size as u64, size <= INLINE_MAX));
            let mut read = Vec::new();
            assert_eq!(session.read_body(message, &mut read).await.expect("body"), size as u64);
            assert!(read == long[..size], "{queue}, {size}");
        }
        let source = Source::queue(queue).expect("a queue");
        let delivery = session.take(&source, 100, LEASE).await.expect("take").expect("messages");
        session.acknowledge(&delivery).await.expect("acknowledge");
        let gone = session.read_body(&page[7], Vec::new()).await.expect_err("removed");
        assert!(gone.is_not_held(), "{gone}");
    }
    assert_eq!(fixture.value("select count(*) from store_chunk").await, "0");
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let broken = failing_behind(CHUNK * 2);
    let error = session.append_stream("q", Draft::new([]), broken).await.expect_err("the source fails");
    assert!(
        error.to_string().contains("no more today") && !error.is_retryable() && !error.is_unknown_outcome(),
        "{error}"
    );
    assert_eq!(
        fixture.value("select (select count(*) from store_chunk) + (select count(*) from store_message)").await,
        "0"
    );
    session.append("q", "x").await.expect("the session goes on");
}

/// So many bytes, then an error.
fn failing_behind(bytes: usize) -> impl tokio::io::AsyncRead + Unpin + Send {
    use tokio::io::AsyncReadExt;
    std::io::Cursor::new(vec![1; bytes]).chain(Failing)
}

struct Failing;

impl tokio::io::AsyncRead for Failing {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("no more today")))
    }
}

#[tokio::test]
async fn expired_messages_are_not_delivered_and_go_when_asked() {
    let fixture = Fixture::start().await;
    let mut session = fixture.session().await;
    let past = SystemTime::now() - Duration::from_secs(1);
    let future = SystemTime::now() + Duration::from_secs(600);
    session.append("q", draft("late").expires(past)).await.expect("append");
    session.append("q", draft("in time").expires(future)).await.expect("append");
    session.append("q", Draft::new(vec![1; INLINE_MAX + 1]).expires(past)).await.expect("append");
    let source = Source::queue("q").expect("a queue");
    let delivery = session.take(&source, 10, LEASE).await.expect("take").expect("a message");
    assert_eq!(texts(&delivery.messages), ["in time"]);
    assert_eq!(session.count("q").await.expect("count"), 3);
    assert_eq!(session.remove_expired("q").await.expect("expire"), 2);
    assert_eq!(session.count("q").await.expect("count"), 1);
    assert_eq!(fixture.value("select count(*) from store_chunk").await, "0");
}
