//! The store on a real, bare PostgreSQL: what holds here has to hold through the proxy.

use scenarios::cluster::{Member, MemberOptions};
use store_client::{MessageId, Store};
use tempfile::TempDir;

struct Fixture {
    member: Member,
    _home: TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let home = tempfile::Builder::new().permissions(open_to_all()).tempdir().expect("a folder");
        let member = Member::start(home.path(), MemberOptions::new("pg1", "store")).await.expect("a member");
        let fixture = Self { member, _home: home };
        fixture.store().await.create_schema().await.expect("a schema");
        fixture
    }

    fn url(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/store", self.member.port())
    }

    async fn store(&self) -> Store {
        Store::connect(&self.url()).await.expect("a session")
    }
}

/// Members may run as another user than the tests.
fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

async fn ids(store: &Store, after: Option<MessageId>, limit: u32) -> Vec<MessageId> {
    store.page("q", after, limit).await.expect("a page").into_iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn messages_come_back_in_order_until_they_are_removed() {
    let fixture = Fixture::start().await;
    let mut store = fixture.store().await;
    let first = store.append("q", b"one").await.expect("append");
    let more = store.append_batch("q", &[&b"two"[..], b"\0\xff three"]).await.expect("batch");
    store.append("other", b"not ours").await.expect("append");

    let bodies: Vec<_> =
        store.page("q", None, 10).await.expect("page").into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [&b"one"[..], b"two", b"\0\xff three"]);
    assert_eq!(ids(&store, None, 2).await, [first, more[0]]);
    assert_eq!(ids(&store, Some(more[0]), 10).await, [more[1]]);

    assert_eq!(store.remove("q", &[first, more[1]]).await.expect("remove"), 2);
    assert_eq!(store.remove("q", &[first]).await.expect("remove again"), 0);
    assert_eq!(ids(&store, None, 10).await, [more[0]]);
    assert_eq!((store.count("q").await.expect("count"), store.count("other").await.expect("count")), (1, 1));
}

#[tokio::test]
async fn sessions_at_the_same_time_never_share_an_id() {
    let fixture = Fixture::start().await;
    let producers = (0..4).map(|_| async {
        let mut store = fixture.store().await;
        for _ in 0..15 {
            store.append_batch("q", &[b"x"; 100]).await.expect("batch");
        }
    });
    futures::future::join_all(producers).await;
    assert_eq!(fixture.store().await.count("q").await.expect("count"), 4 * 15 * 100);
}

#[tokio::test]
async fn put_again_changes_nothing() {
    let fixture = Fixture::start().await;
    let mut store = fixture.store().await;
    let id = store.reserve().await.expect("an id");
    assert!(store.put("q", id, b"once").await.expect("put"));
    assert!(!store.put("q", id, b"twice").await.expect("put again"));
    assert_eq!(store.page("q", None, 10).await.expect("page")[0].body, b"once");
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_and_the_session_goes_on() {
    let fixture = Fixture::start().await;
    let mut store = fixture.store().await;
    let error = store.append_batch("a\0b", &[b"x", b"y"]).await.expect_err("no zero bytes in text");
    assert_eq!(error.sqlstate(), Some("22021"));
    assert!(!error.is_retryable() && !error.is_unknown_outcome());
    store.append("q", b"x").await.expect("the session goes on");
    assert_eq!(store.count("q").await.expect("count"), 1);
}

#[tokio::test]
async fn a_store_without_schema_says_so() {
    let fixture = Fixture::start().await;
    let url = fixture.url().replace("/store", "/postgres");
    let error = Store::connect(&url).await.expect("a session").append("q", b"x").await.expect_err("no table");
    assert_eq!(error.sqlstate(), Some("42P01"));
    assert!(!error.is_retryable() && !error.is_unknown_outcome());
}

/// 57P01 may come between a commit and its answer, so it does not say that nothing was written.
#[tokio::test]
async fn a_terminated_session_makes_writes_unknown_and_reads_retryable() {
    let fixture = Fixture::start().await;
    let (mut writer, reader) = (fixture.store().await, fixture.store().await);
    writer.append("q", b"before").await.expect("append");
    let terminate = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                     WHERE datname = 'store' AND pid <> pg_backend_pid()";
    fixture.member.endpoint().execute(terminate).await.expect("terminate");

    let write = writer.append("q", b"after").await.expect_err("no session");
    assert!(write.is_unknown_outcome() && !write.is_retryable(), "{write}");
    let read = reader.count("q").await.expect_err("no session");
    assert!(read.is_retryable() && !read.is_unknown_outcome(), "{read}");
}

#[tokio::test]
async fn a_killed_server_makes_writes_unknown_and_reads_retryable() {
    let mut fixture = Fixture::start().await;
    let (mut writer, reader) = (fixture.store().await, fixture.store().await);
    writer.append("q", b"before").await.expect("append");
    fixture.member.kill_9().expect("kill");

    let write = writer.append("q", b"after").await.expect_err("no server");
    assert!(write.is_unknown_outcome() && !write.is_retryable(), "{write}");
    let read = reader.count("q").await.expect_err("no server");
    assert!(read.is_retryable() && !read.is_unknown_outcome(), "{read}");
    let connect = Store::connect(&fixture.url()).await.err().expect("no server");
    assert!(connect.is_retryable() && !connect.is_unknown_outcome(), "{connect}");

    fixture.member.restart().await.expect("restart");
    assert_eq!(fixture.store().await.count("q").await.expect("count"), 1);
}
