//! A whole set-up of a run: folder, members, relays on their links, proxy.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use super::certificates::Certificates;
use super::postgres::{Member, MemberOptions};
use super::proxy::{Proxy, ProxyOptions, ProxyUser};
use super::relay::{Delay, Relay};
use crate::sql::Endpoint;
use crate::{Failure, Options, Result, fail};

/// What a scenario's set-up looks like.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many members (one for a bare run, whatever is asked).
    pub members: usize,
    /// Name of the database on members and proxy.
    pub database: String,
    /// `member_timeout` of the proxy.
    pub member_timeout: Duration,
    /// Put a relay with these delays in front of every member but the first.
    pub follower_delay: Option<Delay>,
    /// Put a relay in front of every member, for faults of the links.
    pub relays: bool,
    /// Password that the members ask for.
    pub member_password: Option<String>,
    /// Members offer TLS, and the proxy verifies them; its own certificate is the same.
    pub tls: bool,
    /// Users of the virtual database.
    pub users: Vec<ProxyUser>,
    /// More lines in the proxy's `[listen]`.
    pub listen: Vec<String>,
    /// More lines in the proxy's `[log]`.
    pub log: Vec<String>,
    /// More lines in the proxy's `[[virtual_database]]`.
    pub virtual_database: Vec<String>,
    /// More lines in each member's `postgresql.conf`.
    pub member_settings: Vec<String>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            members: 3,
            database: "bench".to_owned(),
            member_timeout: Duration::from_secs(3),
            follower_delay: None,
            relays: false,
            member_password: None,
            tls: false,
            users: Vec::new(),
            listen: Vec::new(),
            log: Vec::new(),
            virtual_database: Vec::new(),
            member_settings: Vec::new(),
        }
    }
}

/// Members, relays and proxy of one run. Fields are dropped in order: clients of a process before the process.
#[derive(Debug)]
pub struct Cluster {
    /// The proxy; none in a bare run.
    pub proxy: Option<Proxy>,
    /// What stands before each member, if anything does.
    pub relays: Vec<Option<Relay>>,
    /// The members, in the order of the configuration.
    pub members: Vec<Member>,
    /// Certificates, if there is TLS.
    pub certificates: Option<Certificates>,
    /// The run's folder.
    home: TempDir,
    /// It stays.
    kept: bool,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.kept {
            self.proxy = None;
            self.members.iter_mut().for_each(Member::recycle);
        }
    }
}

impl Cluster {
    /// Starts everything.
    ///
    /// # Errors
    /// A process does not come up.
    pub async fn start(options: &Options, setup: ClusterOptions) -> Result<Self> {
        let mut home = tempfile::Builder::new().prefix("raidb-scenario-").tempdir()?;
        home.disable_cleanup(options.keep);
        // Members run as another user and must reach their folders below.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755))?;
        if options.keep {
            eprintln!("kept: {}", home.path().display());
        }
        let certificates = setup.tls.then(|| Certificates::make(home.path())).transpose()?;
        let count = if options.bare { 1 } else { setup.members };
        let starting = (1..=count).map(|number| {
            let mut member = MemberOptions::new(&format!("pg{number}"), &setup.database);
            member.password.clone_from(&setup.member_password);
            member.settings.clone_from(&setup.member_settings);
            member.tls.clone_from(&certificates);
            Member::start(home.path(), member)
        });
        let members = futures::future::try_join_all(starting).await?;
        let kept = options.keep;
        let mut cluster = Self { proxy: None, relays: Vec::new(), members, certificates, home, kept };
        if !options.bare {
            cluster.start_proxy(options, setup).await?;
        }
        Ok(cluster)
    }

    async fn start_proxy(&mut self, options: &Options, setup: ClusterOptions) -> Result<()> {
        let mut urls = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            let mut endpoint = member.endpoint();
            let delay = setup.follower_delay.filter(|_| index > 0).or(setup.relays.then_some(Delay::NONE));
            let mut relay = None;
            if let Some(delay) = delay {
                let seed = options.seed.wrapping_mul(1000).wrapping_add(index as u64);
                let started = Relay::start(endpoint.port, delay, seed).await?;
                endpoint.port = started.port();
                relay = Some(started);
            }
            self.relays.push(relay);
            let mut url = endpoint.url();
            if let Some(files) = &self.certificates {
                url.push_str(&format!("?sslmode=verify-full&sslrootcert={}", files.authority.display()));
            }
            urls.push((member.name().to_owned(), url));
        }
        let mut listen = setup.listen;
        if let Some(files) = &self.certificates {
            listen.push(format!("tls_cert = \"{}\"", files.certificate.display()));
            listen.push(format!("tls_key = \"{}\"", files.key.display()));
        }
        let proxy = ProxyOptions {
            database: setup.database,
            members: urls,
            member_timeout: setup.member_timeout,
            listen,
            log: setup.log,
            virtual_database: setup.virtual_database,
            users: setup.users,
        };
        self.proxy = Some(Proxy::start(self.home.path(), options.raidb.as_deref(), proxy).await?);
        Ok(())
    }

    /// The run's folder, for files of the load.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Keeps the run's folder after all, for whoever looks into a failure.
    pub fn keep(&mut self) {
        self.home.disable_cleanup(true);
        self.kept = true;
    }

    /// Where the load connects: the proxy, or in a bare run the one member.
    ///
    /// # Panics
    /// Never: a cluster has at least one member.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.proxy.as_ref().map_or_else(|| self.members[0].endpoint(), Proxy::endpoint)
    }

    /// The link to that member.
    ///
    /// # Errors
    /// No relay stands before it.
    pub fn link(&self, member: usize) -> Result<&Relay> {
        let relay = self.relays.get(member).and_then(Option::as_ref);
        relay.ok_or_else(|| Failure::new(format!("no relay before member {member}")))
    }

    /// The proxy; a bare run, which has none, fails here.
    ///
    /// # Errors
    /// A bare run.
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().ok_or_else(|| Failure::new("this scenario needs the proxy: it cannot run with --bare"))
    }

    /// The proxy, to start or stop it.
    ///
    /// # Errors
    /// A bare run.
    pub fn proxy_mut(&mut self) -> Result<&mut Proxy> {
        self.proxy.as_mut().ok_or_else(|| Failure::new("this scenario needs the proxy: it cannot run with --bare"))
    }

    /// Name and state of each member, as `/status` tells them; a bare run has one enabled member.
    ///
    /// # Errors
    /// `/status` does not answer or has another shape.
    pub async fn member_states(&self) -> Result<Vec<(String, String)>> {
        let Some(proxy) = &self.proxy else {
            return Ok(vec![(self.members[0].name().to_owned(), "enabled".to_owned())]);
        };
        states_in(&proxy.status().await?)
    }

    /// Index of the lead, as `/status` tells it (`role` = `lead`).
    ///
    /// # Errors
    /// `/status` does not answer or names no lead.
    pub async fn lead(&self) -> Result<usize> {
        let status = self.proxy()?.status().await?;
        let members = status["virtual_databases"][0]["members"].as_array();
        let lead = members.and_then(|members| members.iter().find(|member| member["role"] == "lead"));
        let name = lead.and_then(|member| member["name"].as_str());
        let index = self.members.iter().position(|member| Some(member.name()) == name);
        index.ok_or_else(|| Failure::new(format!("no lead in /status: {status}")))
    }

    /// The members that `/status` calls enabled.
    ///
    /// # Errors
    /// `/status` does not answer.
    pub async fn enabled(&self) -> Result<Vec<&Member>> {
        let states = self.member_states().await?;
        let is_enabled = |name: &str| states.iter().any(|(member, state)| member == name && state == "enabled");
        Ok(self.members.iter().filter(|member| is_enabled(member.name())).collect())
    }

    /// Fails unless every member is enabled.
    ///
    /// # Errors
    /// One is not; `/status` is shown whole, since it says why.
    pub async fn expect_all_enabled(&self) -> Result<()> {
        let states = self.member_states().await?;
        if states.iter().all(|(_, state)| state == "enabled") {
            return Ok(());
        }
        fail(format!("a member was disabled without a fault: {}", self.proxy()?.status().await?))
    }

    /// Waits until `/status` shows the member in that state.
    ///
    /// # Errors
    /// Not within `limit`.
    pub async fn wait_for_state(&self, member: &str, state: &str, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let states = self.member_states().await?;
            if states.iter().any(|(name, now)| name == member && now == state) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                return fail(format!("{member} is not {state} after {limit:?}: {states:?}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Name and state of each member in what `/status` told.
///
/// # Errors
/// It has another shape.
pub fn states_in(status: &serde_json::Value) -> Result<Vec<(String, String)>> {
    let Some(members) = status["virtual_databases"][0]["members"].as_array() else {
        return fail(format!("unexpected /status: {status}"));
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    Ok(members.iter().map(|member| (text(&member["name"]), text(&member["state"]))).collect())
}
