//! What a transaction is beside its statements: isolation level, access mode, deferrable. PostgreSQL calls them its characteristics.
//!
//! **Every BEGIN on the lead names the level** that the proxy goes by. If the lead had another default than is believed (a role's, one
//! that was changed since it was read), it could refuse a COMMIT that goes to all members at once, and followers would have committed
//! what it refuses.

use bytes::Bytes;
use raidb_core::sql::analysis::{Isolation, TransactionModes};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characteristics {
    /// Isolation level.
    pub isolation: Isolation,
    /// READ ONLY or READ WRITE; `None`: the session's default.
    pub read_only: Option<bool>,
    /// The same of DEFERRABLE.
    pub deferrable: Option<bool>,
}

impl Characteristics {
    /// Those of a session's default level.
    #[must_use]
    pub fn plain(isolation: Isolation) -> Self {
        Characteristics { isolation, read_only: None, deferrable: None }
    }

    /// With what a BEGIN or SET TRANSACTION names.
    #[must_use]
    pub fn with(self, modes: &TransactionModes) -> Self {
        Characteristics {
            isolation: modes.isolation.unwrap_or(self.isolation),
            read_only: modes.read_only.or(self.read_only),
            deferrable: modes.deferrable.or(self.deferrable),
        }
    }

    /// The BEGIN on the lead.
    #[must_use]
    pub fn begin(self) -> Bytes {
        match (self.isolation, self.read_only, self.deferrable) {
            (Isolation::ReadCommitted, None, None) => Bytes::from_static(b"BEGIN ISOLATION LEVEL READ COMMITTED"),
            _ => Bytes::from(format!("BEGIN {}", texts(&self.modes()).join(", "))),
        }
    }

    fn modes(self) -> TransactionModes {
        TransactionModes { isolation: Some(self.isolation), read_only: self.read_only, deferrable: self.deferrable }
    }
}

/// SET TRANSACTION for what a BEGIN names although the transaction has begun already; `None`: nothing.
#[must_use]
pub fn set_transaction(modes: &TransactionModes) -> Option<String> {
    let texts = texts(modes);
    (!texts.is_empty()).then(|| format!("SET TRANSACTION {}", texts.join(", ")))
}

/// Each mode as SQL.
#[must_use]
pub fn texts(modes: &TransactionModes) -> Vec<&'static str> {
    let isolation = modes.isolation.map(|level| match level {
        Isolation::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
        Isolation::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "ISOLATION LEVEL SERIALIZABLE",
    });
    let access = modes.read_only.map(|read_only| if read_only { "READ ONLY" } else { "READ WRITE" });
    let deferrable = modes.deferrable.map(|deferrable| if deferrable { "DEFERRABLE" } else { "NOT DEFERRABLE" });
    [isolation, access, deferrable].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_begin_names_its_level() {
        let plain = Characteristics::plain(Isolation::ReadCommitted);
        assert_eq!(plain.begin(), "BEGIN ISOLATION LEVEL READ COMMITTED");
        let modes = |isolation, read_only, deferrable| TransactionModes { isolation, read_only, deferrable };
        let serializable = plain.with(&modes(Some(Isolation::Serializable), Some(true), None));
        assert_eq!(serializable.begin(), "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY");
        let later = serializable.with(&modes(None, Some(false), Some(true)));
        assert_eq!(later.begin(), "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE, DEFERRABLE");
        assert_eq!(later.with(&TransactionModes::default()), later);
    }

    #[test]
    fn a_begin_within_a_transaction_sets_what_it_names() {
        assert_eq!(set_transaction(&TransactionModes::default()), None);
        let modes = TransactionModes { read_only: Some(true), ..TransactionModes::default() };
        assert_eq!(set_transaction(&modes).as_deref(), Some("SET TRANSACTION READ ONLY"));
    }
}
