//! What /status tells of a virtual database.

use raidb_core::ids::MemberId;

use super::VirtualDatabase;
use crate::admin::{Counters, MemberStatus, Role, VirtualDatabaseStatus};

impl VirtualDatabase {
    /// Its status now.
    #[must_use]
    pub fn status(&self) -> VirtualDatabaseStatus {
        let view = self.view();
        let incidents: Vec<_> = self.incidents.lock().iter().cloned().collect();
        let states = self.membership.states();
        let members = self.members.iter().enumerate().zip(states).map(|((index, member), state)| {
            let id = MemberId(u8::try_from(index).unwrap_or(u8::MAX));
            let reason = match state {
                raidb_core::member::MemberState::Disabled { reason, .. } => Some(reason.to_string()),
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
                    raidb_core::member::MemberState::Rejoining { position } => {
                        Some(format!("{position} of {}", self.journal.end().0))
                    }
                    raidb_core::member::MemberState::Rebuilding { .. } => Some(format!(
                        "{}, {} of about {} MiB",
                        member.rebuild.phase(),
                        member.rebuild.bytes_done() >> 20,
                        member.rebuild.bytes_expected() >> 20
                    )),
                    _ => None,
                },
                incidents: incidents.iter().filter(|i| i.member == member.target.name).count() as u64,
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
            counters: Counters {
                commits: self.counters.commits.get(),
                transactions_aborted: self.counters.aborts.get(),
                reads: self.counters.reads.get(),
                writes: self.counters.writes.get(),
                replays: self.counters.replays.get(),
                incidents: incidents.len() as u64,
                cycle_breaker_fired: self.counters.cycle_breaks.get(),
                lead_changes: self.counters.lead_changes.get(),
            },
            incidents,
        }
    }
}
