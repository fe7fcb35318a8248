//! Runs the proxy: log, virtual databases, listeners, admin endpoint, orderly shutdown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use raidb_core::config::{Config, Member};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::admin::{self, MemberAction, Operations, Status, StatusSource};
use crate::fault_points::{FaultPlanError, FaultPoints};
use crate::frontend::pg::listener::{Frontend, accept};
use crate::recovery_log::{FileLog, LogError, directory_of};
use crate::tls;
use crate::virtual_database::handles::SessionRegistry;
use crate::virtual_database::start::OpenError;
use crate::virtual_database::{VirtualDatabase, heartbeat};
use crate::wire::FrameLimit;
use crate::workers::Workers;

/// At shutdown, statements in hand get this long to end.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Why the proxy did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The recovery log cannot be used.
    #[error("recovery log: {0}{then}", then = what_then(.0))]
    Log(#[from] LogError),
    /// A virtual database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A test asks for a fault that there is not.
    #[error(transparent)]
    Fault(#[from] FaultPlanError),
    /// TLS files for clients.
    #[error("listen.tls: {0}")]
    Tls(#[from] tls::TlsError),
}

/// What an operator does about a log that is not accepted.
fn what_then(error: &LogError) -> &'static str {
    if matches!(error, LogError::Corrupt { .. }) { "; see \"Damaged?\" in docs/operations.md" } else { "" }
}

struct Source {
    databases: Vec<Arc<VirtualDatabase>>,
    sessions: Arc<SessionRegistry>,
}

impl StatusSource for Source {
    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clients: self.sessions.len() as u64,
            virtual_databases: self.databases.iter().map(|d| d.status()).collect(),
        }
    }
}

impl Operations for Source {
    fn act(
        &self,
        database: String,
        member: String,
        action: MemberAction,
    ) -> futures::future::BoxFuture<'static, Result<String, String>> {
        let known: Vec<String> = self.databases.iter().map(|d| d.name.clone()).collect();
        let found = self.databases.iter().find(|d| d.name == database).cloned();
        Box::pin(async move {
            let Some(found) = found else {
                return Err(format!("there is no virtual database \"{database}\"; there is {}", known.join(", ")));
            };
            if !found.serving() {
                return Err(format!("virtual database \"{database}\" is still starting; try again"));
            }
            let named = |name: &str| found.member_named(name);
            match action {
                MemberAction::Add(new) => {
                    let donor = new.from.as_deref().map(named).transpose()?;
                    let configured = Member::parse(&member, &new.url, new.weight, &new.base_dir);
                    found.add(configured.map_err(|errors| errors.to_string())?, donor).await
                }
                MemberAction::Disable => found.take_out(named(&member)?).await,
                MemberAction::Enable => found.bring_back(named(&member)?).await,
                MemberAction::Rebuild { from } => {
                    let donor = from.as_deref().map(named).transpose()?;
                    found.rebuild(named(&member)?, donor).await
                }
            }
        })
    }
}

/// Runs the proxy until `shutdown` completes.
///
/// # Errors
/// [`StartError`] before a client is served.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
    let sessions = Arc::new(SessionRegistry::default());
    let limit = FrameLimit { bytes_max: config.listen.message_size_max as usize };
    let tls = config.listen.tls.as_ref().map(tls::server_config).transpose()?;
    let databases = open_databases(&config, limit, &sessions)?;
    let clients = bind(config.listen.postgres).await?;
    let admins = bind(config.listen.admin).await?;

    let mut tasks = JoinSet::new();
    let source = Arc::new(Source { databases: databases.clone(), sessions: sessions.clone() });
    tasks.spawn(async move {
        if let Err(error) = admin::serve(admins, source.clone(), source, std::future::pending()).await {
            tracing::error!("admin endpoint: {error}");
        }
    });
    for database in &databases {
        tasks.spawn(serve_database(database.clone()));
    }
    let clients_max = config.listen.max_clients as usize;
    let frontend = Arc::new(Frontend {
        databases,
        sessions: sessions.clone(),
        tls,
        limit,
        startup_timeout: config.listen.startup_timeout,
        places: Arc::new(Semaphore::new(clients_max)),
        clients_max,
        workers: Workers::start(session_threads(config.listen.threads)).map_err(threads_failed)?,
    });
    tracing::info!(postgres = %config.listen.postgres, admin = %config.listen.admin, "raidb listens");
    let accepting = tasks.spawn(accept(clients, frontend.clone()));
    shutdown.await;
    tracing::info!("shutting down");
    accepting.abort();
    drain(&sessions).await;
    tasks.shutdown().await;
    if !sessions.is_empty() {
        // Those that did not end in time are cut off by the end of the process, like by a crash, and not by that of their threads.
        std::mem::forget(frontend);
    }
    Ok(())
}

fn open_databases(
    config: &Config,
    limit: FrameLimit,
    sessions: &Arc<SessionRegistry>,
) -> Result<Vec<Arc<VirtualDatabase>>, StartError> {
    let faults = FaultPoints::from_environment()?;
    let mut databases = Vec::new();
    for virtual_database in &config.virtual_databases {
        let directory = directory_of(&config.log_dir, &virtual_database.name);
        let opened = FileLog::open_with(&directory, &virtual_database.name, &faults)?;
        if opened.torn_bytes > 0 {
            tracing::warn!(
                bytes = opened.torn_bytes,
                virtual_database = virtual_database.name,
                "a torn tail of the recovery log was cut"
            );
        }
        let log = Arc::new(opened.log);
        let mut database = VirtualDatabase::open(
            virtual_database,
            limit,
            config.tokens_kept,
            log,
            &opened.membership,
            sessions.clone(),
        )?;
        database.faults = faults.clone();
        databases.push(Arc::new(database));
    }
    Ok(databases)
}

/// Members of a small installation share the machine: half of it is theirs.
fn session_threads(configured: u32) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        threads => threads as usize,
    }
}

fn threads_failed(source: std::io::Error) -> StartError {
    StartError::Io { what: "cannot start threads".into(), source }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Io { what: format!("cannot listen on {address}"), source })
}

/// Everything that a virtual database does by itself.
async fn serve_database(database: Arc<VirtualDatabase>) {
    database.first_look().await;
    database.start_serving();
    tracing::info!(virtual_database = database.name, "ready");
    let mut tasks = JoinSet::new();
    tasks.spawn(heartbeat::run_all(database.clone()));
    tasks.spawn(database.clone().carry_sequences());
    tasks.spawn(database.clone().hear_lead());
    tasks.spawn(crate::rejoin::rotation::run(database.clone()));
    tasks.spawn(crate::virtual_database::cycle_breaker::run(database));
    while tasks.join_next().await.is_some() {}
}

/// Idle sessions end at once, busy ones behind their statement.
async fn drain(sessions: &SessionRegistry) {
    for session in sessions.all() {
        session.stop();
    }
    let deadline = tokio::time::Instant::now() + DRAIN_TIME;
    while !sessions.is_empty() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
