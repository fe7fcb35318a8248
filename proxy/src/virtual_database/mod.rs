//! A virtual database: its members, who leads, what is in flight, and what happens when a member fails.

pub mod analyses;
pub mod counters;
pub mod cycle_breaker;
pub mod handles;
pub mod heartbeat;
pub mod in_flight;
pub mod journal;
pub mod markers;
pub mod member;
pub mod members;
pub mod membership;
mod newcomer;
mod operate;
pub mod pick;
mod retention;
pub mod sequences;
pub mod settings;
pub mod start;
pub mod status;
pub mod tokens;
mod upkeep;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use raidb_core::ids::{LeadEpoch, MemberId};
use raidb_core::log::{Membership as LoggedMembership, Position, RecordKind};
use raidb_core::member::{Incident, Reason};
use raidb_core::sql::catalog::Catalog;

use crate::fault_points::{FaultPoint, FaultPoints};
use crate::members::pg::connect;
use crate::members::pg::maintenance::{Maintenance, QueryError};
use counters::Counters;
use handles::SessionRegistry;
use in_flight::InFlight;
use journal::Journal;
use markers::Markers;
use member::Member;
use members::Members;
use membership::{Leave, Membership, View};
use pick::Picker;
use sequences::Sequences;
use settings::Settings;

/// Incidents kept in memory for /status; older ones are in the proxy's own log.
const INCIDENTS_MAX: usize = 100;
/// Pause before a member that is full is asked for a connection again.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// How long a probe of a suspected member may take.
const PROBE_MAX: Duration = Duration::from_secs(1);

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

/// See the module.
pub struct VirtualDatabase {
    /// The name that clients connect to.
    pub name: String,
    /// What the configuration says.
    pub settings: Settings,
    /// Members by [`MemberId`].
    pub members: Members,
    /// Where a test makes something fail.
    pub faults: FaultPoints,
    /// A member was added.
    pub added: tokio::sync::Notify,
    /// One member at a time is added.
    adding: tokio::sync::Mutex<()>,
    /// What the log said of members when it was opened.
    logged: LoggedMembership,
    /// This start has named all members in the log already: it has adopted them.
    pub(crate) named: AtomicBool,
    /// Commits in flight.
    pub in_flight: InFlight,
    /// Sequences to be carried to followers.
    pub sequences: Sequences,
    /// Counters.
    pub counters: Counters,
    /// Analyses by text.
    pub analyses: analyses::Analyses,
    /// Sessions of the whole process.
    pub sessions: Arc<SessionRegistry>,
    picker: Picker,
    membership: Membership,
    catalog: RwLock<Arc<Catalog>>,
    reported: RwLock<Arc<crate::members::pg::connect::Reported>>,
    defaults: RwLock<settings::MemberDefaults>,
    loader: start::CatalogLoader,
    /// The recovery log.
    pub journal: Journal,
    /// Transactions that clients have named.
    pub tokens: tokens::Tokens,
    /// Which marker table takes new rows.
    pub markers: Markers,
    /// Connections on which sessions commit together.
    pub together: crate::together::Together,
    /// One member at a time rejoins, and none while the marker tables change turns.
    pub rejoining: tokio::sync::Mutex<()>,
    /// Held for reading while a member is copied, for writing while the marker tables change turns.
    pub copying: tokio::sync::RwLock<()>,
    /// Epoch of the membership: grows with every durable change.
    epoch: std::sync::atomic::AtomicU64,
    /// What each member says that it holds at least; `None`: not known.
    floors: Mutex<Vec<Option<Position>>>,
    incidents: Mutex<VecDeque<Incident>>,
    open_sessions: AtomicUsize,
    writes_stopped: AtomicBool,
    carrying: tokio::sync::Mutex<()>,
    serving: AtomicBool,
    /// Until then: what the start waits for.
    starting: Mutex<String>,
    /// DDL commits under way, and how many there were: see [`VirtualDatabase::ddl_generation`].
    ddl_under_way: AtomicUsize,
    ddl_ended: std::sync::atomic::AtomicU64,
}

impl std::fmt::Debug for VirtualDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "virtual database {}", self.name)
    }
}

impl VirtualDatabase {
    /// The present view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.membership.view()
    }

    /// Its version, cheaply.
    #[must_use]
    pub fn view_version(&self) -> u64 {
        self.membership.version()
    }

    /// Whether members were looked at and the catalog is known.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }

    /// What the start waits for, as long as nothing is served.
    #[must_use]
    pub fn starting(&self) -> Option<String> {
        (!self.serving()).then(|| self.starting.lock().clone())
    }

    /// The start goes on with something, or waits for it; said once.
    pub fn start_waits(&self, what: String) {
        let mut starting = self.starting.lock();
        if *starting != what {
            tracing::warn!(virtual_database = self.name, "not serving yet: {what}");
            *starting = what;
        }
    }

    /// Clients may come.
    pub fn start_serving(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// A member.
    #[must_use]
    pub fn member(&self, id: MemberId) -> &Member {
        &self.members[usize::from(id.0)]
    }

    /// The lead's catalog as last read.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    /// A member for a balanced read; `last`: the one that the session read from before.
    #[must_use]
    pub fn pick(&self, view: &View, last: Option<MemberId>) -> MemberId {
        self.picker.pick(self.settings.pick, view, &self.members, last)
    }

    /// Whether a member could not be taken out durably: then nothing may be acknowledged any more.
    #[must_use]
    pub fn writes_stopped(&self) -> bool {
        self.writes_stopped.load(Ordering::Acquire)
    }

    /// Counts a transaction that uses the lead. See [`membership`].
    #[must_use]
    pub fn enter(&self) -> Arc<View> {
        self.membership.enter()
    }

    /// It ended.
    pub fn leave(&self, epoch: LeadEpoch) {
        if self.membership.leave(epoch) {
            self.sessions.wake_all();
        }
    }

    /// It has moved to the present epoch.
    #[must_use]
    pub fn migrate(&self, epoch: LeadEpoch) -> Arc<View> {
        let (view, wake) = self.membership.migrate(epoch);
        if wake {
            self.sessions.wake_all();
        }
        view
    }

    /// Whether somebody still completes what an older lead answered.
    #[must_use]
    pub fn older_epoch_active(&self, epoch: LeadEpoch) -> bool {
        self.membership.older_active(epoch)
    }

    /// A COMMIT to the last member was lost: nobody is served before it was made equal to the log.
    pub fn last_member_unsure(&self) {
        self.membership.set_down(true);
        self.sessions.wake_all();
    }

    /// The last enabled member answers.
    async fn answers(self: &Arc<Self>, member: MemberId) {
        let view = self.view();
        if !view.down || view.lead != member {
            return;
        }
        // It may lack what was decided when it went: nobody is served before it has that.
        match crate::rejoin::startup::last_member_back(self, member).await {
            Ok(redone) => {
                tracing::warn!(member = self.member(member).target.name, redone, "answers again");
                self.membership.set_down(false);
                self.sessions.wake_all();
            }
            Err(error) => {
                tracing::warn!(member = self.member(member).target.name, "answers, but cannot be used yet: {error}");
            }
        }
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
        Incident::new(unix_ms, self.member(member).target.name.clone(), reason, Position::START)
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
                    self.membership.set_down(true);
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
        tracing::error!(
            member = incident.member, %reason, statement = incident.statement, answers = ?incident.answers,
            todo = incident.what_to_do, "member disabled"
        );
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
            // A lead that leaves may live, and has answered up to this moment; from now on its answers do not count.
            self.sequences_to_lead(view.lead).await;
            tracing::warn!(lead = self.member(view.lead).target.name, epoch = view.lead_epoch.0, "new lead");
        }
        if let Some(view) = held {
            self.leave(view.lead_epoch);
        }
        if durable.is_ok() { FaultOutcome::Disabled } else { FaultOutcome::WritesStopped }
    }

    /// Shows it in `/status`.
    pub(crate) fn keep_incident(&self, incident: Incident) {
        let mut incidents = self.incidents.lock();
        if incidents.len() == INCIDENTS_MAX {
            incidents.pop_front();
        }
        incidents.push_back(incident);
    }

    /// If the lead leaves, the next one gets the sequences' states before anybody may use it.
    async fn prepare_next_lead(&self, leaving: MemberId) {
        let view = self.view();
        if view.lead != leaving {
            return;
        }
        for next in view.followers() {
            self.sequences_to_lead(next).await;
        }
    }

    /// A member that leads, or may lead next, gets the sequences' states.
    async fn sequences_to_lead(&self, next: MemberId) {
        if self.sequences.missing_on(next) {
            let member = self.member(next);
            let _one_at_a_time = self.carrying.lock().await;
            if let Ok(mut connection) = Maintenance::connect(&member.target, &member.login, PROBE_MAX).await {
                self.sequences.carry(next, &mut connection, PROBE_MAX).await;
            }
        }
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

    /// Number of DDL transactions that have ended, or `None` while one commits and the catalog is read again. An
    /// analysis holds only if this was the same before it was made and behind the lead's answer: the statement's own
    /// lock keeps DDL out in between.
    #[must_use]
    pub fn ddl_generation(&self) -> Option<u64> {
        let ended = self.ddl_ended.load(Ordering::SeqCst);
        (self.ddl_under_way.load(Ordering::SeqCst) == 0).then_some(ended)
    }

    /// Number of DDL transactions that have ended.
    #[must_use]
    pub fn ddl_ended(&self) -> u64 {
        self.ddl_ended.load(Ordering::SeqCst)
    }

    /// A DDL transaction is about to be committed.
    pub fn start_ddl(&self) {
        self.ddl_under_way.fetch_add(1, Ordering::SeqCst);
    }

    /// It has committed (or not), and the catalog was read again.
    pub fn end_ddl(&self) {
        self.ddl_ended.fetch_add(1, Ordering::SeqCst);
        self.ddl_under_way.fetch_sub(1, Ordering::SeqCst);
        self.sessions.wake_all();
    }

    /// Reads the catalog again, from the lead. Called behind DDL, before it is acknowledged.
    pub async fn reload_catalog(&self) {
        let member = self.member(self.view().lead);
        match self.loader.load(&member.target, &member.login, self.settings.member_timeout).await {
            Ok(catalog) => *self.catalog.write() = Arc::new(catalog),
            Err(error) => tracing::error!("catalog not read: {error}"),
        }
    }

    /// The loader, for a session that must see its own uncommitted DDL.
    #[must_use]
    pub fn catalog_loader(&self) -> &start::CatalogLoader {
        &self.loader
    }

    /// Carries sequences to followers, until the process ends.
    pub async fn carry_sequences(self: Arc<Self>) {
        let mut connections: Vec<Option<Maintenance>> = Vec::new();
        loop {
            self.sequences.changed().await;
            tokio::time::sleep(sequences::CARRY_INTERVAL).await;
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
        if !refreshed {
            *slot = None;
        }
        refreshed
    }

    /// A session opens (1) or closes (-1).
    pub fn count_session(&self, opens: bool) {
        if opens {
            self.open_sessions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.open_sessions.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
