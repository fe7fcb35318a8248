//! A bare server with the store's tables, for one test.

use std::time::Duration;

use scenarios::cluster::{Certificates, Member, MemberOptions};
use store_client::{Draft, Message, Options, Session, Store};
use tempfile::TempDir;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) struct Fixture {
    pub(crate) member: Member,
    pub(crate) certificates: Option<Certificates>,
    _home: TempDir,
}

impl Fixture {
    /// A server without tables.
    pub(crate) async fn bare() -> Self {
        Self::of(false).await
    }

    /// One that offers TLS.
    pub(crate) async fn encrypted() -> Self {
        Self::of(true).await
    }

    async fn of(encrypted: bool) -> Self {
        let home = tempfile::Builder::new().permissions(open_to_all()).tempdir().expect("a folder");
        let certificates = encrypted.then(|| Certificates::make(home.path()).expect("certificates"));
        // What commits cost is not asked here, and crashes of the machine neither.
        let mut options = MemberOptions::new("pg1", "bench");
        options.settings.push("synchronous_commit=on".to_owned());
        options.tls.clone_from(&certificates);
        let member = Member::start(home.path(), options).await.expect("a member");
        Self { member, certificates, _home: home }
    }

    pub(crate) async fn start() -> Self {
        let fixture = Self::bare().await;
        fixture.store().migrate().await.expect("tables");
        fixture
    }

    pub(crate) fn store(&self) -> Store {
        store_at(self.member.port())
    }

    pub(crate) async fn session(&self) -> Session {
        self.store().session().await.expect("a session")
    }

    /// One value by SQL.
    pub(crate) async fn value(&self, sql: &str) -> String {
        self.member.endpoint().value(sql).await.expect("a value")
    }
}

pub(crate) fn store_at(port: u16) -> Store {
    Store::with_options(&url(port), quick()).expect("a URL")
}

pub(crate) fn url(port: u16) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/bench")
}

/// Limits for tests.
pub(crate) fn quick() -> Options {
    Options { retry_limit: Duration::from_secs(15), pause_max: Duration::from_millis(100), ..Options::default() }
}

/// Members may run as another user than the tests.
fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes().expect("a short body")).into_owned()
}

pub(crate) fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(text).collect()
}

pub(crate) fn draft(text: &str) -> Draft {
    Draft::new(text.as_bytes())
}
