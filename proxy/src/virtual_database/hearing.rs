//! What functions, triggers and rules notify: they run on the lead, and the sessions that listen are here.
//!
//! NOTIFY and `pg_notify` as statements never reach a member (see [`super::notifications`]). Those inside functions do, on the lead, and on
//! nobody else that is listened to: so one connection to the lead listens for all sessions, as long as one of them does, and what it
//! hears goes to them in the order in which the lead has committed. A LISTEN is answered when this connection listens too.
//!
//! **A lead that is lost takes with it what it has not told yet.** If the catalog has something that notifies, the sessions that listen
//! end then (57P01), as with a PostgreSQL that crashes: who listens again looks at what there is first. Otherwise nobody notices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use raidb_core::ids::LeadEpoch;
use raidb_core::sql::quote_ident;

use super::VirtualDatabase;
use super::leaving::PROBE_MAX;
use super::notifications::Notification;
use crate::members::pg::maintenance::{Maintenance, QueryError};

/// How often it is looked whether another member leads.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Pause before a lead that does not answer is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A connection that listens.
struct Ear {
    /// The epoch of the lead that it is to.
    epoch: LeadEpoch,
    connection: Maintenance,
    channels: BTreeSet<String>,
}

impl VirtualDatabase {
    /// Hears what the lead notifies, until the process ends.
    pub async fn hear_lead(self: Arc<Self>) {
        let mut ear: Option<Ear> = None;
        loop {
            let (version, wanted) = self.notifications.wanted();
            if wanted.is_empty() {
                ear = None;
                self.notifications.heard_up_to(version);
                self.notifications.changed().await;
                continue;
            }
            if let Some(lost) = ear.take_if(|ear| ear.epoch != self.view().lead_epoch) {
                self.deaf(lost).await;
            }
            let worked = match &mut ear {
                Some(ear) => self.hear(ear, version, wanted).await.is_ok(),
                none => {
                    *none = self.open_ear().await;
                    none.is_some()
                }
            };
            if !worked {
                if let Some(lost) = ear.take() {
                    self.deaf(lost).await;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn open_ear(&self) -> Option<Ear> {
        let view = self.view();
        let lead = self.member(view.lead);
        let connection = Maintenance::connect(&lead.target, &lead.login, PROBE_MAX).await.ok()?;
        Some(Ear { epoch: view.lead_epoch, connection, channels: BTreeSet::new() })
    }

    /// Listens to what is wanted, then passes on what it hears, for a while.
    async fn hear(&self, ear: &mut Ear, version: u64, wanted: BTreeSet<String>) -> Result<(), QueryError> {
        let within = self.settings.member_timeout;
        for (verb, channel) in wanted
            .difference(&ear.channels)
            .map(|channel| ("LISTEN", channel))
            .chain(ear.channels.difference(&wanted).map(|channel| ("UNLISTEN", channel)))
        {
            match ear.connection.query(&[&format!("{verb} {}", quote_ident(channel))], within).await {
                Ok(_) => {}
                // A name that the member's encoding does not have: no function there can use it.
                Err(QueryError::Server { message, .. }) => tracing::debug!(channel, "not heard: {message}"),
                Err(error) => return Err(error),
            }
        }
        ear.channels = wanted;
        self.notifications.heard_up_to(version);
        tokio::select! {
            heard = ear.connection.notification() => {
                let (pid, channel, payload) = heard?;
                self.notifications.place().send(pid, vec![Notification { channel, payload }]);
            }
            () = self.notifications.changed() => {}
            () = tokio::time::sleep(LOOK_PAUSE) => {}
        }
        Ok(())
    }

    /// The lead has changed, or its connection was lost. What came is passed on; what did not come is not known.
    async fn deaf(&self, mut lost: Ear) {
        while let Ok(Ok((pid, channel, payload))) =
            tokio::time::timeout(LOOK_PAUSE, lost.connection.notification()).await
        {
            self.notifications.place().send(pid, vec![Notification { channel, payload }]);
        }
        if self.catalog().notifying_functions {
            tracing::warn!(
                virtual_database = self.name,
                "the lead was lost, and perhaps what functions have notified: sessions that listen end"
            );
            self.notifications.lost(&lost.channels);
        }
    }
}
