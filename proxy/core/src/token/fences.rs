//! Tokens that were asked about before anybody had used them: nobody may use them any more.
//!
//! A session that could still use one has lived when the question was asked (its client sent the token on it before it asked),
//! perhaps for days, behind a lock. So a bar may fall only when all those sessions have ended.

use std::collections::HashMap;

use super::Token;
use crate::ids::SessionId;

/// Tokens that are barred at a time. At the limit, and if none is superfluous, a question about another unknown one is not
/// answered.
pub const FENCES_MAX: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Fences {
    /// With the newest session at the time of the question.
    barred: HashMap<Token, SessionId>,
    max: usize,
}

impl Fences {
    pub(super) fn new(max: usize) -> Self {
        Fences { barred: HashMap::new(), max }
    }

    pub(super) fn bars(&self, token: &Token) -> bool {
        self.barred.contains_key(token)
    }

    /// False: there is no room. `oldest` tells the oldest session that lives.
    pub(super) fn bar(&mut self, token: &Token, newest: SessionId, oldest: impl FnOnce() -> Option<SessionId>) -> bool {
        if self.barred.len() >= self.max && !self.bars(token) {
            let oldest = oldest();
            self.barred.retain(|_, newest_then| oldest.is_some_and(|oldest| oldest <= *newest_then));
            if self.barred.len() >= self.max {
                return false;
            }
        }
        let barred = self.barred.entry(token.clone()).or_insert(newest);
        *barred = newest.max(*barred);
        true
    }
}
