//! The vote (DESIGN.md §7).
//!
//! | outcomes | verdict |
//! |---|---|
//! | all alike, errors too | agreement: the client gets the lead's answer |
//! | nobody answered (connection lost, time-out) | unanswered: nobody is disabled, the outcome is unknown |
//! | somebody rolled back with 40xxx | abort everywhere; only members at fault by themselves are disabled |
//! | somebody is at fault by itself (08, 53, 57P, 58, XX00, lost, late) | it is disabled, the others vote |
//! | answers differ | the largest group of like answers is right; a tie goes to the lead |
//! | everybody is at fault, some with an answer | those that answered vote, the others are disabled |

use super::{Outcome, SqlState};
use crate::ids::MemberId;
use crate::member::Reason;

/// Members that are to be disabled, and why.
pub type Wrong = Vec<(MemberId, Reason)>;

/// What the outcomes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All alike. The client gets the lead's answer.
    Agreement,
    /// The transaction is to be rolled back on every member, and the client gets this SQLSTATE.
    Abort {
        /// The lead's code if it has one, else that of the first follower that has one.
        sqlstate: SqlState,
        /// Members that are at fault by themselves. May be empty; may contain the lead.
        wrong: Wrong,
    },
    /// The lead is right; these followers are to be disabled. Never empty.
    Disable {
        /// Who, and why.
        wrong: Wrong,
    },
    /// The lead is to be disabled: the change of lead comes first, then the statement's fate.
    LeadWrong {
        /// Who, and why; the lead is the first.
        wrong: Wrong,
        /// The member with the lowest id among those that are right.
        next: MemberId,
    },
    /// Nobody answered. Nobody is disabled, since nobody would be left; the outcome is unknown.
    Unanswered {
        /// Why each gave no answer; the lead is the first.
        reasons: Wrong,
    },
}

type Ballot<'a> = (MemberId, &'a Outcome);

/// Compares the lead's outcome with those of the followers.
pub fn verdict(lead: (MemberId, Outcome), followers: &[(MemberId, Outcome)]) -> Verdict {
    let (lead, outcome) = &lead;
    if outcome.is_answer() && followers.iter().all(|(_, other)| other == outcome) {
        return Verdict::Agreement;
    }
    let all: Vec<Ballot<'_>> =
        std::iter::once((*lead, outcome)).chain(followers.iter().map(|(id, outcome)| (*id, outcome))).collect();
    if !all.iter().any(|(_, outcome)| outcome.is_answer()) {
        return Verdict::Unanswered { reasons: wrong(&all, None) };
    }
    if let Some(sqlstate) = all.iter().find_map(|(_, outcome)| outcome.abort()) {
        let wrong = all.iter().filter_map(|(id, outcome)| Some((*id, outcome.fault()?))).collect();
        return Verdict::Abort { sqlstate, wrong };
    }
    let right = winner(*lead, &all);
    let wrong = wrong(&all, Some(right));
    let next = all.iter().filter(|(_, outcome)| *outcome == right).map(|(id, _)| *id).min();
    match next {
        Some(next) if outcome != right => Verdict::LeadWrong { wrong, next },
        _ => Verdict::Disable { wrong },
    }
}

/// The outcome that most of the voters have; among equals the lead's, then that of the lowest id.
fn winner<'a>(lead: MemberId, all: &[Ballot<'a>]) -> &'a Outcome {
    let healthy = all.iter().any(|(_, outcome)| outcome.fault().is_none());
    let may_vote = |outcome: &Outcome| outcome.is_answer() && (!healthy || outcome.fault().is_none());
    let voters: Vec<Ballot<'a>> = all.iter().copied().filter(|(_, outcome)| may_vote(outcome)).collect();
    let votes = |outcome: &Outcome| voters.iter().filter(|(_, other)| *other == outcome).count();
    let best = voters.iter().max_by_key(|(id, outcome)| (votes(outcome), *id == lead, std::cmp::Reverse(*id)));
    best.map_or(all[0].1, |(_, outcome)| outcome)
}

/// Everybody whose outcome is not the right one; all of them if none is.
fn wrong(all: &[Ballot<'_>], right: Option<&Outcome>) -> Wrong {
    let differing = all.iter().filter(|(_, outcome)| Some(*outcome) != right);
    differing.map(|(id, outcome)| (*id, outcome.fault().unwrap_or(Reason::Diverged))).collect()
}
