//! How a member is taken out: claimed, made durable, told to those that remain, and then visible. Mirrors
//! `virtual_database/leaving.rs`.

use raidb_core::log::{MemberChange, RecordKind};
use raidb_core::member::{MemberState, Reason};

use super::in_flight::Member;
use super::membership::Leave;
use crate::disk::{AppendId, Appended};
use crate::planted::Planted;
use crate::world::{World, name};

/// What came of a report that a member fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// It leaves; the view will say so.
    Leaving,
    /// It is the last one and stays.
    Last,
    /// It lives.
    Alive,
}

/// A member that is on its way out.
#[derive(Clone, Debug)]
pub struct Leaving {
    pub member: Member,
    reason: Reason,
    stage: Stage,
    settled: raidb_core::log::Position,
}

#[derive(Clone, Debug)]
enum Stage {
    Record,
    Durable(AppendId),
    Told,
}

impl World {
    /// Takes a member out.
    pub fn disable(&mut self, member: Member, reason: Reason) -> FaultOutcome {
        if reason == Reason::Diverged {
            self.violation(format!("member {member} is said to have diverged, and nobody has changed it"));
        }
        match self.shared.membership.start_leaving(member) {
            Leave::Already => FaultOutcome::Leaving,
            Leave::Last => {
                if !self.shared.membership.view.down && reason != Reason::Diverged {
                    self.trace.add(self.now, "last member down", [member as u64, 0, 0], String::new);
                    self.shared.membership.set_down();
                }
                FaultOutcome::Last
            }
            Leave::Claimed => {
                self.counts.disabled += 1;
                self.trace.add(self.now, "disable", [member as u64, 0, 0], || reason.to_string());
                let settled = self.shared.journal.settled();
                self.leaving.push(Leaving { member, reason, stage: Stage::Record, settled });
                FaultOutcome::Leaving
            }
        }
    }

    /// One step of one member that leaves. True if something happened.
    pub fn step_leaving(&mut self, n: usize) -> bool {
        let Leaving { member, reason, ref stage, .. } = self.leaving[n];
        match stage.clone() {
            Stage::Record => {
                let settled = self.shared.journal.settled();
                self.leaving[n].settled = settled;
                let change = MemberState::Disabled { reason, position: settled };
                let record = self.change(member, change);
                let id = self.disk.append(RecordKind::MemberChange, record.encode());
                let now = self.planted == Planted::LeavesBeforeRecord;
                if now {
                    self.shared.note(id);
                }
                self.leaving[n].stage = if now { Stage::Told } else { Stage::Durable(id) };
            }
            Stage::Durable(id) => {
                let Some(appended) = self.disk.take(id) else { return false };
                match appended {
                    Appended::Durable(position) => self.shared.journal.finish(position),
                    Appended::Full | Appended::Failed => self.stop_writes(),
                }
                self.take_in_epoch();
                self.leaving[n].stage = Stage::Told;
            }
            Stage::Told => {
                self.tell_epoch(member);
                let settled = self.leaving[n].settled;
                let left = self.shared.membership.finish_leaving(member, reason, settled);
                self.shared.in_flight.member_gone(member);
                self.leaving.remove(n);
                match left {
                    Ok(lead_changed) => {
                        let lead = self.shared.membership.view.lead as u64;
                        self.trace.add(self.now, "left", [member as u64, lead, u64::from(lead_changed)], String::new);
                    }
                    Err(illegal) => self.violation(illegal),
                }
            }
        }
        true
    }

    pub fn change(&mut self, member: Member, change: MemberState) -> MemberChange {
        let epoch = self.shared.next_epoch();
        MemberChange { member: name(member), change, epoch, when_unix_ms: self.now, incident: None }
    }

    /// What is durable of the membership by now.
    pub fn take_in_epoch(&mut self) {
        self.read_durable();
        self.shared.journal.epoch = self.shared.journal.epoch.max(self.durable.epoch());
    }

    /// Members that are left note the epoch, as far as they can be reached.
    pub fn tell_epoch(&mut self, but: Member) {
        let epoch = self.shared.journal.epoch;
        for member in self.shared.membership.view.members().filter(|m| *m != but) {
            let server = &mut self.servers[member];
            if server.answers() {
                server.epoch = server.epoch.max(epoch);
            }
        }
    }
}
