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
use tokio::time::Instant;

use super::VirtualDatabase;
use super::leaving::PROBE_MAX;
use super::notifications::Notification;
use crate::members::pg::maintenance::{Maintenance, QueryError};

/// How often it is looked whether another member leads.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Pause before a lead that does not answer is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What an old lead has still to tell is waited for so long.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A connection that listens.
struct Ear {
    /// The epoch of the lead that it is to.
    epoch: LeadEpoch,
    connection: Maintenance,
    channels: BTreeSet<String>,
}

/// What is known of what may have been missed.
#[derive(Default)]
struct Doubts {
    /// Something was heard: DO, or a function that is gone by now, may notify again.
    ever_heard: bool,
    /// Channels of which something may have been missed since the last lead was listened to.
    channels: BTreeSet<String>,
}

impl VirtualDatabase {
    /// Hears what the lead notifies, until the process ends.
    pub async fn hear_lead(self: Arc<Self>) {
        let mut ear: Option<Ear> = None;
        let mut doubts = Doubts::default();
        loop {
            let (version, wanted) = self.notifications.wanted();
            if wanted.is_empty() {
                ear = None;
                doubts.channels.clear();
                self.notifications.heard_up_to(version);
                self.notifications.changed().await;
                continue;
            }
            if let Some(lost) = ear.take_if(|ear| ear.epoch != self.view().lead_epoch) {
                self.deaf(lost, &mut doubts).await;
            }
            let worked = match &mut ear {
                Some(ear) => self.hear(ear, version, wanted, &mut doubts).await.is_ok(),
                none => {
                    *none = self.open_ear().await;
                    none.is_some()
                }
            };
            if !worked {
                if let Some(lost) = ear.take() {
                    self.deaf(lost, &mut doubts).await;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn open_ear(&self) -> Option<Ear> {
        let view = self.view();
        let lead = self.member(view.lead);
        let mut connection = Maintenance::connect(&lead.target, &lead.login, PROBE_MAX).await.ok()?;
        connection.keep_notifications();
        Some(Ear { epoch: view.lead_epoch, connection, channels: BTreeSet::new() })
    }

    /// Listens to what is wanted, then passes on what it hears, for a while.
    async fn hear(
        &self,
        ear: &mut Ear,
        version: u64,
        wanted: BTreeSet<String>,
        doubts: &mut Doubts,
    ) -> Result<(), QueryError> {
        let within = self.settings.member_timeout;
        for (verb, channel) in wanted
            .difference(&ear.channels)
            .map(|channel| ("LISTEN", channel))
            .chain(ear.channels.difference(&wanted).map(|channel| ("UNLISTEN", channel)))
        {
            match ear.connection.query(&[&format!("{verb} {}", quote_ident(channel))], within).await {
                Ok(_) => {}
                // A name that the member's encoding does not have: no function there can use it.
                Err(QueryError::Server { sqlstate, message }) if matches!(&sqlstate, b"22P05" | b"22021") => {
                    tracing::debug!(channel, "not heard: {message}");
                }
                Err(error) => return Err(error),
            }
        }
        ear.channels = wanted;
        // What was committed between the last lead and this LISTEN was heard by nobody.
        self.tell_doubts(doubts);
        doubts.channels.clear();
        self.notifications.heard_up_to(version);
        tokio::select! {
            heard = ear.connection.notification() => self.pass_on(heard?, doubts),
            () = self.notifications.changed() => {}
            () = tokio::time::sleep(LOOK_PAUSE) => {}
        }
        Ok(())
    }

    fn pass_on(&self, (pid, channel, payload): (u32, String, String), doubts: &mut Doubts) {
        doubts.ever_heard = true;
        self.notifications.place().send(pid, vec![Notification { channel, payload }]);
    }

    /// The lead has changed, or its connection was lost. What came is passed on; what did not come is not known.
    async fn deaf(&self, mut lost: Ear, doubts: &mut Doubts) {
        // Before anybody is told: who listens from now on waits for the next one.
        self.notifications.unheard();
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until
            && let Ok(Ok(heard)) = tokio::time::timeout(LOOK_PAUSE, lost.connection.notification()).await
        {
            self.pass_on(heard, doubts);
        }
        doubts.channels.append(&mut lost.channels);
        self.tell_doubts(doubts);
    }

    /// Ends the sessions that may have missed something, if there is anything that notifies.
    fn tell_doubts(&self, doubts: &Doubts) {
        let may_notify = doubts.ever_heard || self.catalog().notifying_functions || self.ddl_generation().is_none();
        if may_notify && !doubts.channels.is_empty() {
            tracing::warn!(
                virtual_database = self.name,
                "the lead was lost, and perhaps what functions have notified: sessions that listen end"
            );
            self.notifications.lost(&doubts.channels);
        }
    }
}
