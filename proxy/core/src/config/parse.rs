//! The whole file: `[listen]`, `[log]`, `[[virtual_database]]`, and the rules that span them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Table;

use super::section::Section;
use super::{Config, ConfigError, ConfigErrors, Listen, TlsFiles, VirtualDatabase, virtual_database};

/// Reads and validates a configuration text; relative paths are joined to `base_dir`.
pub(super) fn config(text: &str, base_dir: &Path) -> Result<Config, ConfigErrors> {
    let table = text.parse::<Table>().map_err(|error| {
        // Not the error's own text: it quotes the line, which may hold a password.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let problem = format!("line {line} is not TOML: {}", error.message());
        ConfigErrors(vec![ConfigError { path: String::new(), value: None, problem }])
    })?;
    let mut errors = Vec::new();
    let mut root = Section::new("", table, &mut errors);
    let listen_table = root.table("listen");
    let log_table = root.table("log");
    let database_tables = root.tables("virtual_database");
    if database_tables.is_empty() {
        root.fail("virtual_database", None, "is missing; at least one [[virtual_database]] is needed");
    }
    root.finish();

    let listen = listen(listen_table, base_dir, &mut errors);
    let (log_dir, tokens_kept, log_size_max) = log(log_table, base_dir, &mut errors);
    let mut virtual_databases = Vec::with_capacity(database_tables.len());
    for (index, table) in database_tables.into_iter().enumerate() {
        let path = format!("virtual_database[{index}]");
        virtual_databases.push(virtual_database::read(&path, table, base_dir, log_size_max, &mut errors));
    }
    check_names(&virtual_databases, &mut errors);
    check_targets(&virtual_databases, &mut errors);
    check_trust(&listen, &virtual_databases, &mut errors);
    if errors.is_empty() {
        Ok(Config { listen, log_dir, tokens_kept, virtual_databases })
    } else {
        Err(ConfigErrors(errors))
    }
}

fn listen(table: Table, base_dir: &Path, errors: &mut Vec<ConfigError>) -> Listen {
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let mut section = Section::new("listen", table, errors);
    let postgres = section.parsed("postgres", loopback(6432), address);
    let admin = section.parsed("admin", loopback(7432), address);
    if postgres == admin && postgres.port() != 0 {
        section.fail("admin", Some(format!("\"{admin}\"")), "must differ from listen.postgres");
    }
    let cert = section.text("tls_cert").map(|file| base_dir.join(file));
    let key = section.text("tls_key").map(|file| base_dir.join(file));
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            section.fail("tls_key", None, "is missing, but listen.tls_cert is given; allowed: both or neither");
            None
        }
        (None, Some(_)) => {
            section.fail("tls_cert", None, "is missing, but listen.tls_key is given; allowed: both or neither");
            None
        }
    };
    let max_clients = section.number("max_clients", 1000, [1, 100_000]);
    let range = [Duration::from_millis(100), Duration::from_secs(600)];
    let startup_timeout = section.duration("startup_timeout", Duration::from_secs(10), range);
    let message_size_max = section.size("message_size_max", 1 << 30, [1 << 16, 1 << 30]);
    let threads = section.number("threads", 0, [0, 1024]);
    let message_size_max = u32::try_from(message_size_max).unwrap_or(u32::MAX);
    section.finish();
    Listen { postgres, admin, tls, max_clients, startup_timeout, message_size_max, threads }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let loopback = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let problem = "must be an IP address and a port, for instance \"127.0.0.1:6432\" or \"[::1]:6432\"";
    loopback.or_else(|| text.parse().ok()).ok_or_else(|| problem.into())
}

/// Directory, time for which tokens are kept, and largest size.
fn log(table: Table, base_dir: &Path, errors: &mut Vec<ConfigError>) -> (PathBuf, Duration, u64) {
    let mut section = Section::new("log", table, errors);
    let dir = section.parsed("dir", PathBuf::from("raidb-log"), |text| {
        if text.is_empty() { Err("must be the path of a directory".into()) } else { Ok(PathBuf::from(text)) }
    });
    let range = [Duration::from_secs(60), Duration::from_secs(30 * 86_400)];
    let tokens_kept = section.duration("tokens_kept", Duration::from_secs(3600), range);
    let size_max = section.size("size_max", 10 << 30, [64 << 20, 16 << 40]);
    section.finish();
    (base_dir.join(dir), tokens_kept, size_max)
}

/// Two virtual databases of one name: clients could reach only one of them.
fn check_names(databases: &[VirtualDatabase], errors: &mut Vec<ConfigError>) {
    let mut seen = BTreeMap::new();
    for (index, database) in databases.iter().enumerate() {
        if database.name.is_empty() {
            continue; // reported where it was read
        }
        if let Some(first) = seen.insert(&database.name, index) {
            errors.push(ConfigError {
                path: format!("virtual_database[{index}].name"),
                value: Some(format!("\"{}\"", database.name)),
                problem: format!("is already the name of virtual_database[{first}]"),
            });
        }
    }
}

/// One database as two members: each write would reach it twice, and behind the other's back. Two databases of one server
/// as members of one virtual database: roles belong to the server, so CREATE ROLE would meet itself.
fn check_targets(databases: &[VirtualDatabase], errors: &mut Vec<ConfigError>) {
    let mut seen = BTreeMap::new();
    for (d, database) in databases.iter().enumerate() {
        let mut servers = BTreeMap::new();
        for (m, member) in database.members.iter().enumerate() {
            if member.url.user.is_empty() {
                continue; // could not be read, and is reported
            }
            let path = format!("virtual_database[{d}].member[{m}].url");
            let target = member.url.target();
            let problem = if let Some(first) = seen.get(&target) {
                format!("names the same database as {first}; a member belongs to one place only")
            } else if let Some(first) = servers.get(&target.0) {
                format!(
                    "names another database of the same server as {first}; each member of a virtual database needs a server \
                     of its own: they would fail together, and roles belong to the server"
                )
            } else {
                servers.insert(target.0.clone(), path.clone());
                seen.insert(target, path);
                continue;
            };
            errors.push(ConfigError { path, value: Some(format!("\"{}\"", member.url)), problem });
        }
    }
}

/// Without users everybody is trusted, so nobody from another machine may reach a listener.
fn check_trust(listen: &Listen, databases: &[VirtualDatabase], errors: &mut Vec<ConfigError>) {
    let Some(index) = databases.iter().position(|database| database.users.is_empty()) else {
        return;
    };
    for (key, address) in [("postgres", listen.postgres), ("admin", listen.admin)] {
        if !address.ip().is_loopback() {
            errors.push(ConfigError {
                path: format!("listen.{key}"),
                value: Some(format!("\"{address}\"")),
                problem: format!(
                    "must be a loopback address, since virtual_database[{index}] has no \
                     [[virtual_database.user]] and trusts every client"
                ),
            });
        }
    }
}
