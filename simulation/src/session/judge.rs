//! Members' answers differ for good: the real vote. Mirrors `session/judge.rs`. In a simulation nobody changes a member behind the
//! proxy's back, so this must never happen; see `World::disable`.

use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::verdict::{Outcome, Verdict, verdict};

use super::{Session, Trouble, retry};
use crate::proxy::in_flight::Member;
use crate::world::World;

fn id(member: Member) -> MemberId {
    MemberId(u8::try_from(member).unwrap_or(u8::MAX))
}

impl Session {
    pub(super) fn judge(&mut self, diverged: &[Member], w: &mut World) -> Result<bool, Trouble> {
        let Some(open) = &self.open else { return Ok(false) };
        let lead = open.lead;
        let at = diverged.iter().map(|m| self.slots[*m].differed_at).min().unwrap_or(0);
        let tag = open.transcript.get(at).map_or(String::new(), |entry| entry.tag.to_string());
        let lead_outcome = Outcome::from_tag(&tag);
        let outcome_of = |member: Member| {
            let slot = &self.slots[member];
            let differs = diverged.contains(&member) && slot.differed_at == at;
            slot.difference.clone().filter(|_| differs).unwrap_or_else(|| lead_outcome.clone())
        };
        let followers: Vec<(MemberId, Outcome)> =
            self.followers().into_iter().map(|m| (id(m), outcome_of(m))).collect();
        w.trace.add(w.now, "vote", [self.id, lead as u64, at as u64], || format!("{lead_outcome:?} {followers:?}"));
        let wrong = match verdict((id(lead), lead_outcome.clone()), &followers) {
            Verdict::Agreement => Vec::new(),
            Verdict::Disable { wrong } | Verdict::LeadWrong { wrong, .. } => wrong,
            Verdict::Abort { wrong, .. } if !wrong.is_empty() => wrong,
            Verdict::Abort { .. } | Verdict::Unanswered { .. } => {
                diverged.iter().map(|m| (id(*m), Reason::Diverged)).collect()
            }
        };
        let lead_wrong = wrong.iter().any(|(m, _)| *m == id(lead));
        for (member, reason) in wrong {
            w.disable(usize::from(member.0), reason);
        }
        if lead_wrong { Err(retry()) } else { Ok(false) }
    }
}
