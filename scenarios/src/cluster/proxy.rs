//! The `raidb` binary as a child process, with the configuration that a run needs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::http;
use super::ports::free_port;
use super::process::{peak_memory, signal};
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// Longest start of the proxy.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Longest time that a member takes to be disabled, or to be on its way back.
const OPERATION_LIMIT: Duration = Duration::from_secs(60);

/// What of the proxy's configuration a scenario chooses.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Name of the virtual database.
    pub database: String,
    /// Name and URL of each member.
    pub members: Vec<(String, String)>,
    /// `member_timeout`.
    pub member_timeout: Duration,
    /// More lines in `[listen]`.
    pub listen: Vec<String>,
    /// More lines in `[log]`.
    pub log: Vec<String>,
    /// More lines in `[[virtual_database]]`.
    pub virtual_database: Vec<String>,
    /// The virtual database's users; none: clients are trusted.
    pub users: Vec<ProxyUser>,
}

/// A client's user, and the user that the members know.
#[derive(Clone, Debug)]
pub struct ProxyUser {
    /// Name that clients give.
    pub name: String,
    /// Password that clients give.
    pub password: String,
    /// User on the members.
    pub member_user: String,
    /// Password on the members.
    pub member_password: String,
}

/// A running proxy of this run. Dropping it kills it; its log folder and ports stay the same over restarts.
#[derive(Debug)]
pub struct Proxy {
    binary: PathBuf,
    home: PathBuf,
    options: ProxyOptions,
    postgres_port: u16,
    admin: String,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

impl Proxy {
    /// Writes `raidb.toml` into `home`, starts the proxy and waits until it takes connections.
    ///
    /// # Errors
    /// No binary, or it is not ready within the limit; the end of its log is shown.
    pub async fn start(home: &Path, binary: Option<&Path>, options: ProxyOptions) -> Result<Self> {
        let binary = find_binary(binary)?;
        let home = home.to_owned();
        let admin = format!("127.0.0.1:{}", free_port()?);
        let mut proxy =
            Self { binary, home, options, postgres_port: free_port()?, admin, environment: Vec::new(), process: None };
        fs::write(proxy.config(), proxy.toml()?)?;
        proxy.restart().await?;
        Ok(proxy)
    }

    /// Starts the proxy, again after [`Proxy::kill_9`] or [`Proxy::stop`].
    ///
    /// # Errors
    /// It is not ready within the limit.
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready().await
    }

    /// Starts the process without waiting for anything.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn spawn(&mut self) -> Result<()> {
        self.spawn_with(&[])
    }

    /// The same, with more arguments on the command line.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn spawn_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.kill_9()?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .current_dir(&self.home)
            .stdin(Stdio::null());
        // The log is a file, and its end is shown in failures.
        command.env("NO_COLOR", "1").envs(self.environment.iter().cloned());
        self.process = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    /// Variables that the process gets at its next start.
    pub fn set_environment(&mut self, variables: Vec<(String, String)>) {
        self.environment = variables;
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// It still runs after `limit`, or was not started.
    pub async fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        let Some(process) = &mut self.process else { return fail("the proxy does not run") };
        loop {
            if let Some(status) = process.try_wait()? {
                self.process = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                return fail(format!("the proxy still runs after {limit:?}"));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let place = Endpoint::local(self.postgres_port, &self.options.database);
        match self.options.users.first() {
            Some(user) => Endpoint { user: user.name.clone(), password: Some(user.password.clone()), ..place },
            None => place,
        }
    }

    /// Address of the admin pages.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The binary that runs.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home.join("raidb.toml")
    }

    /// The folder of its recovery log.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.home.join("raidb-log")
    }

    /// What the proxy printed.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("raidb.stderr")
    }

    /// `GET /status`.
    ///
    /// # Errors
    /// No answer, or not JSON.
    pub async fn status(&self) -> Result<Value> {
        status_at(&self.admin).await
    }

    /// Sum of all samples of the metric `name` in `GET /metrics`; 0 if there is none yet.
    ///
    /// # Errors
    /// No answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = http::get(&self.admin, "/metrics").await?;
        let samples = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with('{') || rest.starts_with(' ')).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        Ok(samples.sum())
    }

    /// Starts `raidb member …` (in this proxy's folder, with its admin address) without waiting for its end.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn spawn_member(&self, arguments: &[&str]) -> Result<tokio::process::Child> {
        let mut command = tokio::process::Command::new(&self.binary);
        command.arg("member").args(arguments).args(["--admin", &self.admin]).current_dir(&self.home);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command.spawn()?)
    }

    /// Runs `raidb member …` to its end. Returns its exit code and what it printed.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub async fn member(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.spawn_member(arguments)?.wait_with_output().await?;
        let printed = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&printed).trim_end().to_owned()))
    }

    /// Kills the proxy with SIGKILL.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn kill_9(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Stops the proxy in order (SIGTERM) and returns its exit code.
    ///
    /// # Errors
    /// It does not end within the limit.
    pub async fn stop(&mut self) -> Result<Option<i32>> {
        let Some(mut process) = self.process.take() else {
            return Ok(None);
        };
        signal("TERM", &[process.id()])?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = process.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                process.kill()?;
                process.wait()?;
                return fail(format!("the proxy did not stop within {START_LIMIT:?}"));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// True while the process runs.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn is_running(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => Ok(process.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Peak resident memory in bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn peak_memory(&self) -> Result<u64> {
        match &self.process {
            Some(process) => peak_memory(process.id()),
            None => fail("the proxy does not run"),
        }
    }

    /// Lines of the proxy's log that tell of a panic.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn panics(&self) -> Result<Vec<String>> {
        let log = String::from_utf8_lossy(&fs::read(self.log())?).into_owned();
        Ok(log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect())
    }

    /// Process id, while it was started and not killed from here.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The last lines of the proxy's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until a process that was spawned takes connections.
    ///
    /// # Errors
    /// Not within the limit.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let endpoint = self.endpoint();
        loop {
            let last = match endpoint.connect().await {
                Ok(client) => match client.simple_query("select 1").await {
                    Ok(_) => return Ok(()),
                    Err(error) => Failure::from(error),
                },
                Err(error) => error,
            };
            if !self.is_running()? || Instant::now() > deadline {
                let tail = self.log_tail(15);
                return fail(format!("the proxy did not come up: {last}; {} ends with:\n{tail}", self.log().display()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn toml(&self) -> Result<String> {
        let ProxyOptions { database, members, member_timeout, listen, log, virtual_database, users } = &self.options;
        let mut text = String::new();
        writeln!(text, "[listen]\npostgres = \"127.0.0.1:{}\"\nadmin = \"{}\"", self.postgres_port, self.admin)?;
        listen.iter().try_for_each(|line| writeln!(text, "{line}"))?;
        writeln!(text, "[log]\ndir = \"{}\"", self.log_dir().display())?;
        log.iter().try_for_each(|line| writeln!(text, "{line}"))?;
        writeln!(text, "[[virtual_database]]\nname = \"{database}\"\nlevel = \"raidb-1\"")?;
        writeln!(text, "member_timeout = \"{}ms\"", member_timeout.as_millis())?;
        virtual_database.iter().try_for_each(|line| writeln!(text, "{line}"))?;
        for user in users {
            writeln!(text, "[[virtual_database.user]]\nname = \"{}\"\npassword = \"{}\"", user.name, user.password)?;
            writeln!(text, "member_user = \"{}\"\nmember_password = \"{}\"", user.member_user, user.member_password)?;
        }
        for (name, url) in members {
            writeln!(text, "[[virtual_database.member]]\nname = \"{name}\"\nurl = \"{url}\"")?;
        }
        Ok(text)
    }
}

/// `GET /status` of the admin pages at that address, for those who outlive the borrow of a [`Proxy`].
///
/// # Errors
/// No answer, or not JSON.
pub async fn status_at(admin: &str) -> Result<Value> {
    Ok(serde_json::from_str(&http::get(admin, "/status").await?)?)
}

/// Does that with a member of a virtual database, by the admin address: `disable`, `enable`.
///
/// # Errors
/// It is refused, or takes too long.
pub async fn operate(admin: &str, database: &str, (member, verb): (&str, &str)) -> Result<()> {
    http::post(admin, &format!("/members/{database}/{member}/{verb}"), OPERATION_LIMIT).await.map(drop)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.kill_9();
    }
}

/// The binary given, or `$RAIDB_BIN`, or the newest `raidb` of the target folders.
fn find_binary(given: Option<&Path>) -> Result<PathBuf> {
    let named = given.map(Path::to_owned).or_else(|| std::env::var_os("RAIDB_BIN").map(PathBuf::from));
    if let Some(path) = named {
        return if path.is_file() { Ok(path.canonicalize()?) } else { fail(format!("no binary {}", path.display())) };
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    let own = std::env::current_exe()?;
    folders.extend(own.ancestors().skip(1).take(2).map(Path::to_owned));
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    folders.extend(["release", "debug"].map(|profile| target.join(profile)));
    let found = folders.iter().map(|folder| folder.join("raidb")).filter(|path| path.is_file());
    let newest = found.max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    newest.ok_or_else(|| Failure::new("no raidb binary: cargo build -p raidb, or --raidb PATH"))
}
