//! Every legal edge by name, and a sweep that finds every pair outside the table illegal.

use super::{MemberInput as Input, MemberState as State, Reason, RebuildPhase as Phase};
use crate::log::Position;

const P5: Position = Position(5);
const P9: Position = Position(9);
const LOST: Reason = Reason::LostConnection;

fn disabled(reason: Reason) -> State {
    State::Disabled { reason, position: P5 }
}

/// The table of the module, edge by edge.
fn edges() -> Vec<(State, Input, State)> {
    let rebuilding = |phase| State::Rebuilding { phase };
    let unfinished = State::Disabled { reason: Reason::RebuildUnfinished, position: Position::START };
    let mut edges = varied_edges();
    edges.extend([
        (State::Enabled, Input::Drain, State::Draining),
        (State::Enabled, Input::Disable(LOST, P5), disabled(LOST)),
        (State::Draining, Input::Resume, State::Enabled),
        (State::Draining, Input::Drained(P5), disabled(Reason::ByOperator)),
        (State::Draining, Input::Disable(LOST, P5), disabled(LOST)),
        (disabled(LOST), Input::Rejoin, State::Rejoining { position: P5 }),
        (disabled(LOST), Input::FallBehind, disabled(Reason::BehindLog)),
        (disabled(Reason::BehindLog), Input::Rebuild, rebuilding(Phase::Schema)),
        (disabled(LOST), Input::Rebuild, rebuilding(Phase::Schema)),
        (disabled(Reason::Diverged), Input::Rebuild, rebuilding(Phase::Schema)),
        (State::Rejoining { position: P5 }, Input::Applied(P5), State::Rejoining { position: P5 }),
        (State::Rejoining { position: P5 }, Input::Applied(P9), State::Rejoining { position: P9 }),
        (State::Rejoining { position: P5 }, Input::CaughtUp, State::Enabled),
        (State::Rejoining { position: P5 }, Input::Disable(LOST, P9), disabled(LOST)),
        (rebuilding(Phase::Schema), Input::PhaseDone, rebuilding(Phase::Rows)),
        (rebuilding(Phase::Rows), Input::PhaseDone, rebuilding(Phase::Constraints)),
        (rebuilding(Phase::Constraints), Input::Copied(P9), State::Rejoining { position: P9 }),
    ]);
    for phase in [Phase::Schema, Phase::Rows, Phase::Constraints] {
        edges.push((rebuilding(phase), Input::Disable(LOST, P9), unfinished));
    }
    edges
}

/// The same edges with the other position of the sweep.
fn varied_edges() -> Vec<(State, Input, State)> {
    let rebuilding = |phase| State::Rebuilding { phase };
    let unfinished = State::Disabled { reason: Reason::RebuildUnfinished, position: Position::START };
    let mut edges = vec![
        (State::Enabled, Input::Disable(LOST, P9), State::Disabled { reason: LOST, position: P9 }),
        (State::Draining, Input::Disable(LOST, P9), State::Disabled { reason: LOST, position: P9 }),
        (State::Draining, Input::Drained(P9), State::Disabled { reason: Reason::ByOperator, position: P9 }),
        (State::Rejoining { position: P5 }, Input::Disable(LOST, P5), disabled(LOST)),
        (State::Rejoining { position: P9 }, Input::Applied(P9), State::Rejoining { position: P9 }),
        (State::Rejoining { position: P9 }, Input::CaughtUp, State::Enabled),
    ];
    for position in [P5, P9] {
        let kept = State::Disabled { reason: LOST, position: P9 };
        edges.push((State::Rejoining { position: P9 }, Input::Disable(LOST, position), kept));
    }
    for phase in [Phase::Schema, Phase::Rows, Phase::Constraints] {
        edges.push((rebuilding(phase), Input::Disable(LOST, P5), unfinished));
    }
    edges.push((rebuilding(Phase::Constraints), Input::Copied(P5), State::Rejoining { position: P5 }));
    edges
}

#[test]
fn legal_edges() {
    for (from, input, to) in edges() {
        assert_eq!(from.transition(input), Ok(to), "{from} and {input:?}");
    }
}

#[test]
fn every_other_pair_is_illegal_and_changes_nothing() {
    let states = [
        State::Enabled,
        State::Draining,
        disabled(LOST),
        disabled(Reason::Diverged),
        disabled(Reason::BehindLog),
        State::Rejoining { position: P5 },
        State::Rejoining { position: P9 },
        State::Rebuilding { phase: Phase::Schema },
        State::Rebuilding { phase: Phase::Rows },
        State::Rebuilding { phase: Phase::Constraints },
    ];
    let inputs = [
        Input::Drain,
        Input::Resume,
        Input::Drained(P5),
        Input::Drained(P9),
        Input::Disable(LOST, P5),
        Input::Disable(LOST, P9),
        Input::Rejoin,
        Input::Applied(P5),
        Input::Applied(P9),
        Input::CaughtUp,
        Input::FallBehind,
        Input::Rebuild,
        Input::PhaseDone,
        Input::Copied(P5),
        Input::Copied(P9),
    ];
    let edges = edges();
    for state in states {
        for input in inputs {
            let legal = edges.iter().any(|(from, by, _)| *from == state && *by == input);
            let result = state.transition(input);
            assert_eq!(result.is_ok(), legal, "{state} and {input:?}");
            if let Err(illegal) = result {
                assert_eq!((illegal.state, illegal.input), (state, input));
            }
        }
    }
}

#[test]
fn contents_that_are_unknown_need_a_rebuild() {
    for reason in [Reason::Diverged, Reason::DoesNotFit, Reason::RebuildUnfinished, Reason::BehindLog, Reason::New] {
        assert!(disabled(reason).transition(Input::Rejoin).is_err());
    }
}
