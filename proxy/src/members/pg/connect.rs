//! From an address to a ready link: resolve, socket, TLS, start-up, authentication, parameters.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::{self, sasl};
use tokio::net::{TcpStream, UnixStream};

use super::link::Link;
use super::target::{Address, Login, MemberTls, StartupParameters, Target};
use crate::wire::{Channel, FrameLimit, Stream, WireError, decode, encode, stream};

/// Why a connection to a member could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network or the protocol.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The member answered with an error.
    #[error("{sqlstate}: {message}", sqlstate = String::from_utf8_lossy(sqlstate))]
    Server {
        /// Its SQLSTATE.
        sqlstate: [u8; 5],
        /// Its message.
        message: String,
        /// The whole ErrorResponse, for the client.
        frame: Bytes,
    },
    /// TLS, authentication method and the like.
    #[error("{0}")]
    Unsupported(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl From<io::Error> for ConnectError {
    fn from(e: io::Error) -> Self {
        ConnectError::Wire(WireError::Io(e))
    }
}

/// What a member reports of itself: ParameterStatus names and values.
pub type Reported = Vec<(Bytes, Bytes)>;

/// Opens a link.
///
/// # Errors
/// See [`ConnectError`]; nothing is left behind.
///
/// # Cancel safety
/// Dropping the future closes the half-open connection.
pub async fn connect(
    target: &Target,
    login: &Login,
    parameters: &StartupParameters,
    limit: FrameLimit,
    within: Duration,
) -> Result<(Link, Reported), ConnectError> {
    match tokio::time::timeout(within, connect_unlimited(target, login, parameters, limit, within)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TimedOut(within)),
    }
}

async fn connect_unlimited(
    target: &Target,
    login: &Login,
    parameters: &StartupParameters,
    limit: FrameLimit,
    user_timeout: Duration,
) -> Result<(Link, Reported), ConnectError> {
    let stream = open_stream(target, user_timeout).await?;
    let mut channel = Channel::new(stream, &[], limit);
    let mut all = vec![
        (Bytes::from_static(b"user"), Bytes::copy_from_slice(login.user.as_bytes())),
        (Bytes::from_static(b"database"), Bytes::copy_from_slice(target.database.as_bytes())),
    ];
    all.extend(parameters.iter().cloned());
    channel.out().extend_from_slice(&encode::startup(&all));
    flush(&mut channel).await?;
    authenticate(&mut channel, login).await?;
    let (reported, key) = read_reported(&mut channel).await?;
    Ok((Link::new(Arc::new(target.clone()), channel, key), reported))
}

/// Socket and TLS.
pub(super) async fn open_stream(target: &Target, user_timeout: Duration) -> Result<Stream, ConnectError> {
    match &target.address {
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Address::Tcp { host, port } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await?;
            stream::tune_tcp(&tcp, user_timeout)?;
            negotiate_tls(tcp, target, host).await
        }
    }
}

async fn negotiate_tls(mut tcp: TcpStream, target: &Target, host: &str) -> Result<Stream, ConnectError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (config, required) = match &target.tls {
        MemberTls::Disabled => return Ok(Stream::Tcp(tcp)),
        MemberTls::Preferred(config) => (config, false),
        MemberTls::Required(config) => (config, true),
    };
    tcp.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
    match tcp.read_u8().await? {
        b'S' => {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned())
                .map_err(|e| ConnectError::Unsupported(format!("host name {host:?} cannot be used for TLS: {e}")))?;
            let tls = tokio_rustls::TlsConnector::from(config.clone()).connect(name, tcp).await?;
            Ok(Stream::TlsClient(Box::new(tls)))
        }
        _ if required => {
            Err(ConnectError::Unsupported("the member does not offer TLS, but sslmode requires it".into()))
        }
        _ => Ok(Stream::Tcp(tcp)),
    }
}

async fn flush(channel: &mut Channel) -> Result<(), WireError> {
    std::future::poll_fn(|cx| channel.poll_flush(cx)).await
}

async fn frame(channel: &mut Channel) -> Result<Bytes, ConnectError> {
    let head = std::future::poll_fn(|cx| channel.poll_frame(cx, &[])).await?;
    let frame = channel.take(head);
    if frame[0] == b'E' {
        let message = decode::error_field(&frame, b'M').unwrap_or(b"?");
        return Err(ConnectError::Server {
            sqlstate: decode::sqlstate(&frame),
            message: String::from_utf8_lossy(message).into_owned(),
            frame,
        });
    }
    Ok(frame)
}

async fn authenticate(channel: &mut Channel, login: &Login) -> Result<(), ConnectError> {
    loop {
        let request = frame(channel).await?;
        if request[0] != b'R' || request.len() < 9 {
            return Err(ConnectError::Unsupported("the member does not speak the PostgreSQL protocol".into()));
        }
        let code = u32::from_be_bytes([request[5], request[6], request[7], request[8]]);
        if code == 0 {
            return Ok(());
        }
        let password = login.password.as_deref().ok_or_else(|| {
            ConnectError::Unsupported(format!(
                "the member asks role \"{}\" for a password, and none is configured",
                login.user
            ))
        })?;
        match code {
            3 => send_password(channel, password.as_bytes()).await?,
            5 => {
                let salt = request.get(9..13).and_then(|s| s.try_into().ok()).unwrap_or_default();
                let hash = authentication::md5_hash(login.user.as_bytes(), password.as_bytes(), salt);
                send_password(channel, hash.as_bytes()).await?;
            }
            10 => scram(channel, password).await?,
            other => {
                return Err(ConnectError::Unsupported(format!(
                    "the member asks for authentication method {other}; supported are trust, password, md5 and scram-sha-256"
                )));
            }
        }
    }
}

async fn send_password(channel: &mut Channel, password: &[u8]) -> Result<(), ConnectError> {
    encode::frame(channel.out(), b'p', |out| {
        out.extend_from_slice(password);
        out.extend_from_slice(&[0]);
    });
    Ok(flush(channel).await?)
}

async fn scram(channel: &mut Channel, password: &str) -> Result<(), ConnectError> {
    let mut client = sasl::ScramSha256::new(password.as_bytes(), sasl::ChannelBinding::unsupported());
    encode::frame(channel.out(), b'p', |out: &mut BytesMut| {
        out.extend_from_slice(b"SCRAM-SHA-256\0");
        let message = client.message();
        out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(message);
    });
    flush(channel).await?;
    let challenge = frame(channel).await?;
    client.update(challenge.get(9..).unwrap_or(&[]))?;
    encode::frame(channel.out(), b'p', |out: &mut BytesMut| out.extend_from_slice(client.message()));
    flush(channel).await?;
    let proof = frame(channel).await?;
    client.finish(proof.get(9..).unwrap_or(&[]))?;
    Ok(())
}

async fn read_reported(channel: &mut Channel) -> Result<(Reported, (u32, u32)), ConnectError> {
    let mut reported = Reported::new();
    let mut key = (0, 0);
    loop {
        let message = frame(channel).await?;
        let body = &message[5..];
        match message[0] {
            b'S' => {
                let mut parts = body.split(|b| *b == 0);
                if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    reported.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
                }
            }
            b'K' if body.len() >= 8 => {
                key = (
                    u32::from_be_bytes([body[0], body[1], body[2], body[3]]),
                    u32::from_be_bytes([body[4], body[5], body[6], body[7]]),
                );
            }
            b'Z' => return Ok((reported, key)),
            _ => {}
        }
    }
}
