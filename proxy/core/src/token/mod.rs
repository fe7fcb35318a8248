//! Outcome by token: what is known of transactions that clients have named, and what may still become of them.
//!
//! ```text
//!            give                decide              positioned            committed
//!  (unknown) ────▶ open ───────────────▶ deciding ──────────────▶ decided ───────────▶ committed
//!      │            │                        │                       │
//!      │ ask        │ ask, aborted, gone     │ aborted               │ aborted
//!      ▼            ▼                        ▼                       ▼
//!   fenced        aborted ◀──────────────────┴───────────────────────┘
//! ```
//!
//! **Never a wrong answer.** Who asks about an open transaction ends it: [`Tokens::ask`] and [`Tokens::decide`] are the only
//! way out of *open*, and whichever comes first bars the other. An intent is appended only behind `decide`. Who asks
//! about a token that is not known bars it: a session that hears of it later, from a connection that its client has given
//! up, may not use it. Forgetting never turns an answer wrong: tokens are forgotten in the order in which they ended, and the
//! moment since which all are kept moves on; what was barred stays so while a session lives that is older than the question.
//!
//! Pure: the caller brings the time, and waits.

mod fences;
mod name;
mod recovery;
#[cfg(test)]
mod token_test;

use std::collections::{HashMap, VecDeque};

use crate::ids::SessionId;
use crate::log::Position;

pub use fences::FENCES_MAX;
use fences::Fences;
pub use name::Token;
pub use recovery::{Recovered, Recovery};

/// Tokens that are remembered. At the limit the one that ended first is forgotten; if none has ended, no further one is taken.
pub const TOKENS_MAX: usize = 100_000;

/// How far a transaction with a token has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has begun; nothing is decided.
    Open(SessionId),
    /// Its intent is on the way to the log, or may be in it.
    Deciding,
    /// Its intent is at this position.
    Decided(Position),
    /// Every enabled member has it.
    Committed,
    /// No member has it, and none will.
    Aborted,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    /// When the token was given.
    given_ms: u64,
    /// Its last change: the log is kept for some time behind it.
    changed_ms: u64,
    /// All that the log says of it, as far as it matters from now on, stands behind this position.
    behind: Position,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It was used before.
    Used,
    /// Somebody has asked about it before it was used.
    Asked,
    /// [`TOKENS_MAX`] transactions with tokens are open.
    Full,
}

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The transaction is committed.
    Committed,
    /// It is aborted. `ended`: by this question; that session is to be told.
    Aborted {
        /// The session whose transaction this question has ended.
        ended: Option<SessionId>,
    },
    /// It is decided, and being carried out: ask again when that has ended.
    Wait,
    /// Nothing is known of such a token, and from now on it cannot be used.
    Unknown {
        /// All tokens given since then are known (milliseconds since 1970-01-01 UTC).
        since_ms: u64,
    },
    /// Nothing is known of it, and so many unknown ones are barred already that it cannot be barred.
    Full,
}

/// See the module.
#[derive(Debug)]
pub struct Tokens {
    entries: HashMap<Token, Entry>,
    /// Those that have ended, in that order.
    ended: VecDeque<Token>,
    fences: Fences,
    since_ms: u64,
    /// The latest time that was told: time does not go back.
    latest_ms: u64,
    tokens_max: usize,
}

impl Tokens {
    /// Nothing is known of tokens given before `since_ms`.
    #[must_use]
    pub fn new(since_ms: u64) -> Self {
        Tokens::with_limits(since_ms, TOKENS_MAX, FENCES_MAX)
    }

    fn with_limits(since_ms: u64, tokens_max: usize, fences_max: usize) -> Self {
        Tokens {
            entries: HashMap::new(),
            ended: VecDeque::new(),
            fences: Fences::new(fences_max),
            since_ms,
            latest_ms: since_ms,
            tokens_max,
        }
    }

    fn tick(&mut self, now_ms: u64) -> u64 {
        self.latest_ms = self.latest_ms.max(now_ms);
        self.latest_ms
    }

    /// A session gives a token to a transaction. `log_end`: the log's last record. Returns the time to be logged with it.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing has changed.
    pub fn give(&mut self, token: &Token, session: SessionId, now_ms: u64, log_end: Position) -> Result<u64, NotTaken> {
        if self.fences.bars(token) {
            return Err(NotTaken::Asked);
        }
        if self.entries.contains_key(token) {
            return Err(NotTaken::Used);
        }
        while self.entries.len() >= self.tokens_max {
            if !self.forget_oldest() {
                return Err(NotTaken::Full);
            }
        }
        let now_ms = self.tick(now_ms);
        let state = State::Open(session);
        self.entries.insert(token.clone(), Entry { state, given_ms: now_ms, changed_ms: now_ms, behind: log_end });
        Ok(now_ms)
    }

    /// The intent is about to be appended: from now on nobody can abort the transaction by asking. False: somebody was told
    /// that it is aborted, so no intent may be appended.
    #[must_use]
    pub fn decide(&mut self, token: &Token, now_ms: u64, log_end: Position) -> bool {
        let now_ms = self.tick(now_ms);
        let Some(entry) = self.entries.get_mut(token) else { return false };
        let open = matches!(entry.state, State::Open(_));
        if open {
            *entry = Entry { state: State::Deciding, changed_ms: now_ms, behind: log_end, ..*entry };
        }
        open
    }

    /// The intent is durable at this position.
    pub fn positioned(&mut self, token: &Token, position: Position) {
        if let Some(entry) = self.entries.get_mut(token).filter(|entry| entry.state == State::Deciding) {
            entry.state = State::Decided(position);
        }
    }

    /// Every enabled member has committed it; or it has ended without having anything to decide.
    pub fn committed(&mut self, token: &Token, now_ms: u64) {
        self.end(token, State::Committed, now_ms);
    }

    /// It is rolled back, and no intent of it can be carried out.
    pub fn aborted(&mut self, token: &Token, now_ms: u64) {
        self.end(token, State::Aborted, now_ms);
    }

    /// Its session has ended: what is not decided is aborted.
    pub fn gone(&mut self, token: &Token, now_ms: u64) {
        if self.entries.get(token).is_some_and(|entry| matches!(entry.state, State::Open(_))) {
            self.end(token, State::Aborted, now_ms);
        }
    }

    fn end(&mut self, token: &Token, outcome: State, now_ms: u64) {
        let now_ms = self.tick(now_ms);
        let Some(entry) = self.entries.get_mut(token) else { return };
        match entry.state {
            // Somebody was told.
            State::Committed | State::Aborted => {}
            State::Open(_) | State::Deciding | State::Decided(_) => {
                entry.state = outcome;
                entry.changed_ms = now_ms;
                self.ended.push_back(token.clone());
            }
        }
    }

    /// Every intent up to `end` is carried out, except those that were aborted.
    pub fn settled(&mut self, end: Position, now_ms: u64, aborted: impl Fn(Position) -> bool) {
        let decided: Vec<(Token, bool)> = self
            .entries
            .iter()
            .filter_map(|(token, entry)| match entry.state {
                State::Decided(position) if position <= end => Some((token.clone(), aborted(position))),
                _ => None,
            })
            .collect();
        for (token, aborted) in decided {
            self.end(&token, if aborted { State::Aborted } else { State::Committed }, now_ms);
        }
    }

    /// Whether the transaction cannot be decided any more, since somebody was told that it is aborted.
    #[must_use]
    pub fn is_aborted(&self, token: &Token) -> bool {
        self.entries.get(token).is_some_and(|entry| entry.state == State::Aborted)
    }

    /// What became of a transaction. `newest`: the newest session of all; `oldest`: tells the oldest that lives.
    pub fn ask(
        &mut self,
        token: &Token,
        now_ms: u64,
        newest: SessionId,
        oldest: impl FnOnce() -> Option<SessionId>,
    ) -> Asked {
        match self.entries.get(token).map(|entry| entry.state) {
            Some(State::Committed) => Asked::Committed,
            Some(State::Aborted) => Asked::Aborted { ended: None },
            Some(State::Deciding | State::Decided(_)) => Asked::Wait,
            Some(State::Open(session)) => {
                self.end(token, State::Aborted, now_ms);
                Asked::Aborted { ended: Some(session) }
            }
            None if self.fences.bar(token, newest, oldest) => Asked::Unknown { since_ms: self.since_ms },
            None => Asked::Full,
        }
    }

    /// How much of the log is needed so that tokens changed within the last `kept_ms` are known behind a restart: where the
    /// log may be cut, at `before` at most, and since when all tokens are in it then.
    pub fn cut(&mut self, before: Position, now_ms: u64, kept_ms: u64) -> (Position, u64) {
        let now_ms = self.tick(now_ms);
        let young_from = now_ms.saturating_sub(kept_ms);
        let young = self.entries.values().filter(|entry| entry.changed_ms >= young_from);
        let needed = young.map(|entry| entry.behind.next()).min();
        (needed.map_or(before, |needed| needed.min(before)), self.since_ms.max(young_from))
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(token) = self.ended.pop_front() else { return false };
        if let Some(entry) = self.entries.remove(&token) {
            self.since_ms = self.since_ms.max(entry.given_ms + 1);
        }
        true
    }
}
