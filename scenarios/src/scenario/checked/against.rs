//! The same loads against an installation that is somebody's own: by its listener, in a schema of their own that is
//! dropped at the end. Nothing is killed; what its owner allows goes through the admin address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raidb_core::config::{Config, Endpoint as Place, MemberUrl, SslMode, VirtualDatabase};
use tokio::time::timeout;

use super::HANG_LIMIT;
use super::disabling::Disabling;
use crate::checkers::{Address, EqualityOptions, addresses_equal};
use crate::cluster::status_at;
use crate::sql::Endpoint;
use crate::workloads::checked::{Course, SCHEMA, Workload};
use crate::{Against, Allowed, Failure, Options, Result, Summary, fail};

/// What of an installation matters here.
pub(super) struct Installation {
    pub(super) database: String,
    /// Its admin pages.
    pub(super) admin: String,
    endpoint: Endpoint,
    /// Members that can be asked directly.
    reachable: Vec<Address>,
    /// Those that cannot, and why.
    unreachable: Vec<String>,
}

pub(super) async fn run(against: &Against, options: &Options, workload: &impl Workload) -> Result<Summary> {
    let installation = Installation::read(against)?;
    let place = installation.endpoint.shown();
    let exists = format!("select count(*)::text from pg_namespace where nspname = '{SCHEMA}'");
    if installation.endpoint.value(&exists).await? != "0" {
        return fail(format!(
            "{place} has a schema {SCHEMA}: another run is at work, or one was interrupted (then: drop schema {SCHEMA} cascade)"
        ));
    }
    installation.endpoint.execute(&format!("create schema {SCHEMA}")).await?;
    let result = installation.whole(against, options, workload).await;
    if options.keep {
        eprintln!("kept: schema {SCHEMA} at {place}");
        return result;
    }
    let dropped = installation.endpoint.execute(&format!("drop schema {SCHEMA} cascade")).await;
    let summary = result?;
    dropped.map_err(|error| error.during(format!("drop schema {SCHEMA}")))?;
    Ok(summary)
}

impl Installation {
    /// # Errors
    /// The file is not a configuration, or has no such virtual database.
    fn read(against: &Against) -> Result<Self> {
        let file = &against.config;
        let text = std::fs::read_to_string(file).map_err(|error| Failure::from(error).during(file.display()))?;
        let folder = file.parent().unwrap_or_else(|| std::path::Path::new("."));
        let config =
            Config::parse(&text, folder).map_err(|errors| Failure::new(format!("{}: {errors}", file.display())))?;
        let wanted = against.database.as_deref();
        let found = config.virtual_databases.iter().find(|database| wanted.is_none_or(|name| database.name == name));
        let Some(database) = found else {
            return fail(format!("{}: no virtual database {}", file.display(), wanted.unwrap_or("at all")));
        };
        let (mut reachable, mut unreachable) = (Vec::new(), Vec::new());
        for member in &database.members {
            match direct(&member.url) {
                Ok(endpoint) => reachable.push(Address { name: member.name.clone(), endpoint }),
                Err(why) => unreachable.push(format!("{}: {why}", member.name)),
            }
        }
        let endpoint = listener(&config, database);
        Ok(Self {
            database: database.name.clone(),
            admin: local(config.listen.admin),
            endpoint,
            reachable,
            unreachable,
        })
    }

    /// Load, faults and checks, in a schema that is there.
    async fn whole(&self, against: &Against, options: &Options, workload: &impl Workload) -> Result<Summary> {
        self.endpoint.execute(&workload.tables()).await?;
        let history = format!("raidb-scenarios-{}.jsonl", options.seed);
        let history = options.keep.then(|| std::path::PathBuf::from(history));
        let course = Course::begin(self.endpoint.clone(), options, history.as_deref())?;
        let disabled = self.under(against, options, (&course, workload)).await?;
        course.verdict()?;
        workload.check(&course, &self.endpoint).await?;
        let compared = self.compare(&course, workload).await?;
        Ok(workload.figures(course.figures()).with("disabled", disabled).with("members_compared", compared))
    }

    /// The load, and what is allowed meanwhile. Returns how often a member was disabled.
    async fn under(
        &self,
        against: &Against,
        options: &Options,
        (course, workload): (&Course, &impl Workload),
    ) -> Result<u64> {
        let limit = Duration::from_secs(options.seconds) + HANG_LIMIT;
        let is_over = AtomicBool::new(false);
        let load = async {
            let result = timeout(limit, course.run(workload)).await;
            is_over.store(true, Ordering::SeqCst);
            result.unwrap_or_else(|_| fail(format!("no end within {limit:?}")))
        };
        if !against.allow.contains(&Allowed::MemberDisable) {
            return load.await.map(|()| 0);
        }
        let mut disabling = Disabling::new(self, options);
        // Both to their ends: whoever was disabled must be enabled again, whatever becomes of the load.
        let (load, disabled) = tokio::join!(load, disabling.run(&is_over));
        load?;
        disabled
    }

    /// All enabled members that can be asked, with each other and with what clients were told. Returns how many.
    async fn compare(&self, course: &Course, workload: &impl Workload) -> Result<usize> {
        for why in &self.unreachable {
            eprintln!("not compared: {why}");
        }
        let enabled = self.enabled().await;
        let mut members = Vec::new();
        for member in &self.reachable {
            if enabled.as_ref().is_ok_and(|enabled| !enabled.contains(&member.name)) {
                eprintln!("not compared: {} is not enabled", member.name);
            } else if let Err(error) = member.endpoint.connect().await {
                eprintln!("not compared: {}: {error}", member.name);
            } else {
                members.push(member.clone());
            }
        }
        if members.is_empty() {
            return Ok(0);
        }
        addresses_equal(&members, EqualityOptions::of_schema(SCHEMA)).await?;
        for member in &members {
            workload.check(course, &member.endpoint).await.map_err(|error| error.during(&member.name))?;
        }
        Ok(members.len())
    }

    /// Names of the enabled members, as `/status` tells them.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn enabled(&self) -> Result<Vec<String>> {
        let status = status_at(&self.admin).await?;
        let databases = status["virtual_databases"].as_array().into_iter().flatten();
        let members = databases
            .filter(|database| database["name"] == self.database.as_str())
            .flat_map(|database| database["members"].as_array().into_iter().flatten())
            .filter(|member| member["state"] == "enabled")
            .filter_map(|member| member["name"].as_str().map(str::to_owned));
        Ok(members.collect())
    }
}

/// An address to connect to: one that listens on all is reached on this machine.
fn local(address: std::net::SocketAddr) -> String {
    match address {
        _ if !address.ip().is_unspecified() => address.to_string(),
        std::net::SocketAddr::V4(_) => format!("127.0.0.1:{}", address.port()),
        std::net::SocketAddr::V6(_) => format!("[::1]:{}", address.port()),
    }
}

/// Where clients connect, as the first user, or, where all are trusted, as the members' user.
fn listener(config: &Config, database: &VirtualDatabase) -> Endpoint {
    let address = config.listen.postgres;
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        std::net::IpAddr::V4(_) => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(_) => "::1".to_owned(),
    };
    let (user, password) = match (database.users.first(), database.members.first()) {
        (Some(user), _) => (user.name.clone(), Some(user.password.expose().to_owned())),
        (None, Some(member)) => (member.url.user.clone(), None),
        (None, None) => ("postgres".to_owned(), None),
    };
    Endpoint { host, port: address.port(), database: database.name.clone(), user, password }
}

/// A member, if it can be asked without TLS.
fn direct(url: &MemberUrl) -> Result<Endpoint, &'static str> {
    if matches!(url.sslmode, SslMode::Require | SslMode::VerifyFull) {
        return Err("its URL asks for TLS, which this program does not speak");
    }
    let (host, port) = match &url.endpoint {
        Place::Tcp { host, port } => (host.clone(), *port),
        Place::Unix { dir, port } => (dir.display().to_string(), *port),
    };
    let password = url.password.as_ref().map(|secret| secret.expose().to_owned());
    Ok(Endpoint { host, port, database: url.dbname.clone(), user: url.user.clone(), password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_where_to_connect_and_as_whom() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("raidb.toml");
        let text = "[listen]\npostgres = \"0.0.0.0:6432\"\n[log]\ndir = \"log\"\n\
            [[virtual_database]]\nname = \"other\"\n[[virtual_database.user]]\nname = \"u\"\npassword = \"p\"\n\
            [[virtual_database.member]]\nname = \"a\"\nurl = \"postgresql://me@h1:5433/x\"\n\
            [[virtual_database]]\nname = \"shop\"\n[[virtual_database.user]]\nname = \"app\"\npassword = \"s3cret\"\n\
            [[virtual_database.member]]\nname = \"pg1\"\nurl = \"postgresql://me:pw@h1:5433/shop_1\"\n\
            [[virtual_database.member]]\nname = \"pg2\"\nurl = \"postgresql://me@h2/shop_2?sslmode=require\"\n";
        std::fs::write(&config, text).expect("a file");
        let against = Against { config, database: Some("shop".to_owned()), allow: Vec::new() };
        let found = Installation::read(&against).expect("an installation");
        assert_eq!(found.endpoint.url(), "postgresql://app:s3cret@127.0.0.1:6432/shop");
        assert_eq!(found.endpoint.shown(), "postgresql://app@127.0.0.1:6432/shop");
        assert_eq!(found.reachable.len(), 1);
        assert_eq!(found.reachable[0].endpoint.url(), "postgresql://me:pw@h1:5433/shop_1");
        assert!(found.unreachable[0].starts_with("pg2: "));
        let none = Against { database: Some("none".to_owned()), ..against };
        assert!(Installation::read(&none).is_err());
    }
}
