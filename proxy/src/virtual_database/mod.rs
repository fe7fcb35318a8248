//! A virtual database: its members, who leads, what is in flight, and what happens when a member fails.

pub mod analyses;
mod carrying;
pub mod counters;
pub mod cycle_breaker;
pub mod ddl_gate;
pub mod handles;
mod hearing;
pub mod heartbeat;
pub mod in_flight;
pub mod journal;
pub(crate) mod leaving;
pub mod markers;
pub mod member;
pub mod members;
pub mod membership;
mod newcomer;
pub mod notifications;
mod operate;
pub mod pace;
pub mod pick;
pub mod readable;
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

use parking_lot::{Mutex, RwLock};
use raidb_core::ids::{LeadEpoch, MemberId};
use raidb_core::log::{Membership as LoggedMembership, Position};
use raidb_core::member::Incident;
use raidb_core::sql::catalog::Catalog;

use crate::fault_points::FaultPoints;
use counters::Counters;
use handles::SessionRegistry;
use in_flight::InFlight;
use journal::Journal;
pub use leaving::FaultOutcome;
use markers::Markers;
use member::Member;
use members::Members;
use membership::{Membership, View};
use pick::Picker;
use sequences::Sequences;
use settings::Settings;

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
    /// Tables that were seen to be written by hidden statements and take no images yet: the next such statement puts
    /// the triggers there first. As many as there are tables at most.
    pub untaken: parking_lot::Mutex<std::collections::BTreeSet<(String, String)>>,
    /// Counters.
    pub counters: Counters,
    /// Analyses by text.
    pub analyses: analyses::Analyses,
    /// Messages of several statements that can be read.
    pub readable: readable::Readable,
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
    /// Cloned by each open transaction with rows of COPY, which its session cannot send again to a member that joins.
    pub copies: Arc<()>,
    /// Who listens to which channel.
    pub notifications: Arc<notifications::Notifications>,
    /// Which marker table takes new rows.
    pub markers: Markers,
    /// Connections on which sessions commit together.
    pub together: crate::together::Together,
    /// One member at a time rejoins, and none while the marker tables change turns.
    pub rejoining: tokio::sync::Mutex<()>,
    /// How much transactions are held back for a member that comes back.
    pub pace: pace::Pace,
    /// Held for reading while a member is copied, for writing while the marker tables change turns.
    pub copying: tokio::sync::RwLock<()>,
    /// Held for reading by transactions whose statements shut out readers, for writing while a member is copied: the copy
    /// reads all tables all the time, and a donor that made others wait would be taken out.
    pub shut_out: Arc<tokio::sync::RwLock<()>>,
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
    starting: Mutex<start::Waiting>,
    /// DDL commits under way, and how many there were.
    ddl: ddl_gate::DdlGate,
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
        (!self.serving()).then(|| self.starting.lock().what.clone())
    }

    /// The start goes on with something, or waits for it; said once, and again each minute.
    pub fn start_waits(&self, what: String) {
        if self.starting.lock().is_to_be_said(&what) {
            tracing::warn!(virtual_database = self.name, "not serving yet: {what}");
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

    /// The loader, for a session that must see its own uncommitted DDL.
    #[must_use]
    pub fn catalog_loader(&self) -> &start::CatalogLoader {
        &self.loader
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
