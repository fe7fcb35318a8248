//! Advisory locks: taken on the lead, where they are waited for, then held on every connection of the session.
//!
//! Those of a transaction are entries of its transcript, and go with it. Those of the session are no part of any
//! transaction: they survive a rollback, and are not in the recovery log. Two things keep them right
//! (`docs/adr/0011-session-objects.md`):
//! * **Nobody is told of a lock that a follower lacks.** Whoever becomes lead holds it already. A connection that is
//!   opened later takes what the session holds.
//! * **A lock is what the connection to the lead holds.** If that connection is lost and the lead is not, somebody
//!   else may have it, so the session ends, as it would with one PostgreSQL.
//!
//! Why no cycle of waits spans members: a follower is asked only behind the lead's answer, while the session waits for
//! nothing else, so whoever waits there waits for somebody who has given the lock back on the lead, and whose release
//! is on its way.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use raidb_core::advisory::{AdvisoryLock, HeldLocks, LockKey, LockStep};
use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::sql::analysis::{Advisory, AdvisoryCall, Command, IntegerArgument};
use raidb_core::sql::footprint::Footprint;
use raidb_core::transaction::follower::Step;
use raidb_core::verdict::SqlState;
use tokio::time::Instant;

use super::Session;
use super::foreground::UnitEnd;
use super::lead_change::DRAIN_LIMIT;
use super::links::CommitState;
use super::statement::{Bound, Statement};
use super::transaction::OpenTransaction;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::{Owner, UnitOutcome};
use crate::virtual_database::leaving::PROBE_MAX;
use crate::wire::decode;

/// A session may hold so many different locks of its own; one more fails with 53200.
const LOCKS_MAX: usize = 10_000;
/// Steps that go to a follower as one unit.
const STEPS_MAX: usize = 100;
/// A follower that was hit by a late cancel is asked again so often; then it is disabled.
const FAILURES_MAX: u32 = 5;
/// Time limits of the session act on the lead alone.
const NO_TIME_LIMITS: &str = "BEGIN;SET LOCAL statement_timeout=0;SET LOCAL lock_timeout=0;";
/// Command tags of that.
const NO_TIME_LIMITS_TAGS: usize = 3;

/// Types of a parameter that are integers, or are made integers by the function: unspecified, int8, int2, int4, unknown.
const INTEGER_TYPES: [u32; 5] = [0, 20, 21, 23, 705];

/// What one connection has of the session's locks.
#[derive(Debug, Default)]
pub(crate) struct SlotLocks {
    held: HeldLocks,
    sent: Option<SentSteps>,
    failures: u32,
}

/// Steps that the connection owes an answer to.
#[derive(Debug)]
struct SentSteps {
    steps: Vec<LockStep>,
    /// Command tags before theirs.
    hidden_tags: usize,
    deadline: Instant,
}

/// What the client is told when its session ends because of its locks.
pub(super) fn locks_are_lost() -> SqlError {
    SqlError::new(
        "08006",
        "the session's connection to the lead was lost, and with it its advisory locks",
        "Connect again, and take the locks again.",
    )
}

impl Session {
    /// Whether the call can be carried out: its keys can be told, and there is room for one more lock.
    ///
    /// # Errors
    /// 0A000, 53200.
    pub(super) fn check_advisory(&self, statement: &Statement, advisory: &Advisory) -> Result<(), SqlError> {
        let keyed = advisory.call != AdvisoryCall::UnlockAll;
        if keyed && arguments_of(advisory, statement.bound.as_ref()).is_none() {
            return Err(SqlError::refused(
                "the key of an advisory lock is not an integer that the proxy can read",
                "Give it as an integer, in the text or as a parameter of an integer type.",
            ));
        }
        if matches!(advisory.call, AdvisoryCall::Lock { transaction: false, .. }) && self.locks.len() >= LOCKS_MAX {
            return Err(SqlError::new(
                "53200",
                format!("the session holds {LOCKS_MAX} advisory locks"),
                "Give some back, or take them for a transaction (pg_advisory_xact_lock).",
            ));
        }
        Ok(())
    }

    /// The lead has answered.
    pub(super) async fn after_advisory(
        &mut self,
        statement: &Statement,
        advisory: &Advisory,
        end: &UnitEnd,
        took: Duration,
    ) -> Result<(), Trouble> {
        let alone = |open: &OpenTransaction| !open.explicit && open.transcript.iter().all(|entry| !entry.logged);
        if self.open.as_ref().is_some_and(alone) {
            // A token waits for a transaction that writes.
            self.unbind_token();
        }
        if !took_effect(end) {
            return Ok(());
        }
        let lock = |shared| {
            // NULL: the lead did nothing.
            let key = LockKey::of(&arguments_of(advisory, statement.bound.as_ref())??)?;
            Some(AdvisoryLock { key, shared })
        };
        let step = match advisory.call {
            AdvisoryCall::Lock { transaction: true, shared } => {
                return match lock(shared) {
                    Some(lock) => Ok(self.push_advisory(lock, took)?),
                    None => Ok(()),
                };
            }
            AdvisoryCall::Lock { transaction: false, shared } => lock(shared).map(LockStep::Take),
            AdvisoryCall::Unlock { shared } => lock(shared).map(LockStep::GiveBack),
            AdvisoryCall::UnlockAll => {
                let lead = self.lead();
                self.locks.clear();
                self.slot(lead).locks.held.clear();
                return self.locks_followed().await;
            }
        };
        let Some(step) = step else { return Ok(()) };
        let lead = self.lead();
        self.locks.apply(step);
        self.slot(lead).locks.held.apply(step);
        // Not interrupted by a change of lead: its barrier waits until the new lead, too, has what the old one answered.
        let followed = self.locks_followed().await;
        if let (Err(_), LockStep::Take(lock)) = (&followed, step) {
            // The client is told that it has not got it: whoever took it gives it back.
            self.locks.apply(LockStep::GiveBack(lock));
            self.slot(lead).locks.held.apply(LockStep::GiveBack(lock));
        }
        followed
    }

    /// The lead was lost, and had not answered whether it has taken a lock back. It may have given it to somebody else, who needs
    /// it on the next lead before this session's turn comes: so it is given back everywhere, and not asked for again.
    ///
    /// # Errors
    /// 40001: that was so.
    pub(super) fn unlock_unanswered(&mut self, statement: &Statement) -> Result<(), SqlError> {
        let Command::Advisory(advisory) = &statement.analysis.command else { return Ok(()) };
        let given = match advisory.call {
            AdvisoryCall::Lock { .. } => false,
            AdvisoryCall::Unlock { shared } => {
                let arguments = arguments_of(advisory, statement.bound.as_ref()).flatten();
                let key = arguments.and_then(|arguments| LockKey::of(&arguments));
                let lock = key.map(|key| AdvisoryLock { key, shared }).filter(|lock| self.locks.holds(*lock));
                lock.map(|lock| self.locks.apply(LockStep::GiveBack(lock))).is_some()
            }
            AdvisoryCall::UnlockAll => {
                let some = !self.locks.is_empty();
                self.locks.clear();
                some
            }
        };
        if given {
            return Err(SqlError::retry("the lead was lost while an advisory lock was given back; it is given back"));
        }
        Ok(())
    }

    /// A lock of the transaction: the followers take it as part of the transcript, where it is theirs to wait.
    fn push_advisory(&mut self, lock: AdvisoryLock, took: Duration) -> Result<(), SqlError> {
        let tag = Some(Bytes::from_static(b"SELECT 1"));
        self.push_lock(lock.transaction_sql().into(), tag, &Footprint::Everything, took)?;
        if let Some(open) = self.open.as_mut() {
            let last = open.transcript.len().saturating_sub(1);
            // Whoever redoes the transaction from the log competes with nobody.
            open.transcript.set(last, |entry| entry.logged = false);
        }
        Ok(())
    }

    /// Waits until every enabled follower holds what the session holds.
    ///
    /// # Errors
    /// 40001: the connection to the lead was lost meanwhile, or the lead, and somebody stands in the way on the next one.
    async fn locks_followed(&mut self) -> Result<(), Trouble> {
        self.urgent = true;
        let mut limit = None;
        let followed = poll_fn(|cx| {
            self.poll_background(cx);
            self.poll_locks_followed(&mut limit)
        })
        .await;
        self.urgent = false;
        followed
    }

    fn poll_locks_followed(&mut self, limit: &mut Option<Instant>) -> Poll<Result<(), Trouble>> {
        let lead = self.lead();
        if self.view.down {
            return Poll::Ready(Ok(()));
        }
        if self.open.as_ref().is_some_and(|open| open.epoch != self.view.lead_epoch) {
            // Whoever stands in the way may wait for this session at the barrier.
            let limit = *limit.get_or_insert_with(|| Instant::now() + DRAIN_LIMIT);
            if Instant::now() >= limit {
                let error = SqlError::retry("the lead was lost, and the other members did not follow in time");
                return Poll::Ready(Err(error.into()));
            }
            self.wake_at(limit);
        }
        if self.slot(lead).lead_cut {
            // Whoever has got the lock on the lead may wait for this session on a follower.
            let error = SqlError::retry("its connection to the lead was cut, and with it its locks");
            return Poll::Ready(Err(error.into()));
        }
        let waiting = self.view.members().filter(|m| *m != lead).any(|m| {
            // One that has diverged is judged when the transaction ends.
            self.slots[usize::from(m.0)].locks.held != self.locks && self.follower_step(m) != Step::Diverged
        });
        if waiting { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Whether somebody else may hold the session's locks by now. While a member is judged, nobody knows.
    pub(super) fn locks_lost(&self) -> bool {
        if self.locks.is_empty() || self.view.down {
            return false;
        }
        let lead = self.lead();
        let moved = self.open.as_ref().is_none_or(|open| open.epoch == self.view.lead_epoch);
        let slot = &self.slots[usize::from(lead.0)];
        let known = moved && self.view.is_enabled(lead) && !slot.lost && slot.work.is_none();
        known && (slot.link.is_none() || !slot.locks.held.cover(&self.locks))
    }

    /// A statement has taken or given back locks behind the proxy's back. The lead's connection goes, and with it what it has taken; if
    /// the session holds locks by the proxy's account, it ends ([`Session::locks_lost`]): what was given back may be somebody else's.
    pub(super) fn drop_lead_locks(&mut self) {
        let lead = self.lead();
        self.slot(lead).reset();
    }

    /// Whether a follower needs a connection in order to hold what the session holds.
    pub(super) fn lacks_locks(&self, member: MemberId) -> bool {
        !self.locks.is_empty() && member != self.lead() && self.slots[usize::from(member.0)].link.is_none()
    }

    /// Has a follower's connection take and give back what it must. True if something was sent.
    pub(super) fn step_locks(&mut self, member: MemberId) -> bool {
        let slot = &self.slots[usize::from(member.0)];
        if self.locks == slot.locks.held && slot.locks.sent.is_none() {
            return false;
        }
        if let Some(sent) = &slot.locks.sent {
            let deadline = sent.deadline;
            self.watch_locks(member, deadline);
            return false;
        }
        // Behind all that was sent of a transaction: a lock that overtook it could be waited for by whom it waits for.
        let free = slot.work.is_none() && !slot.lost && matches!(slot.commit, CommitState::None);
        let behind = matches!(self.follower_step(member), Step::Agreed);
        if !self.view.is_enabled(member) || !free || !behind {
            return false;
        }
        if member == self.lead() && (self.open.is_some() || !slot.locks.held.cover(&self.locks)) {
            // Nothing is taken there unasked: what is missing is lost. What is too much, the client was told is given back.
            return false;
        }
        self.send_steps(member)
    }

    fn send_steps(&mut self, member: MemberId) -> bool {
        // Whoever has given a lock back on the lead has, for that, the time in which a lost connection is judged, and this
        // member's own; then comes what this session needs.
        let limit = PROBE_MAX + 2 * self.database.settings.member_timeout;
        let limits = self.settings.time_limits;
        let slot = &mut self.slots[usize::from(member.0)];
        let steps = slot.locks.held.steps_to(&self.locks, STEPS_MAX);
        let Some(link) = slot.link.as_mut().filter(|_| !steps.is_empty()) else { return false };
        // Inside a transaction they are lifted already.
        let lift = limits && !slot.cursor.begun();
        let sql: Vec<String> = steps.iter().map(|step| step.sql()).collect();
        let (before, behind) = if lift { (NO_TIME_LIMITS, ";COMMIT") } else { ("", "") };
        link.simple(&[before.as_bytes(), sql.join(";").as_bytes(), behind.as_bytes()], Owner::Locks);
        let deadline = Instant::now() + limit;
        let hidden_tags = if lift { NO_TIME_LIMITS_TAGS } else { 0 };
        slot.locks.sent = Some(SentSteps { steps, hidden_tags, deadline });
        self.wake_at(deadline);
        true
    }

    fn watch_locks(&mut self, member: MemberId, deadline: Instant) {
        if Instant::now() < deadline {
            self.wake_at(deadline);
        } else if !self.slot(member).lost && self.slot(member).work.is_none() {
            self.report(member, Reason::TimedOut, "no answer to an advisory lock".into());
        }
    }

    /// A follower's connection has answered.
    pub(super) fn locks_answered(&mut self, member: MemberId, outcome: UnitOutcome) {
        let slot = &mut self.slots[usize::from(member.0)];
        let Some(sent) = slot.locks.sent.take() else { return };
        let done = outcome.tags.len().saturating_sub(sent.hidden_tags);
        sent.steps.into_iter().take(done).for_each(|step| slot.locks.held.apply(step));
        let Some((sqlstate, message)) = outcome.error else {
            slot.locks.failures = 0;
            return;
        };
        slot.locks.failures += 1;
        let failures = slot.locks.failures;
        if slot.cursor.begun() {
            // It has broken the transaction there, which does not matter to the lead.
            slot.cursor.replay();
            self.database.counters.replays.add();
        } else if outcome.status != b'I'
            && let Some(link) = slot.link.as_mut()
        {
            link.simple(&[b"ROLLBACK"], Owner::Discarded);
        }
        // A late cancel may hit anything.
        if failures > FAILURES_MAX || !sqlstate.starts_with(b"57014") {
            let state = SqlState::parse(&sqlstate).unwrap_or(SqlState::INTERNAL_ERROR);
            let reason = if sqlstate.starts_with(b"53") {
                Reason::Resource { sqlstate: state }
            } else {
                Reason::ServerError { sqlstate: state }
            };
            let detail =
                format!("an advisory lock that the lead has given: {}: {message}", String::from_utf8_lossy(&sqlstate));
            self.report(member, reason, detail);
        }
    }

    /// DISCARD ALL went to every connection, in the order in which all else goes there.
    pub(super) fn locks_discarded(&mut self) {
        self.locks.clear();
        for slot in &mut self.slots {
            slot.locks.held.clear();
            if let Some(sent) = slot.locks.sent.as_mut() {
                sent.steps.clear();
            }
        }
    }
}

/// Whether the call did what it says: its answer is true, or empty where it returns nothing.
fn took_effect(end: &UnitEnd) -> bool {
    let value = end.captured.first().and_then(|row| row.first()).and_then(Option::as_ref);
    value.is_some_and(|value| !matches!(value[..], [b'f'] | [0]))
}

/// The values of the arguments; `Some(None)`: one is NULL. `None`: they cannot be told.
fn arguments_of(advisory: &Advisory, bound: Option<&Bound>) -> Option<Option<Vec<i64>>> {
    let parameters = bound.map(|bound| decode::bind_parameters(&bound.tail)).unwrap_or_default();
    let mut values = Vec::with_capacity(advisory.arguments.len());
    let mut null = false;
    for argument in &advisory.arguments {
        match argument {
            IntegerArgument::Literal(value) => values.push(*value),
            IntegerArgument::Null => null = true,
            IntegerArgument::Parameter(n) => {
                let index = usize::from(*n).checked_sub(1)?;
                let bound = bound?;
                let declared = bound.prepared.types.get(2 + 4 * index..6 + 4 * index);
                let declared = declared.map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
                if !INTEGER_TYPES.contains(&declared) {
                    return None;
                }
                let parameter = parameters.get(index)?;
                match parameter.value {
                    Some(bytes) => values.push(integer(bytes, parameter.binary)?),
                    None => null = true,
                }
            }
        }
    }
    // Out of range is the lead's to say, but what it takes must be a key.
    (null || LockKey::of(&values).is_some()).then_some((!null).then_some(values))
}

fn integer(bytes: &[u8], binary: bool) -> Option<i64> {
    match (binary, bytes) {
        (false, text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        (true, [a, b]) => Some(i16::from_be_bytes([*a, *b]).into()),
        (true, [a, b, c, d]) => Some(i32::from_be_bytes([*a, *b, *c, *d]).into()),
        (true, bytes) => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::prepared::Prepared;
    use super::*;

    fn call(arguments: Vec<IntegerArgument>) -> Advisory {
        Advisory { call: AdvisoryCall::Unlock { shared: false }, arguments }
    }

    fn bound(types: &'static [u8], tail: &'static [u8]) -> Bound {
        let prepared = Prepared {
            identity: 1,
            name: Bytes::new(),
            text: Bytes::new(),
            types: Bytes::from_static(types),
            by_sql: None,
        };
        Bound { prepared: Arc::new(prepared), tail: Bytes::from_static(tail) }
    }

    #[test]
    fn keys_of_parameters() {
        let one = call(vec![IntegerArgument::Parameter(1)]);
        let text = bound(&[0, 0], &[0, 0, 0, 1, 0, 0, 0, 3, b' ', b'-', b'7', 0, 0]);
        assert_eq!(arguments_of(&one, Some(&text)), Some(Some(vec![-7])));
        let binary = bound(&[0, 1, 0, 0, 0, 23], &[0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 255, 255, 255, 254, 0, 0]);
        assert_eq!(arguments_of(&one, Some(&binary)), Some(Some(vec![-2])));
        let null = bound(&[0, 0], &[0, 0, 0, 1, 255, 255, 255, 255, 0, 0]);
        assert_eq!(arguments_of(&one, Some(&null)), Some(None));
        let oid = bound(&[0, 1, 0, 0, 0, 26], &[0, 0, 0, 1, 0, 0, 0, 1, b'5', 0, 0]);
        assert_eq!(arguments_of(&one, Some(&oid)), None, "an oid is of one member");
        assert_eq!(arguments_of(&one, None), None);
        let far = call(vec![IntegerArgument::Literal(1), IntegerArgument::Literal(1 << 33)]);
        assert_eq!(arguments_of(&far, None), None);
    }
}
