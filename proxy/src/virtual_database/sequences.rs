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

/// A sequence that is locked on the lead is waited for so long.
const LOCKED_LIMIT: &str = "SET lock_timeout = '20ms'";

/// What came of reading sequences on the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// All that had advanced are known.
    Whole,
    /// Some are locked: ask again.
    InPart,
    /// The connection does not answer: ask again, on another one.
    Broken,
}

/// State of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceState {
    /// `last_value`.
    pub value: i64,
    /// `is_called`.
    pub called: bool,
    /// Its increment is positive.
    pub upward: bool,
}

impl SequenceState {
    /// A query of the state of `name`; [`SequenceState::of`] reads its row.
    #[must_use]
    pub fn query(name: &str) -> String {
        format!(
            "SELECT last_value, is_called, (SELECT seqincrement > 0 FROM pg_catalog.pg_sequence \
             WHERE seqrelid = '{}'::pg_catalog.regclass) FROM {name}",
            name.replace('\'', "''")
        )
    }

    /// Its row.
    #[must_use]
    pub fn of(row: &[Option<String>]) -> Option<Self> {
        let [Some(value), Some(called), Some(upward)] = row else { return None };
        Some(SequenceState { value: value.parse().ok()?, called: called == "t", upward: upward == "t" })
    }

    /// Whether `other` was seen before this one, if nobody has set the sequence.
    fn is_behind(self, other: SequenceState) -> bool {
        let (a, b) = ((self.value, self.called), (other.value, other.called));
        if other.upward { a < b } else { (b.0, !b.1) < (a.0, !a.1) }
    }
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
            Some(entry) if !exact && !entry.state.is_behind(state) => {}
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
            Some(value) => {
                let upward = self.known.lock().get(name).is_none_or(|known| known.state.upward);
                self.note(name, SequenceState { value, called: true, upward }, false, lead);
            }
            None => self.changed.notify_one(),
        }
    }

    /// Reads on the lead what has advanced since the last call. One that somebody has locked (ALTER SEQUENCE in a transaction that
    /// stays open) is left for the next call, and holds up no other one.
    pub async fn refresh(&self, lead: MemberId, connection: &mut Maintenance, within: Duration) -> Refreshed {
        let mut stale: Vec<String> = self.stale.lock().drain().collect();
        let mut locked = Vec::new();
        while let Some(name) = stale.pop() {
            match connection.query(&[LOCKED_LIMIT, &SequenceState::query(&name)], within).await {
                Ok(results) => {
                    if let Some(state) = results.iter().flatten().next().and_then(|row| SequenceState::of(row)) {
                        let doubted = self.known.lock().get(&name).is_some_and(|known| known.doubted);
                        self.note(&name, state, doubted, lead);
                    }
                }
                // It was dropped: the next one of this name has a state of its own.
                Err(QueryError::Server { sqlstate, .. }) if matches!(&sqlstate, b"42P01" | b"3F000") => {
                    self.known.lock().remove(&name);
                }
                Err(QueryError::Server { sqlstate, .. }) if &sqlstate == b"55P03" => locked.push(name),
                Err(QueryError::Server { .. }) => {}
                // None of those that are left was asked for either.
                Err(_) => {
                    self.stale.lock().extend(stale.drain(..).chain(locked).chain([name]));
                    return Refreshed::Broken;
                }
            }
        }
        if locked.is_empty() {
            return Refreshed::Whole;
        }
        self.stale.lock().extend(locked);
        Refreshed::InPart
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
                // Dropped meanwhile: nothing to carry. Or it cannot be set, now or later.
                Err(QueryError::Server { sqlstate, message }) if !is_passing(sqlstate) => {
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

/// Errors of a member that has no room, or goes: it may be able to later.
fn is_passing(sqlstate: [u8; 5]) -> bool {
    [&b"53"[..], b"57", b"58", b"40", b"55"].iter().any(|class| sqlstate.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: MemberId = MemberId(0);
    const FOLLOWER: MemberId = MemberId(1);

    fn state(value: i64, upward: bool) -> SequenceState {
        SequenceState { value, called: true, upward }
    }

    fn known(sequences: &Sequences) -> i64 {
        sequences.known.lock()["s"].state.value
    }

    #[test]
    fn states_seen_in_the_wrong_order_turn_nothing_back() {
        for (upward, order) in [(true, [1, 3, 2]), (false, [-1, -3, -2])] {
            let sequences = Sequences::default();
            order.iter().for_each(|value| sequences.note("s", state(*value, upward), false, LEAD));
            assert_eq!(known(&sequences), order[1]);
            assert!(sequences.missing_on(FOLLOWER) && !sequences.missing_on(LEAD));
        }
    }

    #[test]
    fn a_sequence_that_was_set_goes_back() {
        let sequences = Sequences::default();
        sequences.note("s", state(9, true), false, LEAD);
        sequences.note("s", state(2, true), true, LEAD);
        assert_eq!(known(&sequences), 2);
    }

    /// A statement that may have set it back: the highest stays until the lead was asked.
    #[test]
    fn doubt_lasts_until_the_state_is_read() {
        let sequences = Sequences::default();
        sequences.note("s", state(9, true), false, LEAD);
        sequences.doubt();
        sequences.advanced("s", Some(1), LEAD);
        assert_eq!(known(&sequences), 9);
        assert!(sequences.known.lock()["s"].doubted && sequences.stale.lock().contains("s"));
    }
}
