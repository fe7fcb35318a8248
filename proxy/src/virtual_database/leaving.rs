//! How a member is taken out: somebody reports or suspects it, that is made durable, then the view is without it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use raidb_core::ids::MemberId;
use raidb_core::log::RecordKind;
use raidb_core::member::{Incident, Reason};

use super::membership::Leave;
use super::{VirtualDatabase, start};
use crate::fault_points::FaultPoint;
use crate::members::pg::connect;
use crate::members::pg::maintenance::{Maintenance, QueryError};

/// Incidents kept in memory for /status; older ones are in the proxy's own log.
const INCIDENTS_MAX: usize = 100;
/// Pause before a member that is full is asked for a connection again.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// A new lead that is alive is waited for so long to take the sequences' states.
const SEQUENCES_LIMIT: Duration = Duration::from_secs(10);
/// Pause before a new lead is asked again to take the sequences' states.
const SEQUENCES_PAUSE: Duration = Duration::from_millis(20);
/// How long a probe of a suspected member may take.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(1);

/// What came of a report that a member fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// It is out, durably; the view says so.
    Disabled,
    /// Somebody else is taking it out; the view will say so.
    Leaving,
    /// It is the last one and stays; nobody can be served until it answers again.
    Last,
    /// It lives: only a connection was lost.
    Alive,
    /// It should be out, but that cannot be made durable: writes have stopped.
    WritesStopped,
}

impl VirtualDatabase {
    /// A COMMIT to the last member was lost: nobody is served before it was made equal to the log.
    pub fn last_member_unsure(&self) {
        self.membership.set_down();
        self.sessions.wake_all();
    }

    /// Whether nobody is served before this member was made equal to the log.
    #[must_use]
    pub fn waits_for(&self, member: MemberId) -> bool {
        self.membership.waits_for(member)
    }

    /// The last enabled member answers.
    pub(super) async fn answers(self: &Arc<Self>, member: MemberId) {
        if !self.view().down || !self.waits_for(member) {
            return;
        }
        let name = self.member(member).target.name.as_str();
        // It may lack what was decided when it went: nobody is served before it has that.
        match crate::rejoin::startup::last_member_back(self, member).await {
            // DDL may be among what it was given: nobody is served by the old catalog.
            Ok(redone) => match self.read_catalog_of_last(member).await {
                Ok(()) if self.membership.up(member) => tracing::warn!(member = name, redone, "answers again"),
                Ok(()) => {}
                Err(error) => tracing::warn!(member = name, "answers, but its catalog cannot be read yet: {error}"),
            },
            Err(error) => tracing::warn!(member = name, "answers, but cannot be used yet: {error}"),
        }
        self.sessions.wake_all();
    }

    /// Takes a member out: durably, then visibly.
    pub async fn fault(self: &Arc<Self>, member: MemberId, reason: Reason, detail: String) -> FaultOutcome {
        let mut incident = self.incident(member, reason);
        incident.answers.push(raidb_core::member::Answer { member: incident.member.clone(), answer: detail });
        self.disable(member, incident).await
    }

    /// An incident of now.
    #[must_use]
    pub fn incident(&self, member: MemberId, reason: Reason) -> Incident {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Incident::new(unix_ms, self.member(member).target.name.clone(), reason, self.journal.settled())
    }

    /// Takes a member out for the reason that the incident tells.
    ///
    /// # Cancel safety
    /// The work goes on in a task of its own when the caller is dropped: a claimed member must leave.
    pub async fn disable(self: &Arc<Self>, member: MemberId, incident: Incident) -> FaultOutcome {
        match self.membership.start_leaving(member) {
            Leave::Already => FaultOutcome::Leaving,
            Leave::Last => {
                let first = !self.view().down;
                if first && !matches!(incident.reason, Reason::Diverged) {
                    tracing::error!(member = incident.member, reason = %incident.reason, "the last member does not answer; waiting for it");
                    self.membership.set_down();
                    self.sessions.wake_all();
                }
                FaultOutcome::Last
            }
            Leave::Claimed => {
                let this = self.clone();
                let work = tokio::spawn(async move { this.disable_claimed(member, incident).await });
                work.await.unwrap_or(FaultOutcome::WritesStopped)
            }
        }
    }

    async fn disable_claimed(self: Arc<Self>, member: MemberId, incident: Incident) -> FaultOutcome {
        let reason = incident.reason;
        let Incident { member: name, statement, answers, what_to_do, .. } = &incident;
        if reason == Reason::ByOperator {
            tracing::warn!(member = name, todo = what_to_do, "member disabled by an operator");
        } else {
            tracing::error!(member = name, %reason, statement, ?answers, todo = what_to_do, "member disabled");
        }
        self.faults.reach(FaultPoint::LeaveBeforeRecord).await;
        let settled = self.journal.settled();
        let record = start::disabled_record(&incident, settled, self.next_epoch());
        let durable = self.journal.note(RecordKind::MemberChange, record.encode()).await;
        if let Err(error) = &durable {
            tracing::error!("cannot record that a member is disabled, writes stop: {error}");
            self.writes_stopped.store(true, Ordering::Release);
        }
        self.keep_incident(incident);
        self.faults.reach(FaultPoint::LeaveRecorded).await;
        self.tell_epoch(member).await;
        self.prepare_next_lead(member).await;
        self.faults.reach(FaultPoint::LeaveBeforeView).await;
        // Counted like a transaction of the old lead: nobody uses the new one before it has the sequences' states.
        let held = (self.view().lead == member).then(|| self.enter());
        let leave = || self.membership.finish_leaving(member, reason, settled);
        let lead_changed = self.in_flight.member_gone(member, leave);
        self.sessions.wake_all();
        if lead_changed {
            self.counters.lead_changes.add();
            let view = self.view();
            // A lead that leaves may live, and has answered up to this moment; from now on its answers do not count. The next
            // one is used by nobody as long as it lacks a state: it would hand out values twice.
            let limit = tokio::time::Instant::now() + SEQUENCES_LIMIT;
            while self.sequences.missing_on(view.lead) && self.view().lead == view.lead && !self.view().down {
                if tokio::time::Instant::now() >= limit {
                    let name = self.member(view.lead).target.name.as_str();
                    tracing::error!(
                        lead = name,
                        "the new lead cannot be given the sequences' states: it may hand out values twice"
                    );
                    break;
                }
                self.sequences_to_lead(view.lead).await;
                if self.sequences.missing_on(view.lead) {
                    tokio::time::sleep(SEQUENCES_PAUSE).await;
                }
            }
            tracing::warn!(lead = self.member(view.lead).target.name, epoch = view.lead_epoch.0, "new lead");
        }
        if let Some(view) = held {
            self.leave(view.lead_epoch);
        }
        if durable.is_ok() { FaultOutcome::Disabled } else { FaultOutcome::WritesStopped }
    }

    /// Counts it, and shows it in `/status`.
    pub(crate) fn keep_incident(&self, incident: Incident) {
        self.counters.incidents.add();
        if let Some(member) = self.members.iter().find(|member| member.target.name == incident.member) {
            member.incidents.add();
        }
        let mut incidents = self.incidents.lock();
        if incidents.len() == INCIDENTS_MAX {
            incidents.pop_front();
        }
        incidents.push_back(incident);
    }

    /// Looks whether a member lives to which a session has lost its connection, and takes it out if not.
    pub async fn suspect(self: &Arc<Self>, member: MemberId, detail: String) -> FaultOutcome {
        let _one_at_a_time = self.member(member).probing.lock().await;
        if !self.view().is_enabled(member) {
            return FaultOutcome::Disabled;
        }
        let within = PROBE_MAX.min(self.settings.member_timeout);
        let target = self.member(member);
        let alive = match Maintenance::connect(&target.target, &target.login, within).await {
            Ok(mut connection) => connection.query(&["SELECT 1"], within).await.map(|_| ()),
            Err(error) => Err(QueryError::Connect(error)),
        };
        match alive {
            Ok(()) => FaultOutcome::Alive,
            // It lives, and has no connection to spare.
            Err(QueryError::Connect(connect::ConnectError::Server { sqlstate, .. })) if &sqlstate == b"53300" => {
                tokio::time::sleep(FULL_PAUSE).await;
                FaultOutcome::Alive
            }
            Err(QueryError::TimedOut(_)) => self.fault(member, Reason::TimedOut, detail).await,
            Err(error) => self.fault(member, Reason::LostConnection, format!("{detail}; {error}")).await,
        }
    }
}
