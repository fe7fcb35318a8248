//! Accepting clients, up to a limit, and turning them into sessions.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::authentication::{self, AuthenticationFailed};
use super::startup::{self, Start, StartFailed};
use crate::members::pg::cancel;
use crate::members::pg::target::{Login, StartupParameters};
use crate::session::trouble::{SqlError, Trouble};
use crate::session::{Identity, Session};
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::handles::SessionRegistry;
use crate::wire::{Channel, FrameLimit, Stream, encode, stream};
use crate::workers::Workers;

/// Connections beyond the limit that are still told so; more are closed without a word.
const REFUSALS_MAX: usize = 64;
/// Unacknowledged data to a client may linger this long.
const CLIENT_USER_TIMEOUT: Duration = Duration::from_secs(120);
/// Pause after an accept error (no file descriptors …).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub struct Frontend {
    /// Virtual databases.
    pub databases: Vec<Arc<VirtualDatabase>>,
    /// Sessions.
    pub sessions: Arc<SessionRegistry>,
    /// TLS towards clients.
    pub tls: Option<Arc<ServerConfig>>,
    /// Largest message.
    pub limit: FrameLimit,
    /// Time for start-up and authentication.
    pub startup_timeout: Duration,
    /// Places for clients.
    pub places: Arc<Semaphore>,
    /// Their number, for the message.
    pub clients_max: usize,
    /// Where sessions run.
    pub workers: Workers,
}

/// Accepts until the future is dropped.
pub async fn accept(listener: TcpListener, frontend: Arc<Frontend>) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a client: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (place, full) = match frontend.places.clone().try_acquire_owned() {
            Ok(place) => (place, false),
            Err(_) => match refusals.clone().try_acquire_owned() {
                Ok(place) => (place, true),
                Err(_) => continue,
            },
        };
        // The socket leaves this thread's event loop for that of the session.
        let (Ok(tcp), Some(worker)) = (tcp.into_std(), frontend.workers.next()) else { continue };
        let frontend = frontend.clone();
        worker.spawn(async move {
            match TcpStream::from_std(tcp) {
                Ok(tcp) => serve(tcp, peer, &frontend, full).await,
                Err(error) => tracing::warn!(%peer, "cannot serve a client: {error}"),
            }
            drop(place);
        });
    }
}

/// One connection from its first byte to its last.
async fn serve(tcp: TcpStream, peer: SocketAddr, frontend: &Arc<Frontend>, full: bool) {
    if let Err(error) = stream::tune_tcp(&tcp, CLIENT_USER_TIMEOUT) {
        tracing::debug!(%peer, "socket options: {error}");
    }
    let started = tokio::time::timeout(frontend.startup_timeout, admit(tcp, frontend, full)).await;
    match started {
        Ok(Some(session)) => Box::pin(session.run()).await,
        Ok(None) => {}
        Err(_) => tracing::info!(%peer, "start-up took too long, connection closed"),
    }
}

async fn admit(tcp: TcpStream, frontend: &Arc<Frontend>, full: bool) -> Option<Session> {
    match startup::start(Stream::Tcp(tcp), frontend.tls.as_ref(), frontend.limit).await {
        Ok(Start::Cancel { channel, pid, secret }) => {
            if let Some((key, guard)) = frontend.sessions.find(pid, secret).and_then(|handle| handle.begin_cancel()) {
                cancel::cancel(key).await;
                drop(guard);
            }
            drop(channel);
            None
        }
        Ok(Start::Client { channel, .. }) if full => {
            let limit = frontend.clients_max;
            let error = SqlError::new(
                "53300",
                format!("sorry, too many clients already: the limit is {limit}"),
                "Close connections, or raise max_clients in raidb.toml.",
            );
            refuse(channel, &error).await;
            None
        }
        Ok(Start::Client { channel, parameters }) => client(channel, parameters, frontend).await,
        Err(StartFailed::Wire(error)) => {
            tracing::debug!("start-up failed: {error}");
            None
        }
        Err(StartFailed::Refused(channel, error)) => {
            refuse(*channel, &error).await;
            None
        }
    }
}

async fn refuse(mut channel: Channel, error: &SqlError) {
    tracing::info!(sqlstate = error.sqlstate, "client refused: {}", error.message);
    error.write(channel.out(), "FATAL");
    channel.close().await;
}

async fn client(mut channel: Channel, parameters: Vec<(Bytes, Bytes)>, frontend: &Arc<Frontend>) -> Option<Session> {
    let find =
        |name: &[u8]| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned());
    let Some(user) = find(b"user").filter(|u| !u.is_empty()) else {
        refuse(channel, &SqlError::new("28000", "no PostgreSQL user name specified in startup packet", "Name a user."))
            .await;
        return None;
    };
    if find(b"replication").is_some_and(|r| !matches!(r.as_str(), "false" | "off" | "no" | "0")) {
        refuse(
            channel,
            &SqlError::refused("replication connections are not supported", "Connect to a member directly."),
        )
        .await;
        return None;
    }
    let name = find(b"database").filter(|d| !d.is_empty()).unwrap_or_else(|| user.clone());
    let database = frontend.databases.iter().find(|d| d.name == name).cloned();
    let login = match authenticate(&mut channel, &user, database.as_ref()).await {
        Ok(login) => login,
        Err(AuthenticationFailed::Wire(_)) => return None,
        Err(AuthenticationFailed::Refused(error)) => {
            refuse(channel, &error).await;
            return None;
        }
    };
    let Some(database) = database else {
        refuse(
            channel,
            &SqlError::new(
                "3D000",
                format!("database \"{name}\" does not exist"),
                "Virtual databases are configured in raidb.toml.",
            ),
        )
        .await;
        return None;
    };
    if !database.serving() {
        refuse(channel, &SqlError::starting()).await;
        return None;
    }
    let passed_on: StartupParameters =
        parameters.into_iter().filter(|(n, _)| !matches!(&n[..], b"user" | b"database" | b"replication")).collect();
    if let Err(error) = crate::session::settings::check_start(&passed_on) {
        refuse(channel, &error).await;
        return None;
    }
    session(channel, database, Identity { login, parameters: passed_on }, frontend).await
}

async fn authenticate(
    channel: &mut Channel,
    user: &str,
    database: Option<&Arc<VirtualDatabase>>,
) -> Result<Option<Login>, AuthenticationFailed> {
    let Some(database) = database else { return Ok(None) };
    if database.settings.users.is_empty() {
        return Ok(None);
    }
    let user = authentication::scram(channel, user, &database.settings.users).await?;
    Ok(user.and_then(|u| {
        let member_user = u.member_user?;
        Some(Login { user: member_user, password: u.member_password.map(|p| p.expose().to_owned()) })
    }))
}

async fn session(
    channel: Channel,
    database: Arc<VirtualDatabase>,
    identity: Identity,
    frontend: &Arc<Frontend>,
) -> Option<Session> {
    let handle = frontend.sessions.open(rand_secret());
    let mut session = Session::new(handle, database, channel, identity);
    match session.first_link().await {
        Ok(reported) => {
            let (pid, secret) = (u32::try_from(session.handle.id.0).unwrap_or(u32::MAX), session.handle.secret);
            let out = session.client.out();
            encode::authentication(out, 0, &[]);
            for (name, value) in &reported {
                encode::parameter_status(out, name, value);
            }
            encode::key_data(out, pid, secret);
            encode::ready(out, b'I');
            Some(session)
        }
        Err(trouble) => {
            let error = match trouble {
                Trouble::Sql(error) | Trouble::Fatal(error) => Some(error),
                Trouble::Answer(frame) => {
                    session.client.out().extend_from_slice(&frame);
                    None
                }
                Trouble::ClientGone => return None,
                Trouble::LeadChanged
                | Trouble::MemberLost
                | Trouble::ViewChanged
                | Trouble::Undone
                | Trouble::Writes
                | Trouble::Doubtful(_) => Some(SqlError::no_member()),
            };
            if let Some(error) = error {
                error.write(session.client.out(), "FATAL");
            }
            let _late = tokio::time::timeout(Duration::from_secs(1), poll_fn(|cx| session.client.poll_flush(cx))).await;
            None
        }
    }
}

/// A secret that a CancelRequest must name; from the same generator as SCRAM's nonces.
fn rand_secret() -> u32 {
    let nonce = pgwire::api::auth::sasl::scram::random_nonce();
    crc32c::crc32c(nonce.as_bytes())
}
