//! What the proxy says about itself: one value, from which `/status`, `/metrics`, `/health` and
//! `raidb status` are made, so that they cannot disagree.

use std::path::PathBuf;

use raidb_core::member::Incident;
use serde::{Deserialize, Serialize};

/// Whoever knows the state of the proxy.
///
/// # To ensure correctness
/// `status` is called for every scrape: it must not wait for a lock that a statement holds, nor for a member.
pub trait StatusSource: Send + Sync {
    /// The state at this moment.
    fn status(&self) -> Status;
}

/// What an operator may ask of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberAction {
    /// Take it out.
    Disable,
    /// Bring it back from the recovery log.
    Enable,
    /// Make it a member, and build it.
    Add(NewMember),
    /// Make it anew.
    Rebuild {
        /// Name of the member to copy from.
        from: Option<String>,
    },
}

/// A member that is to be added, as its entry in the configuration says it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMember {
    /// How to reach it; may hold a password.
    pub url: String,
    /// Share of the reads under `pick = "weighted"`.
    pub weight: u32,
    /// Name of the member to copy from.
    #[serde(default)]
    pub from: Option<String>,
    /// Directory of the configuration, which relative paths in the URL start from.
    pub base_dir: PathBuf,
}

impl std::fmt::Debug for NewMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NewMember { weight, from, base_dir, .. } = self;
        write!(f, "NewMember {{ weight: {weight}, from: {from:?}, base_dir: {base_dir:?}, .. }}")
    }
}

/// Whoever carries out what operators ask.
pub trait Operations: Send + Sync {
    /// Carries it out and says what was done, or why not. Resolves when it is done.
    fn act(
        &self,
        database: String,
        member: String,
        action: MemberAction,
    ) -> futures::future::BoxFuture<'static, Result<String, String>>;
}

/// The state of the proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the proxy.
    pub version: String,
    /// Client connections at present, over all virtual databases.
    pub clients: u64,
    /// In the order of the configuration.
    pub virtual_databases: Vec<VirtualDatabaseStatus>,
}

/// The state of one virtual database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VirtualDatabaseStatus {
    /// Its name.
    pub name: String,
    /// Its RAIDb name, for instance `raidb-1`.
    pub level: String,
    /// Name of the lead; `None` while no member is enabled.
    pub lead: Option<String>,
    /// What the start waits for or is doing; `None` once clients are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting: Option<String>,
    /// Epoch of the lead: 1 at each start, grows by one at every change of lead.
    pub epoch: u64,
    /// Sessions at present.
    pub sessions: u64,
    /// In the order of the configuration.
    pub members: Vec<MemberStatus>,
    /// Its recovery log.
    #[serde(default)]
    pub log: LogStatus,
    /// The latest incidents, newest first; their source limits their number.
    pub incidents: Vec<Incident>,
    /// Since the start of the proxy.
    pub counters: Counters,
}

/// How much of the recovery log there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogStatus {
    /// Bytes of its segments.
    pub bytes: u64,
    /// `log.size_max`.
    pub size_max: u64,
    /// It is larger than that, and could not be shortened yet.
    pub over_size: bool,
    /// Position of its first record.
    pub first: u64,
    /// Position of its last record.
    pub last: u64,
}

/// The state of one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Name of its state: `enabled`, `draining`, `disabled`, `rejoining`, `rebuilding`.
    pub state: String,
    /// Why it is disabled, for instance `lost_connection`; `None` in other states.
    pub reason: Option<String>,
    /// How far a rejoin or rebuild is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// It holds everything up to this position; `None`: not known. Of an enabled member it is raised now and then only.
    #[serde(default)]
    pub floor: Option<u64>,
    /// Positions of the log that it has not been brought to yet; `None`: it needs a rebuild.
    #[serde(default)]
    pub behind: Option<u64>,
    /// `None` unless it is enabled.
    pub role: Option<Role>,
    /// Share of the reads under `pick = "weighted"`.
    pub weight: u16,
    /// Connections to it at present.
    pub connections: u64,
    /// Statements sent to it and not answered yet.
    pub pending: u64,
    /// How long it takes to answer, in milliseconds: an exponentially weighted moving average.
    pub latency_ms: f64,
    /// Incidents since the start of the proxy.
    pub incidents: u64,
}

/// What an enabled member is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It executes a transaction's statements first.
    Lead,
    /// It follows.
    Follower,
}

/// What was counted since the start of the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Commits of writing transactions that clients were told of.
    pub commits: u64,
    /// Transactions that ended with 40xxx.
    pub transactions_aborted: u64,
    /// Statements that only read.
    pub reads: u64,
    /// Statements that wrote.
    pub writes: u64,
    /// Single INSERTs that were committed in one transaction with those of other sessions.
    pub combined: u64,
    /// Transcripts replayed to a follower because its answer did not match.
    pub replays: u64,
    /// Members disabled, left behind or repaired.
    pub incidents: u64,
    /// Cycles of waits across members that the last resort broke. Anything but 0 is a bug.
    pub cycle_breaker_fired: u64,
    /// Changes of lead.
    pub lead_changes: u64,
    /// Statements run under `unsafe_statement = "warn"`, not proven to do the same on every member.
    pub unproven_statements: u64,
}

impl VirtualDatabaseStatus {
    /// Whether a client can work: the start is over, and some member is enabled.
    pub fn is_ready(&self) -> bool {
        self.starting.is_none() && self.members.iter().any(MemberStatus::is_enabled)
    }
}

impl MemberStatus {
    /// Whether the member takes part in everything.
    pub fn is_enabled(&self) -> bool {
        self.state == "enabled"
    }
}
