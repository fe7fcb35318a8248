//! Members' answers differ for good: who is wrong, and the incident that says why.

use raidb_core::ids::MemberId;
use raidb_core::member::Reason;
use raidb_core::verdict::{Outcome, SqlState, Verdict, verdict};

use super::Session;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::UnitOutcome;
use crate::virtual_database::FaultOutcome;

impl Session {
    /// Members' answers differ for good: vote (DESIGN.md §7).
    pub(crate) async fn judge(&mut self, diverged: &[MemberId]) -> Result<(), Trouble> {
        let Some(open) = &self.open else { return Ok(()) };
        let lead = open.lead;
        let at = diverged.iter().map(|m| self.slots[usize::from(m.0)].differed_at).min().unwrap_or(0);
        let lead_tag = open.transcript.get(at).and_then(|e| e.tag.clone()).unwrap_or_default();
        let lead_outcome = Outcome::from_tag(&String::from_utf8_lossy(&lead_tag));
        let outcome_of = |session: &Session, member: MemberId| {
            let slot = &session.slots[usize::from(member.0)];
            match (&slot.difference, diverged.contains(&member) && slot.differed_at == at) {
                (Some(difference), true) => outcome(difference),
                _ => lead_outcome.clone(),
            }
        };
        let followers: Vec<(MemberId, Outcome)> =
            self.view.members().filter(|m| *m != lead).map(|m| (m, outcome_of(self, m))).collect();
        let wrong = match verdict((lead, lead_outcome.clone()), &followers) {
            Verdict::Agreement => Vec::new(),
            Verdict::Disable { wrong } | Verdict::LeadWrong { wrong, .. } => wrong,
            // A follower that keeps aborting what the lead did, with nobody else at work on its rows, has diverged.
            Verdict::Abort { wrong, .. } if !wrong.is_empty() => wrong,
            Verdict::Abort { .. } | Verdict::Unanswered { .. } => {
                diverged.iter().map(|m| (*m, Reason::Diverged)).collect()
            }
        };
        let lead_wrong = wrong.iter().any(|(m, _)| *m == lead);
        for (member, reason) in wrong {
            let mut incident = self.database.incident(member, reason);
            incident = incident.on_statement(&self.entry_text(at), None);
            let named = |m: MemberId| self.database.member(m).target.name.as_str();
            let answers: Vec<(&str, String)> = std::iter::once((named(lead), lead_outcome.to_string()))
                .chain(followers.iter().map(|(m, o)| (named(*m), self.describe(*m, o))))
                .collect();
            incident = incident.with_answers(answers);
            let database = self.database.clone();
            let outcome = self.drive(async move { database.disable(member, incident).await }).await;
            match outcome {
                FaultOutcome::Disabled | FaultOutcome::Leaving => self.view_without(member).await,
                // It stays for now, and the caller looks again: somebody else must get a turn, or nothing changes.
                FaultOutcome::Last | FaultOutcome::Alive | FaultOutcome::WritesStopped => self.next_view().await,
            }
        }
        if lead_wrong {
            return Err(SqlError::retry("the lead's answer was outvoted by the other members").into());
        }
        Ok(())
    }

    pub(crate) fn describe(&self, member: MemberId, outcome: &Outcome) -> String {
        match &self.slots[usize::from(member.0)].difference {
            Some(UnitOutcome { error: Some((_, message)), .. }) => format!("{outcome}: {message}"),
            _ => outcome.to_string(),
        }
    }

    pub(crate) fn entry_text(&self, at: usize) -> String {
        let payload = self.open.as_ref().and_then(|open| open.transcript.get(at)).map(|e| &e.payload);
        let text = match payload {
            Some(super::transaction::Payload::Simple(sql) | super::transaction::Payload::Execute { sql, .. }) => sql,
            Some(super::transaction::Payload::Extended { prepared, .. }) => &prepared.text,
            Some(super::transaction::Payload::Copied { text, .. }) => text,
            None => return String::new(),
        };
        String::from_utf8_lossy(text).into_owned()
    }
}

fn outcome(unit: &UnitOutcome) -> Outcome {
    match &unit.error {
        Some((sqlstate, _)) => {
            Outcome::SqlError { sqlstate: SqlState::parse(sqlstate).unwrap_or(SqlState::INTERNAL_ERROR) }
        }
        None => Outcome::from_tag(&String::from_utf8_lossy(unit.tag())),
    }
}
