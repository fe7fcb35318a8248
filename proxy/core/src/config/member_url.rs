//! `postgresql://user:password@host:port/dbname?sslmode=…`: how to reach a member, and as whom.
//!
//! Understands the part of libpq's connection URIs that names one server; everything else is refused.
//! Every rest and every parameter that is not understood is an error, never ignored.

use std::fmt;
use std::path::PathBuf;

use super::Secret;
use super::uri_text::decode;

/// Where a member listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Host name or IP address (IPv6 without brackets) and port.
    Tcp {
        /// Host name or IP address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Directory of the Unix socket; the port is part of the socket's name.
    Unix {
        /// Directory that holds `.s.PGSQL.<port>`.
        dir: PathBuf,
        /// Port.
        port: u16,
    },
}

/// Whether the connection to a member is encrypted, and what is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted if the member offers it; nothing is verified.
    Prefer,
    /// Always encrypted; nothing is verified, except the chain if `sslrootcert` is given.
    Require,
    /// Always encrypted; chain and host name are verified against `sslrootcert`.
    VerifyFull,
}

/// A member's `url`, taken apart. `Display` shows it without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberUrl {
    /// Where the member listens.
    pub endpoint: Endpoint,
    /// User on the member.
    pub user: String,
    /// Password on the member.
    pub password: Option<Secret>,
    /// Database on the member.
    pub dbname: String,
    /// Encryption.
    pub sslmode: SslMode,
    /// PEM file with the roots that are trusted.
    pub sslrootcert: Option<PathBuf>,
}

/// Port if the URL names none.
const PORT_DEFAULT: u16 = 5432;

/// The parts of a URL while it is read, decoded but not yet checked.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    dbname: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl MemberUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong and what is allowed; never contains the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
        let rest = rest.ok_or("must begin with \"postgresql://\"")?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, dbname) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, address) = authority.rsplit_once('@').map_or((None, authority), |(u, a)| (Some(u), a));
        let mut parts = Parts::default();
        parts.set_userinfo(userinfo)?;
        parts.set_address(address)?;
        parts.dbname = non_empty(decode(dbname)?);
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            parts.set_parameter(pair)?;
        }
        parts.check()
    }

    /// What makes two URLs name the same database, whoever connects to it.
    pub fn target(&self) -> (Endpoint, String) {
        let mut endpoint = self.endpoint.clone();
        if let Endpoint::Tcp { host, .. } = &mut endpoint {
            host.make_ascii_lowercase();
            if matches!(host.as_str(), "localhost" | "::1") {
                *host = String::from("127.0.0.1");
            }
        }
        (endpoint, self.dbname.clone())
    }
}

impl Parts {
    fn set_userinfo(&mut self, userinfo: Option<&str>) -> Result<(), String> {
        let Some(userinfo) = userinfo else {
            return Ok(());
        };
        let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(u, p)| (u, Some(p)));
        self.user = non_empty(decode(user)?);
        self.password = password.map(decode).transpose()?.map(Secret::new);
        Ok(())
    }

    fn set_address(&mut self, address: &str) -> Result<(), String> {
        if address.contains(',') {
            return Err("names several hosts; write one [[virtual_database.member]] for each".into());
        }
        let (host, port) = if let Some(rest) = address.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or("has a \"[\" without \"]\"")?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("has text after \"]\"")?) })
        } else {
            address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
        };
        self.host = non_empty(decode(host)?);
        self.port = port.map(str::to_owned);
        Ok(())
    }

    fn set_parameter(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').ok_or("has a parameter without \"=\"")?;
        let value = decode(value)?;
        match key {
            "host" => set_once(&mut self.host, value, key),
            "port" => set_once(&mut self.port, value, key),
            "user" => set_once(&mut self.user, value, key),
            "password" => set_once(&mut self.password, Secret::new(value), key),
            "dbname" => set_once(&mut self.dbname, value, key),
            "sslmode" => set_once(&mut self.sslmode, value, key),
            "sslrootcert" => set_once(&mut self.sslrootcert, value, key),
            _ => Err(format!(
                "has the unknown parameter \"{key}\"; \
                 allowed: host, port, user, password, dbname, sslmode, sslrootcert"
            )),
        }
    }

    fn check(self) -> Result<MemberUrl, String> {
        let host = self.host.ok_or("names no host; a Unix socket is ?host=/directory")?;
        let port = match self.port {
            None => PORT_DEFAULT,
            Some(text) => text.parse().ok().filter(|port| *port > 0).ok_or("has a port that is not 1 to 65535")?,
        };
        let endpoint = if host.starts_with('/') {
            Endpoint::Unix { dir: PathBuf::from(host), port }
        } else {
            Endpoint::Tcp { host, port }
        };
        let sslmode = self.sslmode.as_deref().map_or(Ok(SslMode::Prefer), SslMode::read)?;
        if sslmode == SslMode::VerifyFull && self.sslrootcert.is_none() {
            return Err("has sslmode=verify-full without sslrootcert=FILE".into());
        }
        if matches!(endpoint, Endpoint::Unix { .. }) && matches!(sslmode, SslMode::Require | SslMode::VerifyFull) {
            return Err("asks for TLS over a Unix socket, which PostgreSQL does not offer".into());
        }
        Ok(MemberUrl {
            endpoint,
            user: self.user.ok_or("names no user; allowed: postgresql://user@host:port/dbname")?,
            password: self.password,
            dbname: self.dbname.ok_or("names no database; allowed: postgresql://user@host:port/dbname")?,
            sslmode,
            sslrootcert: self.sslrootcert.map(PathBuf::from),
        })
    }
}

impl SslMode {
    fn read(word: &str) -> Result<Self, String> {
        match word {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(format!("has sslmode \"{word}\"; allowed: disable, prefer, require, verify-full")),
        }
    }
}

fn set_once<T>(place: &mut Option<T>, value: T, key: &str) -> Result<(), String> {
    if place.replace(value).is_some() {
        return Err(format!("gives \"{key}\" twice"));
    }
    Ok(())
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { dir, port } => write!(f, "{}/.s.PGSQL.{port}", dir.display()),
        }
    }
}

impl fmt::Display for MemberUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://{}@{}/{}", self.user, self.endpoint, self.dbname)
    }
}
