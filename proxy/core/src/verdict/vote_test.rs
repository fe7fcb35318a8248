//! The vote: one test per line of its table, and a sweep over all combinations.

use super::{Outcome, SqlState, Verdict, verdict};
use crate::ids::MemberId;
use crate::member::Reason;

fn ok(rows: u64) -> Outcome {
    Outcome::Ok { tag: "UPDATE".into(), rows }
}

fn state(code: &str) -> SqlState {
    SqlState::parse(code.as_bytes()).unwrap()
}

fn error(code: &str) -> Outcome {
    Outcome::SqlError { sqlstate: state(code) }
}

/// The verdict over outcomes of members 0, 1, 2 …; member 0 is the lead.
fn judge(outcomes: &[Outcome]) -> Verdict {
    let mut ballots = outcomes.iter().cloned().zip(0..).map(|(outcome, id)| (MemberId(id), outcome));
    let lead = ballots.next().unwrap();
    verdict(lead, &ballots.collect::<Vec<_>>())
}

fn disabled(wrong: &[(u8, Reason)]) -> Vec<(MemberId, Reason)> {
    wrong.iter().map(|(id, reason)| (MemberId(*id), *reason)).collect()
}

#[test]
fn all_alike_is_agreement() {
    assert_eq!(judge(&[ok(1)]), Verdict::Agreement);
    assert_eq!(judge(&[ok(1), ok(1), ok(1)]), Verdict::Agreement);
    assert_eq!(judge(&[error("23505"), error("23505")]), Verdict::Agreement);
    assert_eq!(judge(&[error("40P01"), error("40P01")]), Verdict::Agreement);
    assert_eq!(judge(&[error("53100"), error("53100")]), Verdict::Agreement);
}

#[test]
fn nobody_answered() {
    let lost = Reason::LostConnection;
    assert_eq!(judge(&[Outcome::Lost]), Verdict::Unanswered { reasons: disabled(&[(0, lost)]) });
    let both = disabled(&[(0, lost), (1, Reason::TimedOut)]);
    assert_eq!(judge(&[Outcome::Lost, Outcome::TimedOut]), Verdict::Unanswered { reasons: both });
}

#[test]
fn an_abort_disables_nobody_for_the_mismatch() {
    let deadlock = SqlState::DEADLOCK;
    let expect = Verdict::Abort { sqlstate: deadlock, wrong: vec![] };
    assert_eq!(judge(&[error("40P01"), ok(1), ok(2)]), expect);
    assert_eq!(judge(&[ok(1), error("40P01"), error("40001")]), expect);
    let wrong = disabled(&[(0, Reason::LostConnection)]);
    assert_eq!(judge(&[Outcome::Lost, error("40P01"), ok(1)]), Verdict::Abort { sqlstate: deadlock, wrong });
}

#[test]
fn a_member_at_fault_is_disabled() {
    let wrong = disabled(&[(2, Reason::TimedOut)]);
    assert_eq!(judge(&[ok(1), ok(1), Outcome::TimedOut]), Verdict::Disable { wrong });
    let full = Reason::Resource { sqlstate: state("53100") };
    let wrong = disabled(&[(1, full), (2, full)]);
    assert_eq!(judge(&[ok(1), error("53100"), error("53100")]), Verdict::Disable { wrong });
    let wrong = disabled(&[(0, Reason::ServerError { sqlstate: state("57P01") })]);
    assert_eq!(judge(&[error("57P01"), ok(1), ok(1)]), Verdict::LeadWrong { wrong, next: MemberId(1) });
}

#[test]
fn a_mismatch_is_voted_on() {
    let diverged = Reason::Diverged;
    assert_eq!(judge(&[ok(1), ok(0), ok(1)]), Verdict::Disable { wrong: disabled(&[(1, diverged)]) });
    let lead_wrong = Verdict::LeadWrong { wrong: disabled(&[(0, diverged)]), next: MemberId(1) };
    assert_eq!(judge(&[ok(1), error("23505"), error("23505")]), lead_wrong);
    let tag = Outcome::Ok { tag: "DELETE".into(), rows: 1 };
    assert_eq!(judge(&[ok(1), tag]), Verdict::Disable { wrong: disabled(&[(1, diverged)]) });
}

#[test]
fn a_tie_goes_to_the_lead() {
    let diverged = Reason::Diverged;
    assert_eq!(judge(&[ok(1), ok(0)]), Verdict::Disable { wrong: disabled(&[(1, diverged)]) });
    let wrong = disabled(&[(1, diverged), (2, diverged)]);
    assert_eq!(judge(&[ok(1), ok(0), ok(2)]), Verdict::Disable { wrong });
    let wrong = disabled(&[(1, diverged), (3, diverged)]);
    assert_eq!(judge(&[ok(1), ok(0), ok(1), ok(0)]), Verdict::Disable { wrong });
    // Without the lead: to the member that will lead next.
    let wrong = disabled(&[(0, Reason::LostConnection), (2, diverged)]);
    assert_eq!(judge(&[Outcome::Lost, ok(0), ok(1)]), Verdict::LeadWrong { wrong, next: MemberId(1) });
}

#[test]
fn of_members_at_fault_those_that_answered_stay() {
    let wrong = disabled(&[(1, Reason::LostConnection)]);
    assert_eq!(judge(&[error("53100"), Outcome::Lost]), Verdict::Disable { wrong });
    let wrong = disabled(&[(0, Reason::LostConnection)]);
    assert_eq!(judge(&[Outcome::Lost, error("53100")]), Verdict::LeadWrong { wrong, next: MemberId(1) });
    let wrong = disabled(&[(1, Reason::ServerError { sqlstate: state("58030") })]);
    assert_eq!(judge(&[error("53100"), error("58030")]), Verdict::Disable { wrong });
}

#[test]
fn no_verdict_disables_everybody_or_blames_the_right() {
    let kinds = [
        ok(1),
        ok(0),
        error("23505"),
        error("40P01"),
        error("53100"),
        error("57P01"),
        Outcome::Lost,
        Outcome::TimedOut,
    ];
    for members in 1..=4u32 {
        for code in 0..kinds.len().pow(members) {
            let pick = |place: u32| kinds[code / kinds.len().pow(place) % kinds.len()].clone();
            let outcomes: Vec<Outcome> = (0..members).map(pick).collect();
            check_invariants(&outcomes);
        }
    }
}

fn check_invariants(outcomes: &[Outcome]) {
    let verdict = judge(outcomes);
    let alike = outcomes.iter().all(|outcome| *outcome == outcomes[0]);
    let (wrong, lead_wrong) = match &verdict {
        Verdict::Agreement => {
            assert!(alike && outcomes[0].is_answer());
            return;
        }
        Verdict::Unanswered { reasons } => {
            assert_eq!(reasons.len(), outcomes.len());
            assert!(outcomes.iter().all(|outcome| !outcome.is_answer()));
            return;
        }
        Verdict::Abort { wrong, .. } => (wrong, None),
        Verdict::Disable { wrong } => (wrong, Some(false)),
        Verdict::LeadWrong { wrong, next } => {
            assert!(wrong.iter().all(|(id, _)| id != next));
            (wrong, Some(true))
        }
    };
    assert!(wrong.len() < outcomes.len(), "{outcomes:?} disables everybody: {verdict:?}");
    if let Some(lead_wrong) = lead_wrong {
        assert!(!wrong.is_empty(), "{outcomes:?}: {verdict:?}");
        assert_eq!(wrong[0].0 == MemberId(0), lead_wrong, "{outcomes:?}: {verdict:?}");
        let right: Vec<_> = (0..).zip(outcomes).filter(|(id, _)| wrong.iter().all(|(w, _)| w.0 != *id)).collect();
        assert!(right.windows(2).all(|pair| pair[0].1 == pair[1].1), "{outcomes:?}: {verdict:?}");
    }
}
