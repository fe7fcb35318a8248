//! Why a member was disabled. The names are stable: they are in the recovery log, in `/status` and in metrics.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::verdict::SqlState;

/// Why a member was disabled. Written as its name, with the SQLSTATE after a colon: `server_error:58030`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Reason {
    /// The connection broke.
    LostConnection,
    /// No answer within `member_timeout`.
    TimedOut,
    /// The server reported a fault of its own (08xxx, 57Pxx, 58xxx, XX00x).
    ServerError {
        /// What it reported.
        sqlstate: SqlState,
    },
    /// Memory, disk or connections ran out on the server (53xxx).
    Resource {
        /// What it reported.
        sqlstate: SqlState,
    },
    /// Its answer differed from that of the majority or the lead.
    Diverged,
    /// An operator asked for it.
    ByOperator,
    /// It could not be reached when the proxy started.
    Unreachable,
    /// Version, encoding, collation or schema do not fit the others.
    DoesNotFit,
    /// A rebuild ended before its last phase: the contents are half a copy.
    RebuildUnfinished,
    /// The recovery log was lost, and the member may lack what others hold.
    LogLost,
    /// The log does not reach back to what it lacks: it was away for longer than `log.size_max` holds.
    BehindLog,
    /// It has carried out a COMMIT of which it alone was to decide, and was lost before it could say so: the others have not.
    Uncertified,
    /// It was never a member: nothing is known of its contents.
    New,
}

/// How a member comes back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WayBack {
    /// From the recovery log.
    Rejoin,
    /// As a copy of another member.
    Rebuild,
}

/// Reasons without data, with their names.
const PLAIN: [(&str, Reason); 11] = [
    ("lost_connection", Reason::LostConnection),
    ("timed_out", Reason::TimedOut),
    ("diverged", Reason::Diverged),
    ("by_operator", Reason::ByOperator),
    ("unreachable", Reason::Unreachable),
    ("does_not_fit", Reason::DoesNotFit),
    ("rebuild_unfinished", Reason::RebuildUnfinished),
    ("log_lost", Reason::LogLost),
    ("behind_log", Reason::BehindLog),
    ("uncertified", Reason::Uncertified),
    ("new", Reason::New),
];

impl Reason {
    /// The stable name, without the SQLSTATE.
    pub fn name(self) -> &'static str {
        match self {
            Self::LostConnection => "lost_connection",
            Self::TimedOut => "timed_out",
            Self::ServerError { .. } => "server_error",
            Self::Resource { .. } => "resource",
            Self::Diverged => "diverged",
            Self::ByOperator => "by_operator",
            Self::Unreachable => "unreachable",
            Self::DoesNotFit => "does_not_fit",
            Self::RebuildUnfinished => "rebuild_unfinished",
            Self::LogLost => "log_lost",
            Self::BehindLog => "behind_log",
            Self::Uncertified => "uncertified",
            Self::New => "new",
        }
    }

    /// Whether the member holds exactly what the log says up to its position, so that a replay from there
    /// is enough. Otherwise it needs a rebuild.
    pub fn contents_are_known(self) -> bool {
        match self {
            Self::LostConnection
            | Self::TimedOut
            | Self::ServerError { .. }
            | Self::Resource { .. }
            | Self::ByOperator
            | Self::Unreachable => true,
            Self::Diverged
            | Self::DoesNotFit
            | Self::RebuildUnfinished
            | Self::LogLost
            | Self::BehindLog
            | Self::Uncertified
            | Self::New => false,
        }
    }

    /// Whether a member that is out for this comes back by itself (with `rejoin = "auto"`), and how. Nobody was told of anything
    /// that is on such a member alone.
    pub fn way_back(self) -> Option<WayBack> {
        match self {
            Self::LogLost | Self::Uncertified => Some(WayBack::Rebuild),
            Self::ByOperator => None,
            reason => reason.contents_are_known().then_some(WayBack::Rejoin),
        }
    }

    /// What the operator should do now about the member of that name.
    pub fn what_to_do(self, member: &str) -> String {
        let enable = format!("raidb member enable {member}");
        let rebuild = format!("raidb member rebuild {member}");
        let by_itself = format!("It comes back by itself when it answers (with rejoin = \"manual\": {enable}).");
        match self {
            Self::LostConnection | Self::Unreachable => {
                format!("See whether the server and the network to it are up, and read its log. {by_itself}")
            }
            Self::TimedOut => format!(
                "See whether the server hangs or is overloaded (CPU, disk, locks held by others than the proxy), and read its \
                 log; raise member_timeout if it is only slow. {by_itself}"
            ),
            Self::ServerError { .. } => format!(
                "Read the server's log for this SQLSTATE, and remove the cause. {by_itself} If its storage was damaged: \
                 raidb member disable {member}, then {rebuild}."
            ),
            Self::Resource { .. } => {
                format!("Free disk, memory or connections on the server (SQLSTATE 53xxx says which). {by_itself}")
            }
            Self::Diverged => format!(
                "Compare the answers; find out who changed the member behind the proxy's back; then run {rebuild}."
            ),
            Self::ByOperator => format!("Nothing; {enable} brings it back."),
            Self::DoesNotFit => {
                format!("Run raidb check and make version, encoding, collation and schema equal; then run {rebuild}.")
            }
            Self::LogLost | Self::Uncertified => {
                format!("Nothing with rejoin = \"auto\": it is rebuilt as soon as it answers. Otherwise run {rebuild}.")
            }
            Self::BehindLog => format!(
                "The recovery log does not reach back to what the member lacks: run {rebuild}; raise log.size_max if members \
                 have to stay away for so long."
            ),
            Self::New => format!("Run {rebuild}: the member becomes a copy of one that is enabled."),
            Self::RebuildUnfinished => format!("Its contents are half a copy: run {rebuild} again."),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ServerError { sqlstate } | Self::Resource { sqlstate } => {
                write!(f, ":{sqlstate}")
            }
            Self::LostConnection
            | Self::TimedOut
            | Self::Diverged
            | Self::ByOperator
            | Self::Unreachable
            | Self::DoesNotFit
            | Self::RebuildUnfinished
            | Self::LogLost
            | Self::BehindLog
            | Self::Uncertified
            | Self::New => Ok(()),
        }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.to_string()
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unknown = || format!("\"{text}\" is not the name of a reason");
        if let Some((name, code)) = text.split_once(':') {
            let sqlstate = SqlState::parse(code.as_bytes()).ok_or_else(unknown)?;
            return match name {
                "server_error" => Ok(Self::ServerError { sqlstate }),
                "resource" => Ok(Self::Resource { sqlstate }),
                _ => Err(unknown()),
            };
        }
        PLAIN.iter().find(|(name, _)| *name == text).map(|(_, reason)| *reason).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let sqlstate = SqlState::parse(b"58030").unwrap();
        let with_state = [Reason::ServerError { sqlstate }, Reason::Resource { sqlstate }];
        for reason in PLAIN.iter().map(|(_, reason)| *reason).chain(with_state) {
            assert_eq!(Reason::try_from(reason.to_string()), Ok(reason));
            assert!(reason.to_string().starts_with(reason.name()));
        }
        for text in ["", "server_error", "server_error:5803", "diverged:58030", "Diverged"] {
            assert!(Reason::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
