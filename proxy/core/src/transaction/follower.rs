//! One follower's way through one transaction: what to send next, what an answer means, how to undo and replay.
//!
//! ```text
//! Outside ──entry──▶ Following ──mismatch──▶ Draining ──▶ RollingBack ──▶ Settling ──▶ Outside (replays all)
//!    ▲                  │  │                    ▲                │  └──too often──▶ Diverged
//!    │                  │  └──undo──────────────┘                └──undo done──▶ Following / Outside
//!    └──COMMIT answered─┴──▶ Committing
//! ```
//! The machine performs no I/O: [`FollowerCursor::step`] says what to do, the caller does it and says so.

use crate::transcript::Undo;

/// Replays of one transaction on one follower before its answer counts as a divergence.
pub const REPLAYS_MAX: u32 = 12;
/// A ROLLBACK that fails (a late cancel may hit it) is sent again this often.
pub const ROLLBACKS_MAX: u32 = 5;

/// What is done behind a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
enum After {
    /// Wait for the commits in flight, then send the transcript from its beginning.
    Replay,
    /// Go on behind these entries.
    Undo(Undo),
}

/// Where the follower is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No transaction is open on the follower.
    Outside,
    /// The unit that opens the transaction was sent. Nothing goes behind it before it is answered: if it is cancelled before
    /// its BEGIN has run, what follows would run, and commit, outside any transaction.
    Opening,
    /// A transaction is open.
    Following,
    /// Something must be rolled back; answers to what was sent before are awaited.
    Draining(After),
    /// The rollback was sent.
    RollingBack(After),
    /// Rolled back; the commits in flight on this member are awaited.
    Settling,
    /// Replays did not help.
    Diverged,
    /// COMMIT was sent.
    Committing,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send entry `index` if its barrier is clear, with BEGIN before it if `begin`; then call [`FollowerCursor::sent`].
    Send {
        /// Which entry.
        index: usize,
        /// A transaction must be opened first.
        begin: bool,
    },
    /// Answers are awaited. `doomed`: what runs is of no use and may be cancelled.
    Await {
        /// See above.
        doomed: bool,
    },
    /// Send ROLLBACK (TO SAVEPOINT …), then call [`FollowerCursor::rollback_sent`].
    Rollback {
        /// `None`: the whole transaction.
        savepoint: Option<String>,
    },
    /// Wait for the commits in flight on the member, then call [`FollowerCursor::settled`].
    Settle {
        /// How many replays there were, for a pause that grows.
        attempt: u32,
    },
    /// All entries were answered alike.
    Agreed,
    /// The answer differs and replays did not help.
    Diverged,
}

/// What a unit's answer means for the machine. A unit carries any number of entries, or a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// So many of its entries, from the first, were answered as the lead did.
    pub agreed: usize,
    /// The next one was not, or the unit failed.
    pub failed: bool,
}

impl Answer {
    /// A unit of `entries` that all agree (0: a rollback that worked).
    #[must_use]
    pub fn agrees(entries: usize) -> Self {
        Answer { agreed: entries, failed: false }
    }

    /// A unit of which the entry behind the first `agreed` differs.
    #[must_use]
    pub fn differs(agreed: usize) -> Self {
        Answer { agreed, failed: true }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct FollowerCursor {
    phase: Phase,
    sent: usize,
    done: usize,
    outstanding: usize,
    replays: u32,
    rollbacks: u32,
}

impl Default for FollowerCursor {
    fn default() -> Self {
        FollowerCursor { phase: Phase::Outside, sent: 0, done: 0, outstanding: 0, replays: 0, rollbacks: 0 }
    }
}

impl FollowerCursor {
    /// What to do, given the transcript's length.
    #[must_use]
    pub fn step(&self, length: usize) -> Step {
        match &self.phase {
            Phase::Outside | Phase::Following if self.sent < length => {
                Step::Send { index: self.sent, begin: self.phase == Phase::Outside }
            }
            Phase::Outside | Phase::Following if self.done == length => Step::Agreed,
            Phase::Outside | Phase::Opening | Phase::Following | Phase::Committing => Step::Await { doomed: false },
            Phase::Draining(_) if self.outstanding > 0 => Step::Await { doomed: true },
            Phase::Draining(After::Replay) => Step::Rollback { savepoint: None },
            Phase::Draining(After::Undo(undo)) => Step::Rollback { savepoint: undo.savepoint.clone() },
            Phase::RollingBack(_) => Step::Await { doomed: false },
            Phase::Settling => Step::Settle { attempt: self.replays },
            Phase::Diverged => Step::Diverged,
        }
    }

    /// Whether a transaction is open (or being ended) on the follower.
    #[must_use]
    pub fn begun(&self) -> bool {
        self.phase != Phase::Outside
    }

    /// Whether nothing of a transaction is left and no answer is owed.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.phase == Phase::Outside && self.outstanding == 0
    }

    /// Index of the entry whose answer comes next, while following.
    #[must_use]
    pub fn answering(&self) -> usize {
        self.done
    }

    /// Replays in this transaction so far.
    #[must_use]
    pub fn replays(&self) -> u32 {
        self.replays
    }

    /// So many entries, from the one that [`Step::Send`] named, left as one unit.
    pub fn sent(&mut self, entries: usize) {
        if self.phase == Phase::Outside {
            self.phase = Phase::Opening;
        }
        self.sent += entries;
        self.outstanding += 1;
    }

    /// The rollback that [`Step::Rollback`] asked for left.
    pub fn rollback_sent(&mut self) {
        if let Phase::Draining(after) = std::mem::replace(&mut self.phase, Phase::Outside) {
            self.phase = Phase::RollingBack(after);
        }
        self.outstanding += 1;
    }

    /// COMMIT left.
    pub fn commit_sent(&mut self) {
        self.phase = Phase::Committing;
        self.outstanding += 1;
    }

    /// COMMIT was answered: ready for the next transaction.
    pub fn committed(&mut self) {
        *self = FollowerCursor::default();
    }

    /// A unit was answered (COMMIT's outcome is looked at by the caller).
    pub fn answered(&mut self, answer: Answer) {
        self.outstanding = self.outstanding.saturating_sub(1);
        match &self.phase {
            Phase::Opening | Phase::Following => {
                self.done += answer.agreed;
                if answer.failed {
                    self.replay();
                } else {
                    self.phase = Phase::Following;
                }
            }
            Phase::RollingBack(_) if !answer.failed => self.rolled_back(),
            Phase::RollingBack(after) => {
                self.rollbacks += 1;
                self.phase =
                    if self.rollbacks > ROLLBACKS_MAX { Phase::Diverged } else { Phase::Draining(after.clone()) };
            }
            // What stays in the transcript must still agree, though something behind it is being undone.
            Phase::Draining(After::Undo(undo)) if self.done < undo.length => {
                self.done += answer.agreed;
                if answer.failed && self.done < undo.length {
                    self.replay();
                }
            }
            // Answers to what is undone: of no interest.
            Phase::Draining(_) | Phase::Outside | Phase::Settling | Phase::Diverged | Phase::Committing => {}
        }
    }

    fn rolled_back(&mut self) {
        self.rollbacks = 0;
        match std::mem::replace(&mut self.phase, Phase::Outside) {
            Phase::RollingBack(After::Replay) => {
                (self.sent, self.done) = (0, 0);
                self.phase = if self.replays > REPLAYS_MAX { Phase::Diverged } else { Phase::Settling };
            }
            Phase::RollingBack(After::Undo(undo)) => {
                (self.sent, self.done) = (undo.length, undo.length);
                if undo.savepoint.is_some() {
                    self.phase = Phase::Following;
                } else {
                    self.replays = 0;
                }
            }
            other => self.phase = other,
        }
    }

    /// The transcript must be sent again from its beginning (a mismatch, or a new connection to the member).
    pub fn replay(&mut self) {
        self.replays += 1;
        self.phase = Phase::Draining(After::Replay);
    }

    /// The connection was replaced: nothing of the transaction is left on the member.
    pub fn reconnected(&mut self) {
        self.replays += 1;
        (self.sent, self.done, self.outstanding) = (0, 0, 0);
        self.phase = Phase::Settling;
    }

    /// The commits in flight are finished here.
    pub fn settled(&mut self) {
        (self.sent, self.done) = (0, 0);
        self.phase = Phase::Outside;
    }

    /// The lead undid entries. What was not sent is simply dropped; what was sent is rolled back, now (rule 3).
    pub fn undo(&mut self, undo: &Undo) {
        let whole = undo.savepoint.is_none();
        match &self.phase {
            Phase::Outside => {
                (self.sent, self.done) = (0, 0);
            }
            // A replay starts from the (shortened) transcript anyway; if all is undone nothing is replayed.
            Phase::Draining(After::Replay) | Phase::Diverged if whole => {
                self.phase = Phase::Draining(After::Undo(undo.clone()));
            }
            Phase::RollingBack(After::Replay) if whole => self.phase = Phase::RollingBack(After::Undo(undo.clone())),
            Phase::Settling if whole => *self = FollowerCursor { outstanding: self.outstanding, ..Self::default() },
            Phase::Draining(After::Replay) | Phase::RollingBack(After::Replay) | Phase::Settling | Phase::Diverged => {}
            // All of that is being rolled back already; what came behind it was never sent.
            Phase::RollingBack(After::Undo(earlier)) | Phase::Draining(After::Undo(earlier))
                if earlier.savepoint.is_none() || (!whole && undo.length >= earlier.length) => {}
            Phase::Opening | Phase::Following | Phase::Draining(_) | Phase::RollingBack(_) | Phase::Committing => {
                if self.sent > undo.length || whole {
                    self.phase = Phase::Draining(After::Undo(undo.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Undo {
        Undo { length: 0, savepoint: None }
    }

    fn to(length: usize, name: &str) -> Undo {
        Undo { length, savepoint: Some(name.into()) }
    }

    #[test]
    fn sends_pipelined_and_agrees() {
        let mut f = FollowerCursor::default();
        assert_eq!(f.step(0), Step::Agreed);
        assert_eq!(f.step(2), Step::Send { index: 0, begin: true });
        f.sent(1);
        f.answered(Answer::agrees(1));
        assert_eq!(f.step(3), Step::Send { index: 1, begin: false });
        f.sent(1);
        assert_eq!(f.step(3), Step::Send { index: 2, begin: false });
        assert_eq!(f.step(2), Step::Await { doomed: false });
        f.answered(Answer::agrees(1));
        assert_eq!(f.step(2), Step::Agreed);
        f.commit_sent();
        assert_eq!(f.step(2), Step::Await { doomed: false });
        f.committed();
        assert!(f.clean());
    }

    /// Found by the model: a cancel hit the unit before its BEGIN had run, and what had been sent behind it was executed and
    /// committed on that member alone.
    #[test]
    fn nothing_leaves_behind_an_unanswered_begin() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        assert_eq!(f.step(3), Step::Await { doomed: false });
        f.undo(&whole());
        assert_eq!(f.step(0), Step::Await { doomed: true });
        f.answered(Answer::differs(0));
        assert_eq!(f.step(0), Step::Rollback { savepoint: None });
    }

    #[test]
    fn a_unit_of_several_entries() {
        let mut f = FollowerCursor::default();
        f.sent(3);
        assert_eq!(f.step(3), Step::Await { doomed: false });
        f.answered(Answer::agrees(3));
        assert_eq!(f.step(3), Step::Agreed);
        f.sent(2);
        f.undo(&to(4, "s"));
        f.answered(Answer::differs(1));
        assert_eq!(f.step(4), Step::Rollback { savepoint: Some("s".into()) }, "only what is undone differed");
    }

    #[test]
    fn mismatch_replays_from_the_beginning() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.sent(1);
        f.answered(Answer::differs(0));
        assert_eq!(f.step(2), Step::Await { doomed: true });
        f.answered(Answer::differs(0));
        assert_eq!(f.step(2), Step::Rollback { savepoint: None });
        f.rollback_sent();
        f.answered(Answer::agrees(0));
        assert_eq!(f.step(2), Step::Settle { attempt: 1 });
        f.settled();
        assert_eq!(f.step(2), Step::Send { index: 0, begin: true });
    }

    #[test]
    fn diverged_after_too_many_replays() {
        let mut f = FollowerCursor::default();
        for _ in 0..=REPLAYS_MAX {
            f.sent(1);
            f.answered(Answer::differs(0));
            f.rollback_sent();
            f.answered(Answer::agrees(0));
            if f.step(1) == Step::Diverged {
                f.undo(&whole());
                assert_eq!(f.step(0), Step::Rollback { savepoint: None });
                return;
            }
            f.settled();
        }
        panic!("never diverged");
    }

    #[test]
    fn undo_of_unsent_entries_costs_nothing() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.answered(Answer::agrees(1));
        f.undo(&to(1, "s"));
        assert_eq!(f.step(1), Step::Agreed);
    }

    #[test]
    fn undo_to_savepoint_then_goes_on() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.sent(1);
        f.answered(Answer::agrees(1));
        f.undo(&to(1, "s"));
        assert_eq!(f.step(2), Step::Await { doomed: true });
        f.answered(Answer::differs(0));
        assert_eq!(f.step(2), Step::Rollback { savepoint: Some("s".into()) });
        f.rollback_sent();
        f.answered(Answer::agrees(0));
        assert_eq!(f.step(2), Step::Send { index: 1, begin: false });
    }

    #[test]
    fn whole_undo_ends_outside_and_next_transaction_waits_for_it() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.undo(&whole());
        assert_eq!(f.step(1), Step::Await { doomed: true });
        f.answered(Answer::agrees(1));
        f.rollback_sent();
        // The next transaction has an entry already, and is undone before it was sent.
        f.undo(&whole());
        f.answered(Answer::agrees(1));
        assert!(f.clean());
        assert_eq!(f.step(1), Step::Send { index: 0, begin: true });
    }

    #[test]
    fn what_stays_is_still_compared_while_the_rest_is_undone() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.sent(1);
        f.undo(&to(1, "s"));
        f.answered(Answer::differs(0));
        f.answered(Answer::differs(0));
        assert_eq!(f.step(1), Step::Rollback { savepoint: None }, "replay, since entry 0 differed");
    }

    #[test]
    fn undo_of_entries_behind_a_running_undo_is_nothing() {
        let mut f = FollowerCursor::default();
        for _ in 0..5 {
            f.sent(1);
            f.answered(Answer::agrees(1));
        }
        f.undo(&to(1, "s"));
        f.rollback_sent();
        f.undo(&to(2, "t"));
        f.answered(Answer::agrees(1));
        assert_eq!(f.step(2), Step::Send { index: 1, begin: false });
    }

    #[test]
    fn a_failed_rollback_is_sent_again() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.undo(&whole());
        f.answered(Answer::agrees(1));
        f.rollback_sent();
        f.answered(Answer::differs(0));
        assert_eq!(f.step(0), Step::Rollback { savepoint: None });
    }

    #[test]
    fn reconnecting_replays_without_rollback() {
        let mut f = FollowerCursor::default();
        f.sent(1);
        f.reconnected();
        assert_eq!(f.step(1), Step::Settle { attempt: 1 });
        f.settled();
        assert_eq!(f.step(1), Step::Send { index: 0, begin: true });
    }
}
