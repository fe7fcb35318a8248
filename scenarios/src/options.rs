//! What a scenario is told, and what it says when it is done.

use std::fmt::{self, Display};
use std::path::PathBuf;

use crate::timeline::Timeline;

/// Somebody's own installation.
#[derive(Clone, Debug)]
pub struct Against {
    /// Its `raidb.toml`.
    pub config: PathBuf,
    /// Which of its virtual databases; the first one, if it is not named.
    pub database: Option<String>,
    /// What may be done to it.
    pub allow: Vec<Allowed>,
}

/// What may be done to an installation that is somebody's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Allowed {
    /// Members are disabled and enabled again, one at a time, by the admin address.
    MemberDisable,
}

/// How a scenario runs. Everything random derives from `seed`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one source of chance.
    pub seed: u64,
    /// How long the load lasts; scenarios without a time-bound load ignore it.
    pub seconds: u64,
    /// How often a scenario that counts its cycles itself repeats what it does, each time with the next seed; the
    /// others are run anew instead.
    pub cycles: u32,
    /// Concurrent clients of the load.
    pub clients: usize,
    /// Transactions (or messages) per client, for loads that are bounded by count.
    pub transactions: usize,
    /// Scale factor of pgbench's tables.
    pub scale: u32,
    /// The `raidb` binary; searched for when not given.
    pub raidb: Option<PathBuf>,
    /// Run against one bare PostgreSQL in place of proxy and members: validates load and checkers themselves.
    pub bare: bool,
    /// Only these parts of a scenario that has several: faults of `chaos`, levels of `list_append` and `hermitage`.
    pub only: Option<String>,
    /// Faults during the load of a scenario that takes them: a list of those of `chaos`, `all` or `none`.
    pub faults: Option<String>,
    /// Where a scenario that has a table of results writes it as Markdown; an HTML page is made by the runner.
    pub report: Option<PathBuf>,
    /// Keep the run's folder (member data, logs, configuration) and print where it is.
    pub keep: bool,
    /// Run against this installation, and start nothing: those of [`crate::scenario::AGAINST`].
    pub against: Option<Against>,
    /// What the run is like over time, for the report.
    pub timeline: Timeline,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            seconds: 20,
            cycles: 1,
            clients: 8,
            transactions: 100,
            scale: 1,
            raidb: None,
            bare: false,
            only: None,
            faults: None,
            report: None,
            keep: false,
            against: None,
            timeline: Timeline::default(),
        }
    }
}

/// The figures of a run, printed on one line as `key=value`.
#[derive(Clone, Debug, Default)]
pub struct Summary(Vec<(String, String)>);

impl Summary {
    /// Adds one figure.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    /// All figures.
    #[must_use]
    pub fn figures(&self) -> &[(String, String)] {
        &self.0
    }

    /// The figure under `key`, for tests.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{key}={value}")?;
        }
        Ok(())
    }
}
