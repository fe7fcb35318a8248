//! The start-up packets: what a connection wants before it has a session.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::session::trouble::SqlError;
use crate::wire::{Channel, FrameLimit, Stream, WireError, encode};

/// Longest start-up packet (PostgreSQL's MAX_STARTUP_PACKET_LENGTH).
const STARTUP_BYTES_MAX: usize = 10_000;
const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Start {
    /// A CancelRequest: there is nothing to answer.
    Cancel {
        /// Held until the request is delivered. Clients take its end for that (libpq's `PQcancel`, pgJDBC), and send the next
        /// statement, which a request that is still on its way would hit.
        channel: Box<Channel>,
        /// Process id that the session's client was told.
        pid: u32,
        /// Its secret.
        secret: u32,
    },
    /// A client that wants a session.
    Client {
        /// The connection, behind TLS if it asked for it.
        channel: Channel,
        /// Names and values, in its order.
        parameters: Vec<(Bytes, Bytes)>,
    },
}

/// Why there is no session.
#[derive(Debug)]
pub enum StartFailed {
    /// The connection broke: nobody is there to be told.
    Wire(WireError),
    /// The client is told.
    Refused(Box<Channel>, SqlError),
}

impl From<WireError> for StartFailed {
    fn from(error: WireError) -> Self {
        StartFailed::Wire(error)
    }
}

/// Reads start-up packets until it is clear what the client wants.
///
/// # Errors
/// [`StartFailed`].
pub async fn start(
    stream: Stream,
    tls: Option<&Arc<rustls::ServerConfig>>,
    limit: FrameLimit,
) -> Result<Start, StartFailed> {
    let mut channel = Channel::new(stream, &[], limit);
    let mut encrypted = false;
    for _ in 0..3 {
        let Some(packet) = packet(&mut channel).await? else {
            let error = SqlError::new(
                "08P01",
                format!("invalid length of start-up packet, allowed are 8 to {STARTUP_BYTES_MAX} bytes"),
                "Is this a PostgreSQL client?",
            );
            return Err(StartFailed::Refused(Box::new(channel), error));
        };
        let code = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        match code {
            CANCEL if packet.len() == 16 => {
                let number =
                    |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
                let (pid, secret) = (number(8), number(12));
                return Ok(Start::Cancel { channel: Box::new(channel), pid, secret });
            }
            TLS if !encrypted => {
                channel = negotiate_tls(channel, tls, limit).await?;
                encrypted = tls.is_some();
            }
            GSS => answer(&mut channel, b"N").await?,
            _ => return client(channel, code, &packet).await,
        }
    }
    let error = SqlError::new("08P01", "too many negotiation requests", "Send the start-up packet.");
    Err(StartFailed::Refused(Box::new(channel), error))
}

async fn packet(channel: &mut Channel) -> Result<Option<Bytes>, WireError> {
    poll_fn(|cx| channel.poll_buffered(cx, 4)).await?;
    let raw = channel.raw();
    let length = u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]) as usize;
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Ok(None);
    }
    poll_fn(|cx| channel.poll_buffered(cx, length)).await?;
    Ok(Some(channel.take_raw(length)))
}

async fn answer(channel: &mut Channel, bytes: &[u8]) -> Result<(), WireError> {
    channel.out().extend_from_slice(bytes);
    poll_fn(|cx| channel.poll_flush(cx)).await
}

async fn negotiate_tls(
    mut channel: Channel,
    tls: Option<&Arc<rustls::ServerConfig>>,
    limit: FrameLimit,
) -> Result<Channel, StartFailed> {
    let Some(tls) = tls else {
        answer(&mut channel, b"N").await?;
        return Ok(channel);
    };
    if channel.has_input() {
        // Bytes behind the request, before encryption: somebody in the middle (CVE-2021-23214).
        let error = SqlError::new(
            "08P01",
            "received unencrypted data after SSL request",
            "This could be an attack, or a faulty client.",
        );
        return Err(StartFailed::Refused(Box::new(channel), error));
    }
    answer(&mut channel, b"S").await?;
    let (Stream::Tcp(tcp), _) = channel.into_parts() else {
        return Err(StartFailed::Wire(WireError::Closed));
    };
    let stream = tokio_rustls::TlsAcceptor::from(tls.clone()).accept(tcp).await.map_err(WireError::Io)?;
    Ok(Channel::new(Stream::TlsServer(Box::new(stream)), &[], limit))
}

async fn client(mut channel: Channel, code: u32, packet: &Bytes) -> Result<Start, StartFailed> {
    let (major, minor) = (code >> 16, code & 0xffff);
    if major != 3 {
        let error = SqlError::new(
            "0A000",
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0"),
            "Use a client that speaks protocol 3.",
        );
        return Err(StartFailed::Refused(Box::new(channel), error));
    }
    let Some(parameters) = read_parameters(packet) else {
        let error = SqlError::new(
            "08P01",
            "invalid start-up packet layout: expected terminator as last byte",
            "Is this a PostgreSQL client?",
        );
        return Err(StartFailed::Refused(Box::new(channel), error));
    };
    let unknown: Vec<&Bytes> = parameters.iter().map(|(name, _)| name).filter(|n| n.starts_with(b"_pq_.")).collect();
    if minor > 0 || !unknown.is_empty() {
        encode::frame(channel.out(), b'v', |out| {
            out.put_u32(0);
            out.put_u32(u32::try_from(unknown.len()).unwrap_or(0));
            for name in &unknown {
                out.put_slice(name);
                out.put_u8(0);
            }
        });
    }
    let parameters = parameters.iter().filter(|(name, _)| !name.starts_with(b"_pq_.")).cloned().collect();
    Ok(Start::Client { channel, parameters })
}

/// Pairs of strings up to an empty name.
fn read_parameters(packet: &Bytes) -> Option<Vec<(Bytes, Bytes)>> {
    let mut parameters = Vec::new();
    let mut at = 8;
    loop {
        let end = |at: usize| packet.get(at..)?.iter().position(|b| *b == 0).map(|n| at + n);
        let name_end = end(at)?;
        if name_end == at {
            return (name_end + 1 == packet.len()).then_some(parameters);
        }
        let value_end = end(name_end + 1)?;
        parameters.push((packet.slice(at..name_end), packet.slice(name_end + 1..value_end)));
        at = value_end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_must_end_where_the_packet_ends() {
        let good = Bytes::from_static(b"\0\0\0\0\0\0\0\0user\0a\0database\0b\0\0");
        assert_eq!(read_parameters(&good).map(|p| p.len()), Some(2));
        for n in 8..good.len() {
            assert_eq!(read_parameters(&good.slice(..n)), None);
        }
        assert_eq!(read_parameters(&Bytes::from_static(b"\0\0\0\0\0\0\0\0user\0a\0\0x")), None);
    }
}
