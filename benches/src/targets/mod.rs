//! What is measured: one file for each, behind one small trait.

mod pgbouncer;
mod pgpool;
mod postgres;
mod raidb;
mod three_at_once;

use crate::process::Server;
use scenarios::Result;
use std::path::{Path, PathBuf};

/// A target; the order is the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Postgres,
    ThreeAtOnce,
    PgBouncer,
    Pgpool,
    Raidb,
}

impl Name {
    pub(crate) const ALL: [Self; 5] = [Self::Postgres, Self::ThreeAtOnce, Self::PgBouncer, Self::Pgpool, Self::Raidb];

    /// The name in tables and on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::ThreeAtOnce => "three-at-once",
            Self::PgBouncer => "pgbouncer",
            Self::Pgpool => "pgpool",
            Self::Raidb => "raidb",
        }
    }

    /// The target behind the name.
    pub(crate) fn target(self, raidb: &Path) -> Box<dyn Target> {
        match self {
            Self::Postgres => Box::new(postgres::Postgres),
            Self::ThreeAtOnce => Box::new(three_at_once::ThreeAtOnce),
            Self::PgBouncer => Box::new(pgbouncer::PgBouncer),
            Self::Pgpool => Box::new(pgpool::Pgpool),
            Self::Raidb => Box::new(raidb::Raidb { program: raidb.into() }),
        }
    }
}

/// Where a target may put its files and what it stands in front of.
#[derive(Debug)]
pub(crate) struct Place {
    /// A folder of its own, which servers may write whoever they run as.
    pub(crate) dir: PathBuf,
    /// Names and ports.
    pub(crate) members: Vec<(String, u16)>,
}

/// A started target: pgbench is pointed at every port at the same time.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) ports: Vec<u16>,
    /// Stopped when this value is dropped. None for the bare servers.
    pub(crate) server: Option<Server>,
}

/// Something that answers like a PostgreSQL server.
pub(crate) trait Target {
    /// Why it cannot be measured here, if it cannot.
    fn missing(&self) -> Option<String>;

    /// What the record says about its version.
    fn version(&self) -> Option<String>;

    /// Whether every write has to be on every member afterwards.
    fn replicates(&self) -> bool;

    /// Starts it in front of the members.
    fn start(&self, place: &Place) -> Result<Started>;
}
