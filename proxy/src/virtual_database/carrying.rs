//! Carries the states of sequences to members ([`super::sequences`] says which): to followers all the time, to the next
//! lead before anybody may use it, to a member that comes back before it is part of the view.

use std::sync::Arc;

use raidb_core::ids::MemberId;

use super::VirtualDatabase;
use super::leaving::PROBE_MAX;
use super::sequences::{CARRY_INTERVAL, Refreshed, SequenceState};
use crate::members::pg::maintenance::Maintenance;
use crate::rejoin::RejoinError;

/// All sequences: the name of each ([`super::sequences`]) and a query of its state.
const SEQUENCES_SQL: &str = "WITH s AS (SELECT pg_catalog.concat('\"', pg_catalog.replace(n.nspname, '\"', '\"\"'), '\".\"', \
       pg_catalog.replace(c.relname, '\"', '\"\"'), '\"') AS name, q.seqincrement > 0 AS upward FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_sequence q ON q.seqrelid = c.oid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't') \
     SELECT pg_catalog.format('SELECT %L, last_value, is_called, %L::boolean FROM %s', name, upward, name) FROM s";

impl VirtualDatabase {
    /// Carries sequences to followers, until the process ends.
    pub async fn carry_sequences(self: Arc<Self>) {
        let mut connections: Vec<Option<Maintenance>> = Vec::new();
        loop {
            self.sequences.changed().await;
            tokio::time::sleep(CARRY_INTERVAL).await;
            let view = self.view();
            connections.resize_with(self.members.len(), || None);
            let mut complete = self.refresh_sequences(view.lead, &mut connections[usize::from(view.lead.0)]).await;
            for follower in view.followers() {
                let member = self.member(follower);
                let slot = &mut connections[usize::from(follower.0)];
                let _one_at_a_time = self.carrying.lock().await;
                if slot.is_none() {
                    *slot = Maintenance::connect(&member.target, &member.login, PROBE_MAX).await.ok();
                }
                let carried = match slot {
                    Some(connection) => self.sequences.carry(follower, connection, self.settings.member_timeout).await,
                    None => false,
                };
                if !carried {
                    *slot = None;
                    complete = false;
                }
            }
            if !complete {
                self.sequences.again();
            }
        }
    }

    async fn refresh_sequences(&self, lead: MemberId, slot: &mut Option<Maintenance>) -> bool {
        let member = self.member(lead);
        if slot.is_none() {
            *slot = Maintenance::connect(&member.target, &member.login, PROBE_MAX).await.ok();
        }
        let Some(connection) = slot else { return false };
        let refreshed = self.sequences.refresh(lead, connection, self.settings.member_timeout).await;
        if refreshed == Refreshed::Broken {
            *slot = None;
        }
        refreshed == Refreshed::Whole
    }

    /// If the lead leaves, the next one gets the sequences' states before anybody may use it.
    pub(super) async fn prepare_next_lead(&self, leaving: MemberId) {
        let view = self.view();
        if view.lead != leaving {
            return;
        }
        for next in view.followers() {
            self.sequences_to_lead(next).await;
        }
    }

    /// A member that leads, or may lead next, gets the sequences' states.
    pub(super) async fn sequences_to_lead(&self, next: MemberId) {
        if self.sequences.missing_on(next) {
            let member = self.member(next);
            let _one_at_a_time = self.carrying.lock().await;
            if let Ok(mut connection) = Maintenance::connect(&member.target, &member.login, PROBE_MAX).await {
                self.sequences.carry(next, &mut connection, PROBE_MAX).await;
            }
        }
    }

    /// Gives a member the states of all sequences of the lead, and has the rest carried later.
    ///
    /// # Errors
    /// [`RejoinError`].
    pub async fn sequences_to(&self, member: MemberId, connection: &mut Maintenance) -> Result<(), RejoinError> {
        let within = self.settings.member_timeout;
        let lead_id = self.view().lead;
        let lead = self.member(lead_id);
        let mut source = Maintenance::connect(&lead.target, &lead.login, within).await?;
        let queries = source.query(&[SEQUENCES_SQL], within).await?;
        let queries: Vec<String> = queries.into_iter().flatten().filter_map(|row| row.into_iter().next()?).collect();
        for chunk in queries.chunks(100) {
            for row in source.query(&[&chunk.join(";")], within).await?.into_iter().flatten() {
                if let [Some(name), state @ ..] = row.as_slice()
                    && let Some(state) = SequenceState::of(state)
                {
                    self.sequences.note(name, state, false, lead_id);
                }
            }
        }
        let _one_at_a_time = self.carrying.lock().await;
        self.sequences.missing_again(member);
        if self.sequences.carry(member, connection, within).await { Ok(()) } else { Err(RejoinError::TimedOut(within)) }
    }
}
