//! A PostgreSQL server of this benchmark, as every target gets it: flushed commits, 128 MB of shared buffers.

use crate::account::Account;
use crate::error::{Context as _, Failure, Result};
use crate::ports;
use crate::process::Server;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What differs from PostgreSQL's defaults. `fsync` is repeated because everything hangs on it.
pub(crate) const SETTINGS: [&str; 7] = [
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=128MB",
    "max_connections=200",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "log_min_messages=warning",
];

/// How long a server may take from listening to answering.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A running member.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name in configurations.
    pub(crate) name: String,
    /// Where it listens on loopback.
    pub(crate) port: u16,
    bin: PathBuf,
    _server: Server,
}

impl Member {
    /// Creates an empty cluster in the folder and starts it.
    pub(crate) fn start(bin: &Path, account: Account, dir: &Path, name: &str) -> Result<Self> {
        let data = dir.join(name);
        let initdb = account
            .command(&bin.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&data)
            .output()
            .context(|| "cannot run initdb".into())?;
        if !initdb.status.success() {
            return Err(Failure::new(format!(
                "initdb: {}",
                String::from_utf8_lossy(&initdb.stderr)
            )));
        }
        let port = ports::free()?;
        let mut command = account.command(&bin.join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let log = dir.join(format!("{name}.log"));
        let server = Server::start(name, command, port, &log)?.stopped_by("INT");
        let member = Self {
            name: name.into(),
            port,
            bin: bin.into(),
            _server: server,
        };
        member.wait_until_answering()?;
        Ok(member)
    }

    fn wait_until_answering(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.sql("postgres", "SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > ANSWER_LIMIT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Runs one statement directly on this member; the answer as psql prints it without decoration.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
            ])
            .args([
                "-p",
                &self.port.to_string(),
                "-d",
                database,
                "-c",
                statement,
            ])
            .output()
            .context(|| "cannot run psql".into())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(format!(
            "{}: {statement}: {}",
            self.name,
            reason.trim()
        )))
    }

    /// Makes the data that every target starts from: pgbench's tables and the table of the insert load.
    pub(crate) fn create_template(&self, scale: u32) -> Result<()> {
        self.sql("postgres", &format!("CREATE DATABASE {TEMPLATE}"))?;
        let output = Command::new(self.bin.join("pgbench"))
            .args([
                "-i",
                "-q",
                "-s",
                &scale.to_string(),
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
            ])
            .args(["-p", &self.port.to_string(), TEMPLATE])
            .output()
            .context(|| "cannot run pgbench".into())?;
        if !output.status.success() {
            return Err(Failure::new(format!(
                "pgbench -i: {}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        self.sql(
            TEMPLATE,
            "CREATE TABLE bench_insert (id bigint PRIMARY KEY, v integer, t text)",
        )?;
        Ok(())
    }

    /// A fresh copy of the template. Nothing else may be connected to it.
    pub(crate) fn recreate(&self, database: &str) -> Result<()> {
        self.drop_database(database)?;
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}"),
        )?;
        Ok(())
    }

    /// Removes a database, with whoever is still connected to it.
    pub(crate) fn drop_database(&self, database: &str) -> Result<()> {
        self.sql(
            "postgres",
            &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
        )?;
        Ok(())
    }

    /// The same start for every load: statistics fresh, nothing left to write.
    pub(crate) fn settle(&self, database: &str) -> Result<()> {
        self.sql(database, "VACUUM ANALYZE")?;
        self.sql(database, "CHECKPOINT")?;
        Ok(())
    }
}

const TEMPLATE: &str = "bench_template";
