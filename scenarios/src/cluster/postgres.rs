//! One real PostgreSQL server, started, broken, and removed.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::certificates::Certificates;
use super::ports::free_port;
use super::process::{descendants, kill_now, signal, state, wait_gone};
use super::template::{BIN, DATABASE, RunAs, copy_to, leave};
use crate::sql::Endpoint;
use crate::{Result, fail};

/// Longest start of a server, crash recovery included.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How a member is set up.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// Name, as in the proxy's configuration.
    pub name: String,
    /// The database that is made on it.
    pub database: String,
    /// If given, `postgres` needs this password (SCRAM-SHA-256) on TCP.
    pub password: Option<String>,
    /// If given, the server offers TLS with these.
    pub tls: Option<Certificates>,
    /// More lines for `postgresql.conf`.
    pub settings: Vec<String>,
}

impl MemberOptions {
    /// A member that trusts everybody on the loopback address.
    #[must_use]
    pub fn new(name: &str, database: &str) -> Self {
        Self { name: name.to_owned(), database: database.to_owned(), password: None, tls: None, settings: Vec::new() }
    }
}

/// A running (or broken) PostgreSQL server of this run. Dropping it kills it.
#[derive(Debug)]
pub struct Member {
    options: MemberOptions,
    home: PathBuf,
    port: u16,
    user: RunAs,
    server: Option<Child>,
}

/// A process that was told to stop has stopped within this time.
const STOPPED_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

impl Member {
    /// Copies the `initdb` template below `home`, starts the server and makes the database.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not come up.
    pub async fn start(home: &Path, options: MemberOptions) -> Result<Self> {
        let user = RunAs::detect()?;
        let home = home.join(&options.name);
        fs::create_dir(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755))?;
        user.own(&home)?;
        copy_to(&home.join("data"), user)?;
        let mut member = Self { options, home, port: free_port()?, user, server: None };
        member.configure()?;
        member.restart().await?;
        member.prepare().await?;
        Ok(member)
    }

    /// Name, as in the proxy's configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// TCP port; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of its Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.home
    }

    /// Where to connect to reach this member directly.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { password: self.options.password.clone(), ..Endpoint::local(self.port, &self.options.database) }
    }

    /// Starts the server on its old data: the first start, or the one after [`Member::kill_9`] or [`Member::stop`].
    ///
    /// # Errors
    /// It is not ready within the limit; its log is named.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill_9()?;
        // A killed server leaves its lock file; a process with the old id may run by now.
        let _ = fs::remove_file(self.home.join("data/postmaster.pid"));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.user.command(format!("{BIN}/postgres"));
        command.arg("-D").arg(self.home.join("data")).stdin(Stdio::null());
        self.server = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        self.wait_ready().await
    }

    /// Kills postmaster and all its children with SIGKILL: nothing of the server lingers.
    ///
    /// # Errors
    /// A process survived.
    pub fn kill_9(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        if server.try_wait()?.is_none() {
            kill_now(server.id())?;
        }
        server.wait()?;
        self.remove_shared_memory();
        Ok(())
    }

    /// A killed server leaves its System V segment behind, whose id only its lock file knows; a machine has 4,096 of them.
    fn remove_shared_memory(&self) {
        let lock_file = fs::read_to_string(self.home.join("data/postmaster.pid")).unwrap_or_default();
        // Its seventh line: key and id.
        let id = lock_file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(id) = id {
            // One that is gone already is as it should be.
            let _ = Command::new("ipcrm").args(["-m", id]).output();
        }
    }

    /// Kills the postmaster alone: its children notice, and end by themselves a little later.
    ///
    /// # Errors
    /// A process survived for more than five seconds.
    pub fn kill_9_postmaster_only(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let all = descendants(server.id());
        server.kill()?;
        server.wait()?;
        if wait_gone(&all).is_err() {
            // Backends that wait inside a query do not look for their postmaster.
            signal("KILL", &all)?;
        }
        wait_gone(&all)
    }

    /// Stops (SIGSTOP) postmaster and all its children: connections stay open, nothing answers.
    ///
    /// # Errors
    /// The server does not run, or did not stop.
    pub fn sigstop_all(&self) -> Result<()> {
        let Some(server) = &self.server else {
            return fail(format!("{} does not run", self.name()));
        };
        signal("STOP", &[server.id()])?;
        signal("STOP", &descendants(server.id()))?;
        // A process that runs at that moment stops at its next entry into the kernel.
        let until = std::time::Instant::now() + STOPPED_LIMIT;
        loop {
            match state(server.id()) {
                Some('T') => return Ok(()),
                other if std::time::Instant::now() >= until => {
                    return fail(format!("{} is in state {other:?} after SIGSTOP", self.name()));
                }
                _ => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
        }
    }

    /// Undoes [`Member::sigstop_all`].
    ///
    /// # Errors
    /// The server does not run.
    pub fn sigcont_all(&self) -> Result<()> {
        let Some(server) = &self.server else {
            return fail(format!("{} does not run", self.name()));
        };
        signal("CONT", &descendants(server.id()))
    }

    /// Stops the server in order (SIGINT, "fast" shutdown).
    ///
    /// # Errors
    /// It does not end within the limit.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        signal("INT", &[server.id()])?;
        let deadline = Instant::now() + START_LIMIT;
        while server.try_wait()?.is_none() {
            if Instant::now() > deadline {
                kill_now(server.id())?;
                return fail(format!("{} did not stop within {START_LIMIT:?}", self.options.name));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Process id of the postmaster, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    fn configure(&self) -> Result<()> {
        let file = self.home.join("data/postgresql.conf");
        let mut text = fs::read_to_string(&file)?;
        let socket = self.home.display();
        write!(
            text,
            "\nlisten_addresses='127.0.0.1'\nport={}\nunix_socket_directories='{socket}'\nmax_connections=200\n\
             shared_buffers='32MB'\nfsync=on\ntimezone='UTC'\nlog_timezone='UTC'\nlog_line_prefix='%m [%p] %q%a '\n\
             log_statement='none'\nmax_wal_size='512MB'\n",
            self.port
        )?;
        if let Some(tls) = &self.options.tls {
            self.install(&tls.certificate, "server.crt")?;
            self.install(&tls.key, "server.key")?;
            writeln!(text, "ssl=on")?;
        }
        for setting in &self.options.settings {
            writeln!(text, "{setting}")?;
        }
        fs::write(&file, text)?;
        Ok(())
    }

    /// Copies a file into the data folder, as its owner's own and nobody else's.
    fn install(&self, file: &Path, name: &str) -> Result<()> {
        let target = self.home.join("data").join(name);
        fs::copy(file, &target)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600))?;
        self.user.own(&target)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let socket = self.home.to_string_lossy().into_owned();
        let local = Endpoint { host: socket, ..Endpoint::local(self.port, "postgres") };
        loop {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().transpose()).is_some();
            if ended || Instant::now() > deadline {
                return fail(format!("{} did not start, see {}", self.name(), self.log().display()));
            }
            // The Unix socket is always trusted, whatever TCP clients need.
            if local.connect().await.is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        let socket = self.home.to_string_lossy().into_owned();
        let local = Endpoint { host: socket, ..Endpoint::local(self.port, "postgres") };
        if !["postgres", DATABASE].contains(&&self.options.database[..]) {
            local.execute(&format!("create database \"{}\"", self.options.database)).await?;
        }
        let Some(secret) = self.options.password.clone() else {
            return Ok(());
        };
        local.execute(&format!("alter user postgres password '{secret}'")).await?;
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(self.home.join("data/pg_hba.conf"), rules)?;
        local.execute("select pg_reload_conf()").await
    }
}

impl Member {
    /// Ends the server and leaves its data to the next one that is started: nobody wants to look at it.
    pub(super) fn recycle(&mut self) {
        if self.kill_9().is_ok() {
            leave(&self.home.join("data"));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A stopped process takes SIGKILL as well; what cannot be killed cannot be reported from here either.
        let _ = self.kill_9();
    }
}
