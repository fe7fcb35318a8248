//! The three isolation levels of PostgreSQL, and the model that each keeps.

use crate::{Failure, Result};

/// An isolation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Each statement sees what was committed when it began.
    ReadCommitted,
    /// One snapshot for the whole transaction, and the first of two updates wins.
    RepeatableRead,
    /// As if one transaction came after the other.
    Serializable,
}

impl Level {
    /// All three, the weakest first.
    pub const ALL: [Self; 3] = [Self::ReadCommitted, Self::RepeatableRead, Self::Serializable];

    /// As SQL names it.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }

    /// As options and tables name it.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::ReadCommitted => "rc",
            Self::RepeatableRead => "rr",
            Self::Serializable => "ser",
        }
    }

    /// All of them, or those in the comma-separated list of short names.
    ///
    /// # Errors
    /// There is no such level.
    pub fn chosen(only: Option<&str>) -> Result<Vec<Self>> {
        let Some(only) = only else {
            return Ok(Self::ALL.to_vec());
        };
        let find = |name: &str| Self::ALL.into_iter().find(|level| level.short() == name);
        let names = Self::ALL.map(Self::short).join(", ");
        only.split(',')
            .map(|name| find(name).ok_or_else(|| Failure::new(format!("no level {name}: there are {names}"))))
            .collect()
    }

    /// What one PostgreSQL keeps at this level, in the names of `adya`. READ COMMITTED: no G0, G1a, G1b, G1c. REPEATABLE
    /// READ, which is snapshot isolation: nor lost updates, G-single, G-nonadjacent. SERIALIZABLE: nor G2. Each also in real
    /// time, since one server's snapshots are never older than what it has acknowledged.
    #[must_use]
    pub(super) fn models(self) -> &'static [&'static str] {
        match self {
            Self::ReadCommitted => &["strong-read-committed"],
            Self::RepeatableRead => &["strong-snapshot-isolation"],
            Self::Serializable => &["strict-serializable"],
        }
    }
}
