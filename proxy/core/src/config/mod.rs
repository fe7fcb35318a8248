//! `raidb.toml`: from text to a [`Config`] in which everything is known to be allowed.
//!
//! Invariant: a [`Config`] exists only if every key was read, is allowed and is supported by this
//! version. All errors are found in one pass, each with key path, value and what is allowed; an unknown
//! key is an error. Pure: reading the file is the caller's business.
//!
//! | key | default | allowed |
//! |---|---|---|
//! | `listen.postgres` | `"127.0.0.1:6432"` | IP address (or `localhost`) and port |
//! | `listen.admin` | `"127.0.0.1:7432"` | the same |
//! | `listen.tls_cert`, `listen.tls_key` | none | PEM files, both or neither |
//! | `listen.max_clients` | 1000 | 1 to 100000 |
//! | `listen.startup_timeout` | `"10s"` | `"100ms"` to `"10m"` |
//! | `listen.message_size_max` | `"1GiB"` | `"64KiB"` to `"1GiB"` |
//! | `listen.threads` | 0: half of the cores, at least 1 | 0 to 1024 |
//! | `log.dir` | `"raidb-log"` | a directory, relative to the configuration file's |
//! | `log.tokens_kept` | `"1h"` | `"1min"` to `"30d"` |
//! | `log.size_max` | `"10GiB"` | `"64MiB"` to `"16TiB"`, for each virtual database |
//! | `virtual_database.name` | | 1 to 63 bytes, unique |
//! | `….level` | `"raidb-1"` | `single`, `raidb-1` |
//! | `….pick` | `"least-pending"` | `round-robin`, `weighted`, `least-pending` |
//! | `….wait_for` | `"all"` | `all` |
//! | `….consistency` | `"strict"` | `strict` |
//! | `….durability` | `"members"` | `members` |
//! | `….rejoin` | `"auto"` | `auto`, `manual` |
//! | `….unsafe_statement` | `"reject"` | `reject`, `warn` |
//! | `….member_timeout` | `"3s"` | `"100ms"` to `"1h"` |
//! | `….max_connections_per_member` | 100 | 1 to 10000 |
//! | `….user` | none: clients are trusted, loopback listeners only | `name`, `password`, and optionally `member_user`, `member_password` |
//! | `….member.name` | | 1 to 63 of `[a-z0-9_-]`, unique |
//! | `….member.url` | | `postgresql://user[:password]@host[:port]/dbname[?sslmode=…&sslrootcert=…]` |
//! | `….member.weight` | 1 | 1 to 1000 |
//!
//! A Unix socket is written `postgresql://user@/dbname?host=/directory&port=5432`.

mod duration;
mod error;
mod keyword;
mod member_url;
mod parse;
mod secret;
mod section;
mod size;
mod uri_text;
mod validated;
mod virtual_database;

#[cfg(test)]
mod config_test;
#[cfg(test)]
mod member_url_test;

pub use error::{ConfigError, ConfigErrors};
pub use member_url::{Endpoint, MemberUrl, SslMode};
pub use secret::Secret;
pub use validated::{
    Config, Consistency, Durability, Listen, Member, Rejoin, TlsFiles, UnsafeStatement, User, VirtualDatabase,
};
