//! Outcome by token, for all sessions: the registry with a clock, waiting, and word to the session that a question has ended.
//!
//! Who may become what is decided in [`raidb_core::token`], under one lock. Keeps true: what the log is cut to is what it
//! promises (see [`VirtualDatabase::promise_tokens`]).

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use raidb_core::ids::SessionId;
use raidb_core::log::{Position, RecordKind, TokenRecord};
use raidb_core::token::{Asked, NotTaken, Recovered, Token};
use tokio::sync::Notify;

use super::VirtualDatabase;
use super::handles::SessionRegistry;
use crate::recovery_log::LogError;

/// See the module.
#[derive(Debug)]
pub struct Tokens {
    known: Mutex<raidb_core::token::Tokens>,
    /// One that was decided has ended.
    ended: Notify,
    sessions: Arc<SessionRegistry>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// Every enabled member has it.
    Committed,
    /// No member has it, and none will.
    Aborted,
    /// Nothing is known of it, and it will never be used; all tokens given since then are known.
    Unknown {
        /// Milliseconds since 1970-01-01 UTC.
        since_ms: u64,
    },
    /// It cannot be told: too many unknown tokens were asked about.
    Full,
}

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Tokens {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(sessions: Arc<SessionRegistry>) -> Self {
        Tokens { known: Mutex::new(raidb_core::token::Tokens::new(now_ms())), ended: Notify::new(), sessions }
    }

    /// What the log said at the start, before anybody is served.
    pub fn recovered(&self, known: raidb_core::token::Tokens) {
        *self.known.lock() = known;
    }

    /// A session gives a token to a transaction; the time to be logged with it. `log_end`: the log's last record.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn give(&self, token: &Token, session: SessionId, log_end: Position) -> Result<u64, NotTaken> {
        self.known.lock().give(token, session, now_ms(), log_end)
    }

    /// Right before the intent is appended. False: it must not be, since somebody was told that the transaction is aborted.
    #[must_use]
    pub fn decide(&self, token: &Token, log_end: Position) -> bool {
        self.known.lock().decide(token, now_ms(), log_end)
    }

    /// The intent is durable.
    pub fn positioned(&self, token: &Token, position: Position) {
        self.known.lock().positioned(token, position);
    }

    /// Every enabled member has it.
    pub fn committed(&self, token: &Token) {
        self.known.lock().committed(token, now_ms());
        self.ended.notify_waiters();
    }

    /// It is rolled back for certain.
    pub fn aborted(&self, token: &Token) {
        self.known.lock().aborted(token, now_ms());
        self.ended.notify_waiters();
    }

    /// Its session has ended.
    pub fn gone(&self, token: &Token) {
        self.known.lock().gone(token, now_ms());
    }

    /// Every intent up to `end` is carried out, except those that were aborted.
    pub fn settled(&self, end: Position, aborted: impl Fn(Position) -> bool) {
        self.known.lock().settled(end, now_ms(), aborted);
        self.ended.notify_waiters();
    }

    /// Whether somebody was told that it is aborted, or it is.
    #[must_use]
    pub fn is_aborted(&self, token: &Token) -> bool {
        self.known.lock().is_aborted(token)
    }

    /// What became of a transaction; waits while it is decided and not carried out. An open one is aborted by this.
    ///
    /// # Cancel safety
    /// May be dropped; what was ended stays so.
    pub async fn outcome(&self, token: &Token) -> TokenOutcome {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let asked = self.known.lock().ask(token, now_ms(), self.sessions.newest(), || self.sessions.oldest());
            match asked {
                Asked::Committed => return TokenOutcome::Committed,
                Asked::Aborted { ended } => {
                    if let Some(handle) = ended.and_then(|session| self.sessions.get(session)) {
                        // It gives up its locks now, instead of when its client, which may be gone, says something.
                        handle.tell_aborted();
                    }
                    return TokenOutcome::Aborted;
                }
                Asked::Unknown { since_ms } => return TokenOutcome::Unknown { since_ms },
                Asked::Full => return TokenOutcome::Full,
                Asked::Wait => ended.await,
            }
        }
    }

    fn cut(&self, before: Position, kept_ms: u64) -> (Position, u64) {
        self.known.lock().cut(before, now_ms(), kept_ms)
    }
}

impl VirtualDatabase {
    /// Called before the log is cut at `before`: where it may be cut for the sake of tokens. From then on the log promises
    /// what will be in it.
    ///
    /// # Errors
    /// [`LogError`]: it must not be cut.
    pub async fn promise_tokens(&self, before: Position) -> Result<Position, LogError> {
        let kept_ms = u64::try_from(self.settings.tokens_kept.as_millis()).unwrap_or(u64::MAX);
        let (first, unix_ms) = self.tokens.cut(before, kept_ms);
        let promise = TokenRecord::KeptSince { unix_ms, first };
        self.journal.note(RecordKind::Token, promise.encode()).await?;
        Ok(first)
    }

    /// What the log of an earlier proxy says of tokens, before anybody is served.
    pub(crate) async fn tokens_recovered(&self, recovered: Recovered) {
        if let Some(promise) = recovered.promise {
            // Without it the next start promises less.
            if let Err(error) = self.journal.note(RecordKind::Token, promise.encode()).await {
                tracing::warn!(virtual_database = self.name, "since when tokens are kept cannot be logged: {error}");
            }
        }
        self.tokens.recovered(recovered.tokens);
    }
}
