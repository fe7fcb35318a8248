//! Free loopback ports.

use crate::error::{Context as _, Result};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// A port that nothing listened on a moment ago.
pub(crate) fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context(|| "no free port".into())?;
    Ok(listener
        .local_addr()
        .context(|| "no free port".into())?
        .port())
}

/// Whether something listens.
pub(crate) fn open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
