//! A proxy that starts: mirrors `rejoin/startup.rs`. The log is read by the real reader, the membership and the tokens by the real
//! recovery.

use std::collections::BTreeSet;

use raidb_core::log::{Membership, Outcome, Position, RecordKind};
use raidb_core::member::{MemberState, Reason};
use raidb_core::token::Recovery;

use super::applier::{Applying, Replay};
use super::{Journal, Shared};
use crate::world::{World, name};

/// A start that is not done.
#[derive(Clone, Debug, Default)]
pub struct Start {
    looked: bool,
    replays: Vec<Replay>,
    end: Position,
    usable: bool,
}

/// What a proxy that ended in the middle of something left behind.
fn at_start(state: MemberState) -> MemberState {
    match state {
        MemberState::Rebuilding { .. } => {
            MemberState::Disabled { reason: Reason::RebuildUnfinished, position: Position::START }
        }
        MemberState::Rejoining { position } => MemberState::Disabled { reason: Reason::Unreachable, position },
        MemberState::Draining => MemberState::Enabled,
        other => other,
    }
}

impl World {
    /// The proxy's process begins: what the log says is read.
    ///
    /// # Errors
    /// The log cannot be read, or says nonsense.
    pub fn start(&mut self) -> Result<(), String> {
        let records = self.disk.restart(&mut self.random).map_err(|corrupt| corrupt.to_string())?;
        let (mut membership, mut tokens) = (Membership::default(), Recovery::new(self.now));
        let mut aborted = BTreeSet::new();
        for record in records {
            membership.apply(record).map_err(|kind| kind.to_string())?;
            tokens.record(record).map_err(|kind| kind.to_string())?;
            if record.kind == RecordKind::Outcome {
                aborted.insert(Outcome::decode(&record.payload).map_err(|kind| kind.to_string())?.aborted);
            }
        }
        let state = |m| membership.of(&name(m)).map_or(MemberState::Enabled, |change| at_start(change.change));
        let states: Vec<MemberState> = (0..self.servers.len()).map(state).collect();
        if !states.iter().any(|state| state.is_enabled()) {
            return Err("the log says that no member is enabled".to_owned());
        }
        let end = self.disk.end();
        let recovered = tokens.finish(end, |position| aborted.contains(&position));
        let journal = Journal::new(end, aborted, membership.epoch());
        self.shared = Shared::new(states, journal, recovered.tokens);
        if let Some(promise) = recovered.promise {
            self.shared.note(self.disk.append(RecordKind::Token, promise.encode()));
        }
        self.leaving.clear();
        (self.rejoin, self.last_back) = (None, None);
        self.start = Some(Start::default());
        self.reread_durable();
        self.trace.add(self.now, "start", [end.0, u64::from(self.shared.membership.view.enabled), 0], String::new);
        Ok(())
    }

    /// The start's turn. True if something happened.
    pub fn step_start(&mut self) -> bool {
        let Some(mut start) = self.start.take() else { return false };
        let happened = if start.looked { self.redo(&mut start) } else { self.look_at_members(&mut start) };
        let done = start.looked && start.replays.is_empty() && self.leaving.is_empty();
        if !done {
            self.start = Some(start);
        } else if start.usable && !self.shared.membership.view.down {
            self.shared.serving = true;
            self.trace.add(self.now, "serving", [0, 0, 0], String::new);
        } else {
            // Nobody can be used yet: try again.
            let lead = self.shared.membership.view.lead;
            let _ = self.shared.membership.up(lead);
            self.start = Some(Start::default());
        }
        happened
    }

    /// Those that do not answer are taken out, as long as one does. Then all are fenced.
    fn look_at_members(&mut self, start: &mut Start) -> bool {
        if !self.leaving.is_empty() || self.shared.writes_stopped {
            return false;
        }
        let members: Vec<usize> = self.shared.membership.view.members().collect();
        let silent: Vec<usize> = members.iter().copied().filter(|m| !self.servers[*m].answers()).collect();
        if silent.len() == members.len() {
            return false;
        }
        if !silent.is_empty() {
            for member in silent {
                self.disable(member, Reason::Unreachable);
            }
            return true;
        }
        start.end = self.disk.end();
        for member in members {
            self.servers[member].fence();
            let applied = self.servers[member].applied();
            if applied.last() > start.end {
                self.violation(format!("member {member} holds {}, the log ends at {}", applied.last(), start.end));
            }
            if self.servers[member].epoch > self.shared.journal.epoch {
                self.violation(format!("member {member} is of a newer epoch than the log"));
            }
            let mut replay = Replay::new(member, applied);
            replay.aim(start.end, false, self);
            start.replays.push(replay);
        }
        start.looked = true;
        true
    }

    fn redo(&mut self, start: &mut Start) -> bool {
        let Some(replay) = start.replays.last_mut() else { return false };
        let member = replay.member;
        match replay.step(self) {
            Applying::Working(happened) => {
                if !happened && self.servers[member].frozen_since.is_some() {
                    start.replays.pop();
                    self.disable(member, Reason::Unreachable);
                    return true;
                }
                return happened;
            }
            Applying::Done => {
                replay.close(self);
                let epoch = self.shared.journal.epoch;
                let server = &mut self.servers[member];
                server.raise_floor(start.end);
                server.epoch = server.epoch.max(epoch);
                start.usable = true;
            }
            Applying::Failed => {
                replay.close(self);
                self.disable(member, Reason::Unreachable);
            }
        }
        start.replays.pop();
        true
    }
}
