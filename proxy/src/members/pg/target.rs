//! Where a member is and how to log in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use raidb_core::ids::MemberId;

/// Address of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Full path of the socket file (`…/.s.PGSQL.5432`).
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// TLS towards a member.
#[derive(Clone)]
pub enum MemberTls {
    /// Never.
    Disabled,
    /// If the member offers it.
    Preferred(Arc<rustls::ClientConfig>),
    /// Or no connection.
    Required(Arc<rustls::ClientConfig>),
}

/// A member as its links need it.
#[derive(Clone)]
pub struct Target {
    /// Which member.
    pub id: MemberId,
    /// Its name in the configuration.
    pub name: String,
    /// Where.
    pub address: Address,
    /// Database on the member.
    pub database: String,
    /// TLS.
    pub tls: MemberTls,
}

/// Who logs in at a member.
#[derive(Clone)]
pub struct Login {
    /// Role on the member.
    pub user: String,
    /// Password, if it has one.
    pub password: Option<String>,
}

/// Start-up parameters beside user and database, in the client's order.
pub type StartupParameters = Vec<(Bytes, Bytes)>;

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}/{}", self.name, self.address, self.database)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.user)
    }
}
