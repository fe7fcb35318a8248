//! COMMIT up to the registration: mirrors `session/{commit,settle,registration}.rs`.

use std::task::Poll;

use raidb_core::transaction::follower::Step;

use super::{Foreground, Owed, Proof, Session, Trouble, Work, retry};
use crate::planted::Planted;
use crate::proxy::in_flight::{Candidate, Member, Registration};
use crate::statement::Op;
use crate::world::World;

impl Session {
    /// Where a COMMIT begins, for the first time or again.
    pub(super) fn begin_commit(&mut self, w: &mut World) -> Result<(), Trouble> {
        let Some(open) = &self.open else { return Ok(()) };
        let writes = open.transcript.iter().any(|entry| Session::writes(entry).is_some());
        if !writes {
            // (In the proxy a token's transaction is logged without an entry; here it just ends.)
            if let Some(token) = open.token.clone() {
                let end = w.disk.end();
                if !w.shared.decide(&token, w.now, end) {
                    return Err(retry());
                }
                self.token_ended(super::Told::Committed, w);
            }
            self.commit_locks_only(w);
            return Ok(());
        }
        if w.shared.writes_stopped {
            return Err(Trouble::Sql(raidb_core::verdict::SqlState::INTERNAL_ERROR));
        }
        self.urgent = true;
        self.state = Foreground::Settle;
        if open.token.is_none() && w.settings.early_intents {
            self.begin_early(w)?;
        }
        Ok(())
    }

    fn begin_early(&mut self, w: &mut World) -> Result<(), Trouble> {
        match self.lead_holds(w) {
            Some(holds) => holds?,
            None => return Ok(()),
        }
        let current = w.shared.membership.view.version == self.view.version && !self.view.down;
        let Some(open) = &self.open else { return Ok(()) };
        self.early = w.shared.in_flight.begin_provisional(open.footprint.clone(), &open.seen, current);
        if self.early.is_some() {
            self.begin_intent(w);
        }
        Ok(())
    }

    /// Ready when each follower has agreed or diverged; the diverged ones.
    pub(super) fn followers_state(&self) -> Poll<Vec<Member>> {
        let Some(open) = &self.open else { return Poll::Ready(Vec::new()) };
        let mut diverged = Vec::new();
        for member in self.followers() {
            let slot = &self.slots[member];
            match slot.cursor.step(open.transcript.len()) {
                Step::Agreed if !slot.lost || !slot.cursor.begun() => {}
                Step::Diverged => diverged.push(member),
                _ => return Poll::Pending,
            }
        }
        Poll::Ready(diverged)
    }

    pub(super) fn settle_followers(&mut self, w: &mut World) -> Result<bool, Trouble> {
        self.check_lead()?;
        match self.followers_state() {
            Poll::Pending => Ok(false),
            Poll::Ready(diverged) if diverged.is_empty() => {
                self.state = Foreground::Register;
                Ok(true)
            }
            Poll::Ready(diverged) => self.judge(&diverged, w),
        }
    }

    /// From here on others wait for this commit where they must.
    pub(super) fn register(&mut self, w: &mut World) -> Result<bool, Trouble> {
        if self.slots.iter().any(|slot| matches!(slot.work, Some(Work::Cancel(_)))) {
            return Ok(false);
        }
        if self.view.down {
            return Err(Trouble::NoMember);
        }
        match self.lead_holds(w) {
            Some(holds) => holds?,
            None => return Ok(false),
        }
        let stale = (self.intent.is_some() || self.decided != 0) && self.intent_view != self.view.version;
        let agreed = matches!(self.followers_state(), Poll::Ready(diverged) if diverged.is_empty()) && !stale;
        let unchecked = w.planted == Planted::NoSecondLook;
        if !agreed && !unchecked {
            return Err(Trouble::ViewChanged);
        }
        let Some(open) = &self.open else { return Err(Trouble::ViewChanged) };
        let (lead, begun) = (open.lead, open.lead_begun);
        let candidate = Candidate {
            footprint: open.footprint.clone(),
            seen: &open.seen,
            members: self.view.enabled,
            provisional: self.early,
        };
        let current = unchecked || w.shared.membership.view.version == self.view.version;
        let registration = w.shared.in_flight.register(candidate, current);
        w.trace.add(w.now, "register", [self.id, u64::from(self.view.enabled), 0], || format!("{registration:?}"));
        match registration {
            Registration::Registered { ticket, order_kept } => {
                self.early = None;
                self.ticket = Some(ticket);
                let ask = !order_kept && begun;
                self.asked = ask;
                self.slots[lead].proof = if ask { Proof::Asked } else { Proof::NotNeeded };
                if ask {
                    self.send(lead, Vec::new(), Owed::Proof, w);
                }
                self.state = Foreground::Write;
                self.write_intent(w)?;
                Ok(true)
            }
            Registration::OldView => Err(Trouble::ViewChanged),
            Registration::Waits => Ok(false),
            Registration::Overtaken => Err(retry()),
        }
    }

    /// What followers and the log get of the open transaction.
    pub(super) fn logged(&self) -> Vec<(Op, String)> {
        let entries = self.open.iter().flat_map(|open| open.transcript.iter());
        entries.filter_map(|entry| Some((Session::writes(entry)?, entry.tag.to_string()))).collect()
    }
}
