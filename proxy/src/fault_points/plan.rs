//! What `RAIDB_FAULT` asks for: at which point, at which passage, what.
//!
//! ```text
//! RAIDB_FAULT=commit.intent_durable:3:crash
//! RAIDB_FAULT=commit.before_intent:5:cut-followers+pause=200,log.append:7:full
//! ```
//! `POINT:NTH:ACTION[+ACTION…]`, several separated by commas. `NTH` counts the passages of that point in the whole process,
//! from 1. A name that does not exist is an error: a test that waits for it would wait for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{FaultPlanError, FaultPoint, Takes};

const FAULT: &str = "RAIDB_FAULT";
const ROTATE_EVERY: &str = "RAIDB_FAULT_ROTATE_EVERY";
const SEGMENT_BYTES: &str = "RAIDB_FAULT_SEGMENT_BYTES";

/// What is done at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process ends at once.
    Crash,
    /// Nothing goes on there for that long.
    Pause(Duration),
    /// The session's connections to all followers are cut.
    CutFollowers,
    /// The session's connection to the lead is cut.
    CutLead,
    /// The session's connection to the member of that name is cut.
    CutMember(String),
    /// The disk is full.
    Full,
    /// The operation fails: a flush, or whatever stands there.
    FsyncError,
    /// Half of the bytes are written, then the operation fails.
    ShortWrite,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Plan {
    rules: Vec<Rule>,
    pub(super) rotate_every: Option<u64>,
    pub(super) segment_bytes: Option<u64>,
}

#[derive(Debug)]
struct Rule {
    point: FaultPoint,
    nth: u64,
    actions: Vec<Action>,
    /// Passages so far.
    reached: AtomicU64,
}

impl Plan {
    pub(super) fn from_environment() -> Result<Self, FaultPlanError> {
        let text = |variable| std::env::var(variable).ok().filter(|text| !text.is_empty());
        let number = |variable: &'static str| {
            let number = text(variable).map(|text| text.parse::<u64>()).transpose();
            number.map_err(|error| FaultPlanError { variable, problem: error.to_string() })
        };
        let rules = parse(&text(FAULT).unwrap_or_default());
        Ok(Self {
            rules: rules.map_err(|problem| FaultPlanError { variable: FAULT, problem })?,
            rotate_every: number(ROTATE_EVERY)?,
            segment_bytes: number(SEGMENT_BYTES)?,
        })
    }

    /// Whether a rule names the point.
    pub(super) fn names(&self, point: FaultPoint) -> bool {
        self.rules.iter().any(|rule| rule.point == point)
    }

    /// Counts a passage; what is to be done at this one.
    pub(super) fn hit(&self, point: FaultPoint) -> Option<&[Action]> {
        let mut due = None;
        for rule in self.rules.iter().filter(|rule| rule.point == point) {
            if rule.reached.fetch_add(1, Ordering::SeqCst) + 1 == rule.nth {
                due = Some(&rule.actions[..]);
            }
        }
        due
    }
}

fn parse(text: &str) -> Result<Vec<Rule>, String> {
    text.split(',').map(str::trim).filter(|rule| !rule.is_empty()).map(parse_rule).collect()
}

fn parse_rule(text: &str) -> Result<Rule, String> {
    let mut parts = text.splitn(3, ':');
    let (Some(name), Some(nth), Some(actions)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("\"{text}\" is not POINT:NTH:ACTION"));
    };
    let point = FaultPoint::ALL.iter().copied().find(|point| point.name() == name);
    let point = point.ok_or_else(|| format!("there is no point \"{name}\"; `raidb fault-points` lists them"))?;
    let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(|| format!("\"{nth}\" is no count from 1 on"))?;
    let actions = actions.split('+').map(parse_action).collect::<Result<Vec<_>, _>>()?;
    match actions.iter().find(|action| !allowed(point, action)) {
        Some(action) => Err(format!("{action:?} cannot be done at {name}")),
        None => Ok(Rule { point, nth, actions, reached: AtomicU64::new(0) }),
    }
}

fn parse_action(text: &str) -> Result<Action, String> {
    let action = match text.split_once('=').unwrap_or((text, "")) {
        ("crash", "") => Action::Crash,
        ("pause", ms) => Action::Pause(Duration::from_millis(ms.parse().map_err(|_| format!("pause={ms}: no time"))?)),
        ("cut-followers", "") => Action::CutFollowers,
        ("cut-lead", "") => Action::CutLead,
        ("cut-member", name) if !name.is_empty() => Action::CutMember(name.to_owned()),
        ("full", "") => Action::Full,
        ("fsync-error", "") => Action::FsyncError,
        ("short-write", "") => Action::ShortWrite,
        _ => return Err(format!("there is no action \"{text}\"")),
    };
    Ok(action)
}

fn allowed(point: FaultPoint, action: &Action) -> bool {
    let takes = point.takes();
    match action {
        Action::Crash => true,
        Action::Pause(_) => takes != Takes::CrashAlone,
        Action::CutFollowers | Action::CutLead | Action::CutMember(_) => takes == Takes::Cuts,
        Action::Full | Action::FsyncError => takes == Takes::DiskErrors,
        Action::ShortWrite => point == FaultPoint::LogAppend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_due_once_at_its_passage() {
        let rules = parse("commit.before_intent:2:cut-followers+pause=5, log.append:1:short-write").unwrap();
        let plan = Plan { rules, ..Plan::default() };
        assert_eq!(plan.hit(FaultPoint::CommitBeforeIntent), None);
        assert_eq!(plan.hit(FaultPoint::LogAppend), Some(&[Action::ShortWrite][..]));
        let both = [Action::CutFollowers, Action::Pause(Duration::from_millis(5))];
        assert_eq!(plan.hit(FaultPoint::CommitBeforeIntent), Some(&both[..]));
        assert_eq!(plan.hit(FaultPoint::CommitBeforeIntent), None);
        assert_eq!(plan.hit(FaultPoint::RotateDone), None);
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        for (text, expect) in [
            ("commit.nowhere:1:crash", "no point \"commit.nowhere\""),
            ("commit.before_intent:0:crash", "no count"),
            ("commit.before_intent:1:explode", "no action"),
            ("commit.before_intent:crash", "POINT:NTH:ACTION"),
            ("commit.before_intent:1:full", "cannot be done"),
            ("rotate.done:1:cut-lead", "cannot be done"),
            ("commit.sent_to_lead:1:pause=1", "cannot be done"),
            ("log.flush:1:short-write", "cannot be done"),
        ] {
            let problem = parse(text).map(drop).unwrap_err();
            assert!(problem.contains(expect), "{text}: {problem}");
        }
        assert!(parse("").unwrap().is_empty());
    }
}
