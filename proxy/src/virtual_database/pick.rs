//! Which member a balanced read goes to.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use raidb_core::ids::MemberId;
use raidb_core::placement::Pick;

use super::members::Members;
use super::membership::View;

/// A session stays on the member of its last read while that has at most this many statements more under way than
/// the least busy one.
const STAY_PENDING: usize = 2;

/// State of the strategies that need one.
#[derive(Debug, Default)]
pub struct Picker {
    turn: AtomicUsize,
    weighted_turn: AtomicU32,
}

impl Picker {
    /// An enabled member.
    #[must_use]
    pub fn pick(&self, strategy: Pick, view: &View, members: &Members, last: Option<MemberId>) -> MemberId {
        let count = view.enabled.count_ones() as usize;
        let nth = |n: usize| view.members().nth(n % count.max(1)).unwrap_or(view.lead);
        match strategy {
            Pick::RoundRobin => nth(self.turn.fetch_add(1, Ordering::Relaxed)),
            Pick::Weighted => {
                let total: u32 = view.members().map(|m| u32::from(members[usize::from(m.0)].weight)).sum();
                let mut turn = self.weighted_turn.fetch_add(1, Ordering::Relaxed) % total.max(1);
                for member in view.members() {
                    let weight = u32::from(members[usize::from(member.0)].weight);
                    if turn < weight {
                        return member;
                    }
                    turn -= weight;
                }
                view.lead
            }
            Pick::LeastPending => {
                // Who was asked last has the session's data and plans at hand: it is left only for one that is
                // clearly less busy.
                if let Some(last) = last.filter(|m| view.is_enabled(*m)) {
                    let pending = |m: MemberId| members[usize::from(m.0)].pending();
                    let least = view.members().map(pending).min().unwrap_or(0);
                    if pending(last) <= least + STAY_PENDING {
                        return last;
                    }
                }
                // Start at a turning place, so that equals share the work.
                let start = self.turn.fetch_add(1, Ordering::Relaxed);
                (0..count)
                    .map(|n| nth(start.wrapping_add(n)))
                    .min_by_key(|m| members[usize::from(m.0)].pending())
                    .unwrap_or(view.lead)
            }
        }
    }
}
