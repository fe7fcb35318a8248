//! From the log of an earlier proxy to what is known of its clients' tokens.

use super::{Entry, State, Token, Tokens};
use crate::log::{CorruptKind, Intent, Position, Record, RecordKind, TokenRecord};

/// Fed with every record of the log, in order. What it knows grows with the log only up to [`super::TOKENS_MAX`].
#[derive(Debug)]
pub struct Recovery {
    tokens: Tokens,
    now_ms: u64,
    first: Option<Position>,
    /// The last promise of the log: since when, if it begins there or before.
    promise: Option<(u64, Position)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Recovered {
    /// What is known.
    pub tokens: Tokens,
    /// The log holds no promise that is true: this one is to be appended.
    pub promise: Option<TokenRecord>,
}

impl Recovery {
    /// A recovery at this time.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Recovery { tokens: Tokens::new(0), now_ms, first: None, promise: None }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`CorruptKind`].
    pub fn record(&mut self, record: &Record) -> Result<(), CorruptKind> {
        self.first.get_or_insert(record.position);
        match record.kind {
            RecordKind::Intent => {
                if let Some(token) = Intent::decode_token(&record.payload)?.and_then(|bytes| Token::new(&bytes)) {
                    self.seen(token, None, Some(record.position), record.position);
                }
            }
            RecordKind::Token => match TokenRecord::decode(&record.payload)? {
                TokenRecord::Given { unix_ms, token } => {
                    if let Some(token) = Token::new(&token) {
                        self.seen(token, Some(unix_ms), None, record.position);
                    }
                }
                TokenRecord::KeptSince { unix_ms, first } => {
                    self.now_ms = self.now_ms.max(unix_ms);
                    self.promise = Some((unix_ms, first));
                }
            },
            RecordKind::Outcome
            | RecordKind::MemberChange
            | RecordKind::Checkpoint
            | RecordKind::SequenceHighWater
            | RecordKind::CopyRows
            | RecordKind::NamedCheckpoint => {}
        }
        Ok(())
    }

    /// The record of a token and its intent may come in either order.
    fn seen(&mut self, token: Token, given_ms: Option<u64>, intent: Option<Position>, position: Position) {
        self.now_ms = self.now_ms.max(given_ms.unwrap_or_default());
        if let Some(entry) = self.tokens.entries.get_mut(&token) {
            entry.given_ms = given_ms.unwrap_or(entry.given_ms);
            if let Some(intent) = intent {
                entry.state = State::Decided(intent);
            }
            return;
        }
        if self.tokens.entries.len() >= self.tokens.tokens_max {
            self.tokens.forget_oldest();
        }
        // An intent whose token's own record is lost: no later than now.
        let given_ms = given_ms.unwrap_or(self.now_ms);
        // Without an intent it was never decided, and its session is gone.
        let state = intent.map_or(State::Aborted, State::Decided);
        let behind = Position(position.0.saturating_sub(1));
        self.tokens.entries.insert(token.clone(), Entry { state, given_ms, changed_ms: 0, behind });
        self.tokens.ended.push_back(token);
    }

    /// All was read, up to `end`. Every intent will be carried out before anybody can ask, but those that were aborted.
    #[must_use]
    pub fn finish(mut self, end: Position, aborted: impl Fn(Position) -> bool) -> Recovered {
        let first = self.first.unwrap_or(end.next());
        // Somebody else has cut the log, or nobody has ever promised anything.
        let promise = self.promise.filter(|(_, promised)| first <= *promised);
        let since_ms = promise.map_or(self.now_ms, |(since_ms, _)| since_ms);
        self.tokens.since_ms = self.tokens.since_ms.max(since_ms);
        self.tokens.latest_ms = self.now_ms;
        for entry in self.tokens.entries.values_mut() {
            if let State::Decided(position) = entry.state {
                entry.state = if aborted(position) { State::Aborted } else { State::Committed };
            }
            // How old it is is not known: it is kept as long as a new one.
            entry.changed_ms = self.now_ms;
        }
        let since_ms = self.tokens.since_ms;
        let promise = promise.is_none().then_some(TokenRecord::KeptSince { unix_ms: since_ms, first });
        Recovered { tokens: self.tokens, promise }
    }
}
