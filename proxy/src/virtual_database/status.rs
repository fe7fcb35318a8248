//! What /status tells of a virtual database.

use raidb_core::ids::MemberId;
use raidb_core::log::Position;
use raidb_core::member::MemberState;

use super::VirtualDatabase;
use crate::admin::{Counters, LogStatus, MemberStatus, Role, VirtualDatabaseStatus};

impl VirtualDatabase {
    /// Its status now.
    #[must_use]
    pub fn status(&self) -> VirtualDatabaseStatus {
        let view = self.view();
        let incidents: Vec<_> = self.incidents.lock().iter().rev().cloned().collect();
        let states = self.membership.states();
        let floors = self.known_floors();
        let end = self.journal.end();
        let extent = self.journal.extent(Position::START);
        let members = self.members.iter().enumerate().zip(states).map(|((index, member), state)| {
            let id = MemberId(u8::try_from(index).unwrap_or(u8::MAX));
            let reason = match state {
                MemberState::Disabled { reason, .. } => Some(reason.to_string()),
                _ => None,
            };
            let role = view.is_enabled(id).then_some(if view.lead == id { Role::Lead } else { Role::Follower });
            MemberStatus {
                name: member.target.name.clone(),
                state: state.name().to_owned(),
                reason,
                role,
                weight: member.weight,
                connections: member.connections() as u64,
                pending: member.pending() as u64,
                latency_ms: member.latency().as_secs_f64() * 1000.0,
                progress: match state {
                    MemberState::Rejoining { position } => Some(format!("{position} of {}", self.journal.end().0)),
                    MemberState::Rebuilding { .. } => Some(format!(
                        "{}, {} of about {} MiB",
                        member.rebuild.phase(),
                        member.rebuild.bytes_done() >> 20,
                        member.rebuild.bytes_expected() >> 20
                    )),
                    _ => None,
                },
                floor: floors.get(index).copied().flatten().map(|floor| floor.0),
                behind: match state {
                    // What it said last, or what was known when it left.
                    MemberState::Disabled { reason, position } if reason.contents_are_known() => {
                        let floor = floors.get(index).copied().flatten().unwrap_or_default();
                        Some(end.0.saturating_sub(floor.max(position).0))
                    }
                    MemberState::Rejoining { position } => Some(end.0.saturating_sub(position.0)),
                    MemberState::Disabled { .. } | MemberState::Rebuilding { .. } => None,
                    MemberState::Enabled | MemberState::Draining => Some(0),
                },
                incidents: member.incidents.get(),
            }
        });
        VirtualDatabaseStatus {
            name: self.name.clone(),
            level: self.settings.level.clone(),
            lead: (self.serving() && !view.down).then(|| self.member(view.lead).target.name.clone()),
            starting: self.starting(),
            epoch: view.lead_epoch.0,
            sessions: self.open_sessions.load(std::sync::atomic::Ordering::Relaxed) as u64,
            members: members.collect(),
            log: LogStatus {
                bytes: extent.bytes,
                size_max: self.settings.log_size_max,
                over_size: extent.bytes > self.settings.log_size_max,
                first: extent.first.0,
                last: end.0,
            },
            counters: Counters {
                commits: self.counters.commits.get(),
                transactions_aborted: self.counters.aborts.get(),
                reads: self.counters.reads.get(),
                writes: self.counters.writes.get(),
                combined: self.counters.combined.get(),
                replays: self.counters.replays.get(),
                incidents: self.counters.incidents.get(),
                cycle_breaker_fired: self.counters.cycle_breaks.get(),
                lead_changes: self.counters.lead_changes.get(),
                unproven_statements: self.counters.unproven.get(),
            },
            incidents,
        }
    }
}
