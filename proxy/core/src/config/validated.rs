//! The validated configuration: strong types, nothing left to check.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keyword::word_of;
use super::{ConfigErrors, MemberUrl, Secret, parse, virtual_database};
use crate::placement::{Level, Policy};

/// Everything that `raidb.toml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where and how clients are accepted.
    pub listen: Listen,
    /// Directory of the recovery log; relative paths are already joined to the configuration's directory.
    pub log_dir: PathBuf,
    /// How long the log is kept behind the last word about a token, so that its outcome can be told after a restart.
    pub tokens_kept: Duration,
    /// What clients connect to. At least one, names unique.
    pub virtual_databases: Vec<VirtualDatabase>,
}

impl Config {
    /// Reads and validates the text of a configuration file that lies in `base_dir`.
    ///
    /// # Errors
    /// Every finding at once; see [`ConfigErrors`].
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, ConfigErrors> {
        parse::config(text, base_dir)
    }
}

/// Where and how clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address for PostgreSQL clients.
    pub postgres: SocketAddr,
    /// Address for HTTP: status, metrics, health.
    pub admin: SocketAddr,
    /// Certificate and key, if TLS is offered to clients.
    pub tls: Option<TlsFiles>,
    /// Client connections at a time, over all virtual databases. At the limit: 53300.
    pub max_clients: u32,
    /// Time from accept to the end of authentication. At the limit: the connection is closed.
    pub startup_timeout: Duration,
    /// Longest wire message that a client may send, in bytes. At the limit: a protocol error.
    pub message_size_max: u32,
    /// Threads that sessions run on; 0: half of the machine's cores, at least one.
    pub threads: u32,
}

/// PEM files for TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// One name that clients connect to, its members and its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualDatabase {
    /// The database name that clients give.
    pub name: String,
    /// The RAIDb name that the policy came from; for display only.
    pub level: Level,
    /// The four factors.
    pub policy: Policy,
    /// What a read may miss.
    pub consistency: Consistency,
    /// Whose flush makes a commit durable.
    pub durability: Durability,
    /// Who brings a member back that answers again.
    pub rejoin: Rejoin,
    /// What becomes of a statement that is not proven to do the same on every member.
    pub unsafe_statement: UnsafeStatement,
    /// How much longer than the lead a follower may take before it is disabled.
    pub member_timeout: Duration,
    /// Connections to one member at a time. At the limit: 53300.
    pub max_connections_per_member: u32,
    /// Bytes that its recovery log may have before members that hold it back are given up (`log.size_max`).
    pub log_size_max: u64,
    /// Who may connect. Empty: everybody is trusted (then all listeners are loopback).
    pub users: Vec<User>,
    /// At least one, at most [`VirtualDatabase::MEMBERS_MAX`]; names unique. The index is the `MemberId`.
    pub members: Vec<Member>,
    /// Not from the file, but from the command line: members for which alone a start with an empty log waits. Empty: for
    /// all of them.
    pub adopt: Vec<String>,
}

impl VirtualDatabase {
    /// Most members of one virtual database.
    pub const MEMBERS_MAX: usize = 32;
}

/// A client that may connect, and as whom it appears on the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name that the client gives.
    pub name: String,
    /// The password that the client must know.
    pub password: Secret,
    /// The user on the members; `None`: the user of the member's `url`.
    pub member_user: Option<String>,
    /// The password on the members; only together with `member_user`.
    pub member_password: Option<Secret>,
}

/// One of the independent databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name in messages, metrics and the recovery log.
    pub name: String,
    /// How to reach it.
    pub url: MemberUrl,
    /// Share of the reads under `pick = "weighted"`, 1 to 1000.
    pub weight: u16,
}

impl Member {
    /// Reads a member as the configuration would: the same values are allowed. `base_dir` is the configuration's directory.
    ///
    /// # Errors
    /// Every finding at once.
    pub fn parse(name: &str, url: &str, weight: u32, base_dir: &Path) -> Result<Self, ConfigErrors> {
        virtual_database::one_member(name, url, weight, base_dir)
    }
}

/// What a read may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Nothing that was acknowledged to anybody.
    Strict,
    /// Nothing that was acknowledged to the same session.
    Session,
    /// The latest commits.
    Eventual,
}

/// Who brings a member back that answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejoin {
    /// The proxy, as soon as it answers.
    Auto,
    /// An operator.
    Manual,
}

/// What becomes of a statement of which it is not proven that it does the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnsafeStatement {
    /// It is refused.
    Reject,
    /// It runs as it is on every member, and the client is warned. What is known to differ is refused.
    Warn,
}

/// Whose flush makes a commit durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Every member flushes its own commit.
    Members,
    /// The recovery log's flush; members commit asynchronously.
    Log,
}

/// The word of the configuration.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(*self))
    }
}
