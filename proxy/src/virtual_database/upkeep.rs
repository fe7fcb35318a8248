//! What rejoin and the marker tables need of a virtual database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use raidb_core::ids::MemberId;
use raidb_core::log::{MemberChange, Position, RecordKind};
use raidb_core::member::{MemberState, Reason};

use super::in_flight::Ticket;
use super::leaving::PROBE_MAX;
use super::{FaultOutcome, VirtualDatabase};
use crate::fault_points::FaultPoint;
use crate::members::pg::maintenance::Maintenance;
use crate::members::pg::target::Login;
use crate::rejoin::{RejoinError, tables};

impl VirtualDatabase {
    /// Logins that sessions use on a member; the first is the member's own.
    #[must_use]
    pub fn logins(&self, member: MemberId) -> Vec<Login> {
        let mapped = self.settings.users.iter().filter_map(|user| {
            let password = user.member_password.as_ref().map(|p| p.expose().to_owned());
            Some(Login { user: user.member_user.clone()?, password })
        });
        std::iter::once(self.member(member).login.clone()).chain(mapped).collect()
    }

    /// Roles of those logins.
    #[must_use]
    pub fn roles(&self, member: MemberId) -> Vec<String> {
        self.logins(member).into_iter().map(|login| login.user).collect()
    }

    /// The epoch of the membership.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The epoch is at least this.
    pub fn raise_epoch(&self, seen: u64) {
        self.epoch.fetch_max(seen, Ordering::SeqCst);
    }

    /// The epoch of the next change.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Writes the epoch to every enabled member but one, before anybody is told of a commit without that one: if the log is
    /// lost, the others know that it is not current. Who does not answer is about to leave too. Only what is durable is told:
    /// a member of a newer epoch than the log would make the log look like an old copy.
    pub(super) async fn tell_epoch(&self, leaving: MemberId) {
        let epoch = self.journal.epoch();
        let telling = self.view().members().filter(|m| *m != leaving).map(|member| async move {
            let at = self.member(member);
            let work = async {
                let mut connection = Maintenance::connect(&at.target, &at.login, PROBE_MAX).await.ok()?;
                tables::set_epoch(&mut connection, epoch, PROBE_MAX).await.ok()
            };
            if work.await.is_none() {
                tracing::warn!(member = at.target.name, epoch, "the member could not be told the new epoch");
            }
            self.faults.reach(FaultPoint::EpochTold).await;
        });
        futures::future::join_all(telling).await;
    }

    /// The log has failed: nothing may be acknowledged any more.
    pub fn stop_writes(&self, why: &str) {
        tracing::error!(virtual_database = self.name, "writes stop: {why}");
        self.writes_stopped.store(true, Ordering::Release);
        // Whoever waits for somebody's withdrawal waits in vain.
        self.sessions.wake_all();
    }

    /// A member says that it holds everything up to `floor`.
    pub fn floor_raised(&self, member: MemberId, floor: Position) {
        if let Some(known) = self.floors.lock().get_mut(usize::from(member.0)) {
            *known = Some(floor);
        }
    }

    /// A disabled member whose contents are known is brought up to date from now on. False: it is no such member.
    #[must_use]
    pub fn start_rejoin(&self, member: MemberId) -> bool {
        self.membership.start_rejoin(member)
    }

    /// Why a member is disabled, if it is.
    #[must_use]
    pub fn reason_out(&self, member: MemberId) -> Option<Reason> {
        match self.membership.states().get(usize::from(member.0)) {
            Some(MemberState::Disabled { reason, .. }) => Some(*reason),
            _ => None,
        }
    }

    /// The log was applied up to here on a member that rejoins.
    pub fn rejoin_progress(&self, member: MemberId, position: Position) {
        self.membership.rejoin_progress(member, position);
    }

    /// It could not be brought up to date: it is disabled as before, or, if it cannot be brought back from the log at all, until
    /// it is rebuilt.
    pub async fn rejoin_failed(self: &Arc<Self>, member: MemberId, error: &RejoinError) {
        let detail = format!("rejoin: {error}");
        if self.view().is_enabled(member) {
            let reason = error.needs_rebuild().unwrap_or(Reason::LostConnection);
            if self.fault(member, reason, detail).await == FaultOutcome::Last {
                // Nobody uses it before it holds everything, and nobody brings it that any more: as if it had not answered.
                self.last_member_unsure();
            }
            return;
        }
        self.in_flight.member_gone(member, || ());
        self.membership.rejoin_failed(member, error.needs_rebuild());
        if let Some(reason) = error.needs_rebuild() {
            let mut incident = self.incident(member, reason);
            incident.position = self.known_floors().get(usize::from(member.0)).copied().flatten().unwrap_or_default();
            incident.answers.push(raidb_core::member::Answer { member: incident.member.clone(), answer: detail });
            tracing::error!(member = incident.member, "the member cannot be brought back from the log: {error}");
            let record = super::start::disabled_record(&incident, Position::START, self.next_epoch());
            if let Err(error) = self.journal.note(RecordKind::MemberChange, record.encode()).await {
                tracing::error!("cannot record that a member needs a rebuild: {error}");
            }
            self.keep_incident(incident);
        }
    }

    /// Makes durable that a member is enabled again.
    ///
    /// # Errors
    /// The log's.
    pub async fn record_enabled(&self, member: MemberId) -> Result<(), RejoinError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let change = MemberChange {
            member: self.member(member).target.name.clone(),
            change: MemberState::Enabled,
            epoch: self.next_epoch(),
            when_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            incident: None,
        };
        self.journal.note(RecordKind::MemberChange, change.encode()).await?;
        self.tell_epoch(member).await;
        Ok(())
    }

    /// A member that has joined holds everything.
    pub fn caught_up(&self, member: MemberId) {
        self.membership.caught_up(member);
        self.in_flight.caught_up(member);
        // If it leads by now, everybody has waited for this.
        self.sessions.wake_all();
    }

    /// The member is part of the view from now on. Returns the commits in flight whose sessions do not commit on it.
    pub fn join(&self, member: MemberId) -> Vec<Arc<Ticket>> {
        let others = self.in_flight.join(member, || self.membership.join(member));
        self.sequences.again();
        self.sessions.wake_all();
        others
    }
}
