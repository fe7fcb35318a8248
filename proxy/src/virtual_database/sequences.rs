//! Sequences on followers are carried along, so that a new lead never hands out a value twice.
//!
//! Members never generate values for followers (DESIGN.md §4, captured form): the lead does. Behind a statement that may
//! have advanced a sequence the session reads the sequence's state on the lead and notes it here. A worker carries it
//! to the followers soon; a change of lead carries it to the next lead before anybody may use that (`carrying`).
//!
//! A sequence has one name here: `"schema"."name"`, always quoted (`raidb_core::sql::quote_qualified`). Two names for one
//! would be two states, and the older one could be carried last.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use raidb_core::ids::MemberId;
use tokio::sync::Notify;

use crate::members::pg::maintenance::{Maintenance, QueryError};

/// Pause between two rounds of the worker: bounds how often an insert-heavy load costs a `setval` on followers.
pub const CARRY_INTERVAL: Duration = Duration::from_millis(50);

/// State of a sequence as `SELECT last_value, is_called` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceState {
    /// `last_value`.
    pub value: i64,
    /// `is_called`.
    pub called: bool,
}

#[derive(Debug)]
struct Known {
    state: SequenceState,
    /// Bit n: member n does not have it yet.
    missing: u32,
    /// DDL, or TRUNCATE … RESTART IDENTITY, may have set it back: what is read next on the lead counts, also if it is lower.
    doubted: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Sequences {
    known: Mutex<HashMap<String, Known>>,
    /// Sequences whose exact state on the lead is not known.
    stale: Mutex<HashSet<String>>,
    changed: Notify,
}

impl Sequences {
    /// The sequence was seen in this state on `lead`, and on nobody else: who leads next lacks it.
    /// `exact`: it was set, not advanced, and may have gone back; otherwise states seen in the wrong order do not turn it back.
    pub fn note(&self, name: &str, state: SequenceState, exact: bool, lead: MemberId) {
        let missing = !(1 << lead.0);
        let mut known = self.known.lock();
        match known.get_mut(name) {
            Some(entry) if !exact && (entry.state.value, entry.state.called) >= (state.value, state.called) => {}
            Some(entry) => *entry = Known { state, missing, doubted: entry.doubted && !exact },
            None => drop(known.insert(name.to_owned(), Known { state, missing, doubted: false })),
        }
        drop(known);
        self.changed.notify_one();
    }

    /// A statement that was committed may have set sequences back, or made them anew under an old name. Until the lead was asked,
    /// the highest states stay known: a sequence that is ahead hands out nothing twice.
    pub fn doubt(&self) {
        let mut known = self.known.lock();
        known.values_mut().for_each(|entry| entry.doubted = true);
        let names: Vec<String> = known.keys().cloned().collect();
        drop(known);
        self.stale.lock().extend(names);
        self.changed.notify_one();
    }

    /// The lead has advanced a sequence, to `at_least` this value if that is known. Its exact state is read soon.
    pub fn advanced(&self, name: &str, at_least: Option<i64>, lead: MemberId) {
        self.stale.lock().insert(name.to_owned());
        match at_least {
            Some(value) => self.note(name, SequenceState { value, called: true }, false, lead),
            None => self.changed.notify_one(),
        }
    }

    /// Reads on the lead what has advanced since the last call.
    pub async fn refresh(&self, lead: MemberId, connection: &mut Maintenance, within: Duration) -> bool {
        let stale: Vec<String> = self.stale.lock().drain().collect();
        for name in stale {
            match connection.query(&[&format!("SELECT last_value, is_called FROM {name}")], within).await {
                Ok(results) => {
                    let row = results.first().and_then(|r| r.first()).map(Vec::as_slice);
                    if let Some([Some(value), Some(called)]) = row
                        && let Ok(value) = value.parse()
                    {
                        let doubted = self.known.lock().get(&name).is_some_and(|known| known.doubted);
                        self.note(&name, SequenceState { value, called: called == "t" }, doubted, lead);
                    }
                }
                // It was dropped: the next one of this name has a state of its own.
                Err(QueryError::Server { sqlstate, .. }) if matches!(&sqlstate, b"42P01" | b"3F000") => {
                    self.known.lock().remove(&name);
                }
                Err(QueryError::Server { .. }) => {}
                Err(_) => {
                    self.stale.lock().insert(name);
                    return false;
                }
            }
        }
        true
    }

    /// Asks the worker for another round.
    pub fn again(&self) {
        self.changed.notify_one();
    }

    /// Whether a member lacks something.
    #[must_use]
    pub fn missing_on(&self, member: MemberId) -> bool {
        self.known.lock().values().any(|k| k.missing & (1 << member.0) != 0)
    }

    /// A member has come back: it may lack every state that is known.
    pub fn missing_again(&self, member: MemberId) {
        for known in self.known.lock().values_mut() {
            known.missing |= 1 << member.0;
        }
    }

    /// Waits until something changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Carries what is missing to a member. One caller at a time for a member.
    pub async fn carry(&self, member: MemberId, connection: &mut Maintenance, within: Duration) -> bool {
        let todo: Vec<(String, SequenceState)> = {
            let known = self.known.lock();
            let missing = known.iter().filter(|(_, k)| k.missing & (1 << member.0) != 0);
            missing.map(|(name, k)| (name.clone(), k.state)).collect()
        };
        for (name, state) in todo {
            let sql =
                format!("SELECT pg_catalog.setval('{}', {}, {})", name.replace('\'', "''"), state.value, state.called);
            match connection.query(&[&sql], within).await {
                Ok(_) => self.has(member, &name, state),
                // Dropped meanwhile: nothing to carry.
                Err(QueryError::Server { sqlstate, message }) => {
                    tracing::debug!(name, message, sqlstate = %String::from_utf8_lossy(&sqlstate), "sequence not carried");
                    self.has(member, &name, state);
                }
                Err(e) => {
                    tracing::debug!(name, "sequence not carried: {e}");
                    return false;
                }
            }
        }
        true
    }

    fn has(&self, member: MemberId, name: &str, state: SequenceState) {
        if let Some(known) = self.known.lock().get_mut(name)
            && known.state == state
        {
            known.missing &= !(1 << member.0);
        }
    }
}
