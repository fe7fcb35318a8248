//! From configuration, log and members to a virtual database that serves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use raidb_core::config;
use raidb_core::ids::MemberId;
use raidb_core::log::{MemberChange, Membership as LoggedMembership, Position};
use raidb_core::member::{Incident, MemberState, Reason};
use raidb_core::sql::analysis::Isolation;
use raidb_core::sql::catalog::{Builtins, Catalog};
use raidb_core::sql::catalog_query::{BUILTIN_SQL, CATALOG_SQL, parse, parse_builtins};

use super::VirtualDatabase;
use super::analyses::Analyses;
use super::handles::SessionRegistry;
use super::journal::Journal;
use super::member::Member;
use super::members::Members;
use super::membership::Membership;
use super::settings::{MemberDefaults, Settings};
use crate::fault_points::{FaultPoint, FaultPoints};
use crate::members::pg::connect::{self, Reported};
use crate::members::pg::maintenance::{Maintenance, QueryError, TextRows};
use crate::members::pg::target::{Address, Login, MemberTls, Target};
use crate::recovery_log::RecoveryLog;
use crate::tls;
use crate::wire::FrameLimit;

/// Pause between two looks for a member while none answers at the start.
const START_PAUSE: Duration = Duration::from_millis(200);

/// What a start waits for is said again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Settings of a member that a session cannot see otherwise.
const DEFAULTS_SQL: &str = "SELECT current_setting('default_transaction_isolation'), \
     (current_setting('statement_timeout') <> '0' OR current_setting('lock_timeout') <> '0' \
      OR current_setting('idle_in_transaction_session_timeout') <> '0')::text, \
     current_setting('standard_conforming_strings')";

/// Reads catalogs.
pub struct CatalogLoader {
    builtins: RwLock<Option<Arc<Builtins>>>,
    version: std::sync::atomic::AtomicU64,
}

impl CatalogLoader {
    fn new() -> Self {
        CatalogLoader { builtins: RwLock::new(None), version: std::sync::atomic::AtomicU64::new(0) }
    }

    /// Reads the catalog of a member.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn load(&self, target: &Target, login: &Login, within: Duration) -> Result<Catalog, QueryError> {
        let mut connection = Maintenance::connect(target, login, within).await?;
        if self.builtins.read().is_none() {
            let results = connection.query(&[BUILTIN_SQL], within).await?;
            let builtins = parse_builtins(&results).map_err(|e| unreadable(&e.to_string()))?;
            *self.builtins.write() = Some(builtins);
        }
        let results = connection.query(&[CATALOG_SQL], within).await?;
        self.parse(&results).map_err(|e| unreadable(&e))
    }

    /// Makes a catalog of the results of [`CATALOG_SQL`].
    ///
    /// # Errors
    /// The results are not those of the query.
    pub fn parse(&self, results: &[TextRows]) -> Result<Catalog, String> {
        let builtins = self.builtins.read().clone().ok_or("built-in functions are not known")?;
        let mut catalog = parse(results, &builtins).map_err(|e| e.to_string())?;
        catalog.version = self.next_version();
        Ok(catalog)
    }

    /// A version that no other catalog of this virtual database has.
    pub fn next_version(&self) -> u64 {
        self.version.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

fn unreadable(problem: &str) -> QueryError {
    QueryError::Server { sqlstate: *b"XX000", message: format!("the catalog cannot be read: {problem}") }
}

/// What is waited for (by a start, or behind DDL), and when that was said last.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) what: String,
    said: Option<std::time::Instant>,
}

impl Waiting {
    fn new() -> Self {
        Waiting { what: "starting".into(), said: None }
    }

    /// Whether it is new, or was not said for a while: the start looks several times a second.
    pub(super) fn is_to_be_said(&mut self, what: &str) -> bool {
        if self.what == what && self.said.is_some_and(|said| said.elapsed() < SAID_AGAIN) {
            return false;
        }
        *self = Waiting { what: what.to_owned(), said: Some(std::time::Instant::now()) };
        true
    }
}

/// The record that makes a disablement durable.
#[must_use]
pub fn disabled_record(incident: &Incident, position: Position, epoch: u64) -> MemberChange {
    MemberChange {
        member: incident.member.clone(),
        change: MemberState::Disabled { reason: incident.reason, position },
        epoch,
        when_unix_ms: incident.when_unix_ms,
        incident: Some(incident.clone()),
    }
}

/// What a proxy that ended in the middle of something left behind.
fn at_start(state: MemberState) -> MemberState {
    match state {
        MemberState::Rebuilding { .. } => {
            MemberState::Disabled { reason: Reason::RebuildUnfinished, position: Position::START }
        }
        MemberState::Rejoining { position } => MemberState::Disabled { reason: Reason::Unreachable, position },
        MemberState::Draining => MemberState::Enabled,
        other => other,
    }
}

/// What a member is that the log does not name. Of a log that names all of its members it never was one, so it does not
/// hold what they hold.
fn unnamed(logged: &LoggedMembership) -> MemberState {
    if logged.is_complete() {
        MemberState::Disabled { reason: Reason::New, position: Position::START }
    } else {
        MemberState::Enabled
    }
}

/// Why a virtual database cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// TLS files of a member.
    #[error("member \"{member}\": {problem}")]
    Tls {
        /// Which.
        member: String,
        /// What is wrong.
        problem: String,
    },
    /// The log says that no member is enabled.
    #[error(
        "virtual database \"{0}\": every member is disabled in the log, or not named there; bring one back \
         (docs/operations.md) before starting"
    )]
    NoMember(String),
}

impl VirtualDatabase {
    /// Puts a virtual database together; nothing is connected yet.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: &config::VirtualDatabase,
        client_frames: FrameLimit,
        tokens_kept: Duration,
        log: Arc<dyn RecoveryLog>,
        logged: &LoggedMembership,
        sessions: Arc<SessionRegistry>,
    ) -> Result<Self, OpenError> {
        let mut members = Vec::new();
        for (index, member) in config.members.iter().enumerate() {
            let id = MemberId(u8::try_from(index).unwrap_or(u8::MAX));
            members.push(new_member(id, member, config.max_connections_per_member as usize)?);
        }
        let states: Vec<MemberState> = config
            .members
            .iter()
            .map(|m| logged.of(&m.name).map_or_else(|| unnamed(logged), |change| at_start(change.change)))
            .collect();
        if !states.iter().any(|s| s.is_enabled()) {
            return Err(OpenError::NoMember(config.name.clone()));
        }
        let mut incidents: Vec<Incident> = logged.changes().filter_map(|c| c.incident.clone()).collect();
        incidents.sort_by_key(|incident| incident.when_unix_ms);
        Ok(VirtualDatabase {
            name: config.name.clone(),
            settings: Settings {
                level: config.level.to_string(),
                pick: config.policy.pick,
                member_timeout: config.member_timeout,
                rejoin: config.rejoin,
                unsafe_statement: config.unsafe_statement,
                connections_max: config.max_connections_per_member as usize,
                log_size_max: config.log_size_max,
                client_frames,
                tokens_kept,
                users: config.users.clone(),
                adopt: config.adopt.clone(),
            },
            members: Members::new(members),
            faults: FaultPoints::default(),
            added: Default::default(),
            adding: tokio::sync::Mutex::new(()),
            logged: logged.clone(),
            named: AtomicBool::new(false),
            in_flight: Default::default(),
            sequences: Default::default(),
            untaken: Default::default(),
            copies: Arc::default(),
            shut_out: Arc::default(),
            counters: Default::default(),
            analyses: Analyses::default(),
            readable: Default::default(),
            tokens: super::tokens::Tokens::new(sessions.clone()),
            sessions,
            picker: Default::default(),
            membership: Membership::new(states),
            catalog: RwLock::new(Arc::new(Catalog::default())),
            reported: RwLock::new(Arc::new(Vec::new())),
            defaults: RwLock::new(MemberDefaults::default()),
            loader: CatalogLoader::new(),
            journal: Journal::new(log, logged.epoch()),
            notifications: Default::default(),
            markers: Default::default(),
            together: Default::default(),
            rejoining: tokio::sync::Mutex::new(()),
            pace: Default::default(),
            copying: tokio::sync::RwLock::new(()),
            epoch: std::sync::atomic::AtomicU64::new(logged.epoch()),
            floors: Mutex::new(vec![None; config.members.len()]),
            incidents: Mutex::new(VecDeque::from(incidents)),
            open_sessions: AtomicUsize::new(0),
            writes_stopped: AtomicBool::new(false),
            carrying: tokio::sync::Mutex::new(()),
            serving: AtomicBool::new(false),
            starting: Mutex::new(Waiting::new()),
            ddl: Default::default(),
        })
    }

    /// Looks at every enabled member: those that do not answer are taken out (as long as one does). Reads the catalog.
    /// A log that has not begun waits for all members first: see [`crate::rejoin::adoption`].
    pub async fn first_look(self: &Arc<Self>) {
        while !crate::rejoin::adoption::begin(self).await {
            tokio::time::sleep(START_PAUSE).await;
        }
        loop {
            let mut silent = Vec::new();
            for id in self.view().members() {
                let member = self.member(id);
                if let Err(error) =
                    Maintenance::connect(&member.target, &member.login, self.settings.member_timeout).await
                {
                    silent.push((id, error.to_string()));
                }
            }
            if silent.len() < self.view().enabled.count_ones() as usize {
                for (id, detail) in silent {
                    self.fault(id, Reason::Unreachable, format!("at the start of the proxy: {detail}")).await;
                }
                if crate::rejoin::startup::recover(self).await && self.read_lead().await && self.name_members().await {
                    self.faults.reach(FaultPoint::StartBeforeOpening).await;
                    return;
                }
            } else {
                self.start_waits("no member answers".into());
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }

    async fn read_lead(&self) -> bool {
        let member = self.member(self.view().lead);
        let within = self.settings.member_timeout;
        match self.read_lead_of(member, within).await {
            Ok(()) => true,
            Err(error) => {
                self.start_waits(format!("the catalog of \"{}\" cannot be read: {error}", member.target.name));
                false
            }
        }
    }

    async fn read_lead_of(&self, member: &Member, within: Duration) -> Result<(), QueryError> {
        let catalog = self.loader.load(&member.target, &member.login, within).await?;
        *self.catalog.write() = Arc::new(catalog);
        let (link, reported) =
            connect::connect(&member.target, &member.login, &Vec::new(), super::settings::MEMBER_FRAMES, within)
                .await?;
        link.close().await;
        *self.reported.write() = Arc::new(reported);
        let mut connection = Maintenance::connect(&member.target, &member.login, within).await?;
        let results = connection.query(&[DEFAULTS_SQL], within).await?;
        if let Some([Some(isolation), Some(limits), ..]) = results.first().and_then(|r| r.first()).map(Vec::as_slice) {
            *self.defaults.write() = MemberDefaults {
                isolation: match isolation.as_str() {
                    "serializable" => Isolation::Serializable,
                    "repeatable read" => Isolation::RepeatableRead,
                    "read uncommitted" => Isolation::ReadUncommitted,
                    _ => Isolation::ReadCommitted,
                },
                time_limits: limits == "true",
            };
        }
        Ok(())
    }

    /// What the members report of themselves at a plain connection.
    #[must_use]
    pub fn reported(&self) -> Arc<Reported> {
        self.reported.read().clone()
    }

    /// Defaults of the members' configuration.
    #[must_use]
    pub fn member_defaults(&self) -> MemberDefaults {
        *self.defaults.read()
    }
}

/// A member of the configuration.
pub(super) fn new_member(id: MemberId, member: &config::Member, connections_max: usize) -> Result<Member, OpenError> {
    Ok(Member::new(target(id, member)?, login(member), member.weight, connections_max))
}

fn target(id: MemberId, member: &config::Member) -> Result<Target, OpenError> {
    let address = match &member.url.endpoint {
        config::Endpoint::Tcp { host, port } => Address::Tcp { host: host.clone(), port: *port },
        config::Endpoint::Unix { dir, port } => Address::Unix(dir.join(format!(".s.PGSQL.{port}"))),
    };
    let problem = |e: tls::TlsError| OpenError::Tls { member: member.name.clone(), problem: e.to_string() };
    let tls = match (tls::client_config(&member.url).map_err(problem)?, member.url.sslmode) {
        (None, _) | (_, config::SslMode::Disable) => MemberTls::Disabled,
        (Some(tls), config::SslMode::Prefer) => MemberTls::Preferred(tls),
        (Some(tls), config::SslMode::Require | config::SslMode::VerifyFull) => MemberTls::Required(tls),
    };
    Ok(Target { id, name: member.name.clone(), address, database: member.url.dbname.clone(), tls })
}

fn login(member: &config::Member) -> Login {
    Login { user: member.url.user.clone(), password: member.url.password.as_ref().map(|p| p.expose().to_owned()) }
}
