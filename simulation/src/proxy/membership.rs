//! Who takes part, who leads: mirrors `proxy/src/virtual_database/membership.rs`, without its locks. A member's state is the
//! real one, with the real transitions.

use std::collections::BTreeMap;

use raidb_core::log::Position;
use raidb_core::member::{MemberInput, MemberState, Reason};

use super::in_flight::Member;

/// Members as everybody sees them at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub version: u64,
    pub enabled: u32,
    pub lead: Member,
    pub lead_epoch: u64,
    pub down: bool,
    pub joins: Vec<u32>,
}

impl View {
    pub fn is_enabled(&self, member: Member) -> bool {
        self.enabled & (1 << member) != 0
    }

    pub fn members(&self) -> impl Iterator<Item = Member> + use<> {
        let enabled = self.enabled;
        (0..32).filter(move |m| enabled & (1 << m) != 0)
    }
}

/// Answer to a wish to disable a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Claimed,
    Already,
    Last,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Membership {
    pub view: View,
    pub states: Vec<MemberState>,
    leaving: u32,
    joining: u32,
    before: BTreeMap<Member, MemberState>,
    active: BTreeMap<u64, usize>,
}

fn lowest(mask: u32) -> Member {
    mask.trailing_zeros().min(31) as usize
}

impl Membership {
    pub fn new(states: Vec<MemberState>) -> Self {
        let enabled = enabled_mask(&states);
        let joins = vec![0; states.len()];
        let view = View { version: 1, enabled, lead: lowest(enabled), lead_epoch: 1, down: false, joins };
        Membership { view, states, leaving: 0, joining: 0, before: BTreeMap::new(), active: BTreeMap::new() }
    }

    fn change(&mut self, change: impl FnOnce(&mut View)) {
        change(&mut self.view);
        self.view.version += 1;
    }

    pub fn start_leaving(&mut self, member: Member) -> Leave {
        let staying = enabled_mask(&self.states) & !self.leaving;
        if staying & (1 << member) == 0 {
            return Leave::Already;
        }
        if staying == 1 << member {
            return Leave::Last;
        }
        self.leaving |= 1 << member;
        Leave::Claimed
    }

    /// # Errors
    /// A transition that the real state machine refuses.
    pub fn finish_leaving(&mut self, member: Member, reason: Reason, position: Position) -> Result<bool, String> {
        let next = self.states[member].transition(MemberInput::Disable(reason, position));
        self.states[member] = next.map_err(|illegal| illegal.to_string())?;
        self.leaving &= !(1 << member);
        self.joining &= !(1 << member);
        let enabled = enabled_mask(&self.states);
        let staying = enabled & !self.leaving;
        let complete = staying & !self.joining;
        let mut lead_changed = false;
        self.change(|view| {
            view.enabled = enabled;
            if view.lead == member {
                view.lead = lowest([complete, staying, enabled].into_iter().find(|mask| *mask != 0).unwrap_or(0));
                view.lead_epoch += 1;
                lead_changed = true;
            }
        });
        Ok(lead_changed)
    }

    pub fn start_rejoin(&mut self, member: Member) -> bool {
        let before = self.states[member];
        let Ok(next) = before.transition(MemberInput::Rejoin) else { return false };
        self.states[member] = next;
        self.before.insert(member, before);
        true
    }

    pub fn rejoin_progress(&mut self, member: Member, position: Position) {
        if let Ok(next) = self.states[member].transition(MemberInput::Applied(position)) {
            self.states[member] = next;
        }
    }

    pub fn rejoin_failed(&mut self, member: Member, reason: Option<Reason>) {
        let before = self.before.remove(&member);
        let MemberState::Rejoining { position } = self.states[member] else { return };
        self.states[member] = match (reason, before) {
            (None, Some(MemberState::Disabled { reason, .. })) | (Some(reason), _) => {
                MemberState::Disabled { reason, position }
            }
            (None, _) => MemberState::Disabled { reason: Reason::Unreachable, position },
        };
    }

    pub fn reason_out(&self, member: Member) -> Option<Reason> {
        match self.states[member] {
            MemberState::Disabled { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// # Errors
    /// A transition that the real state machine refuses.
    pub fn join(&mut self, member: Member) -> Result<(), String> {
        let next = self.states[member].transition(MemberInput::CaughtUp).map_err(|illegal| illegal.to_string())?;
        self.states[member] = next;
        self.joining |= 1 << member;
        let enabled = enabled_mask(&self.states);
        self.change(|view| {
            view.enabled = enabled;
            view.joins[member] += 1;
        });
        Ok(())
    }

    pub fn joining(&self, member: Member) -> bool {
        self.joining & (1 << member) != 0
    }

    pub fn caught_up(&mut self, member: Member) {
        self.joining &= !(1 << member);
    }

    pub fn set_down(&mut self) {
        if !self.view.down {
            self.change(|view| view.down = true);
        }
    }

    pub fn waits_for(&self, member: Member) -> bool {
        self.view.down && self.view.lead == member && self.leaving & (1 << member) == 0
    }

    pub fn up(&mut self, member: Member) -> bool {
        let up = self.waits_for(member);
        if up {
            self.change(|view| view.down = false);
        }
        up
    }

    pub fn enter(&mut self) -> View {
        *self.active.entry(self.view.lead_epoch).or_insert(0) += 1;
        self.view.clone()
    }

    pub fn leave(&mut self, epoch: u64) {
        if let Some(count) = self.active.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                self.active.remove(&epoch);
            }
        }
    }

    pub fn migrate(&mut self, epoch: u64) -> View {
        let view = self.enter();
        self.leave(epoch);
        view
    }

    pub fn older_active(&self, epoch: u64) -> bool {
        self.joining(self.view.lead) || self.active.first_key_value().is_some_and(|(oldest, _)| *oldest < epoch)
    }
}

fn enabled_mask(states: &[MemberState]) -> u32 {
    states.iter().enumerate().filter(|(_, s)| s.is_enabled()).fold(0, |mask, (n, _)| mask | (1 << n))
}
