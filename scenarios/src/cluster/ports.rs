//! Free TCP ports on the loopback address.

use std::net::TcpListener;

use crate::Result;

/// A port that was free a moment ago: the kernel hands such ports out in a long round, so nobody gets it soon again.
///
/// # Errors
/// No port can be bound.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
