//! What the configuration says of one virtual database, as its sessions need it.

use std::time::Duration;

use raidb_core::config::{Rejoin, UnsafeStatement, User};
use raidb_core::placement::Pick;

use crate::wire::FrameLimit;

/// See the module.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The RAIDb name, for display.
    pub level: String,
    /// Which member a read goes to.
    pub pick: Pick,
    /// How much longer than the lead a follower may take, and how long a heartbeat may.
    pub member_timeout: Duration,
    /// Who brings back a member that answers again.
    pub rejoin: Rejoin,
    /// What becomes of a statement that is not proven to do the same on every member.
    pub unsafe_statement: UnsafeStatement,
    /// Connections to one member at a time.
    pub connections_max: usize,
    /// Bytes that the recovery log may have before members that hold it back are given up.
    pub log_size_max: u64,
    /// Largest message that a client may send.
    pub client_frames: FrameLimit,
    /// How long the log is kept for the sake of tokens.
    pub tokens_kept: Duration,
    /// Who may connect; empty: everybody, as the members' own login.
    pub users: Vec<User>,
    /// Members for which alone a start with an empty log waits; empty: for all of them.
    pub adopt: Vec<String>,
}

/// Largest message that a member may send (PostgreSQL's own limit of a value is 1 GiB).
pub const MEMBER_FRAMES: FrameLimit = FrameLimit { bytes_max: 0x4000_0000 + 64 * 1024 };

/// Defaults of the members' own configuration that change how a session is led.
#[derive(Clone, Copy, Debug)]
pub struct MemberDefaults {
    /// `default_transaction_isolation`.
    pub isolation: raidb_core::sql::analysis::Isolation,
    /// A time limit is set for everybody.
    pub time_limits: bool,
}

impl Default for MemberDefaults {
    fn default() -> Self {
        MemberDefaults { isolation: raidb_core::sql::analysis::Isolation::ReadCommitted, time_limits: false }
    }
}
