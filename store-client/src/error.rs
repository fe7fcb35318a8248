//! The one error of this crate: opaque, with the questions that a caller has.

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::{DbError, Severity, SqlState};

/// A request to the store failed. What to do next is what the predicates tell; `Display` is for people, on one line.
#[derive(Debug)]
pub struct Error {
    fate: Fate,
    cause: Cause,
}

/// What is known of the changes that the request was to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// None was made, and none will be.
    Nothing,
    /// Nobody could say within the limit.
    Unknown,
}

#[derive(Debug)]
pub(crate) enum Cause {
    /// The driver's error: said by the endpoint, or about the connection to it.
    Driver(tokio_postgres::Error),
    /// No answer within [`Options::answer_limit`](crate::Options::answer_limit).
    NoAnswer(Duration),
    /// The source of a streamed body failed.
    Source(std::io::Error),
    /// A URL that cannot be read.
    Url(tokio_postgres::Error),
    /// Bad input, with what is allowed.
    Input(String),
    /// The tables are missing or of another version.
    Schema(String),
    /// A claim, lock or lease is another one's by now.
    NotHeld(String),
}

impl Error {
    pub(crate) fn new(cause: Cause) -> Self {
        Self { fate: Fate::Nothing, cause }
    }

    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::new(Cause::Input(text.into()))
    }

    pub(crate) fn schema(text: impl Into<String>) -> Self {
        Self::new(Cause::Schema(text.into()))
    }

    pub(crate) fn not_held(text: impl Into<String>) -> Self {
        Self::new(Cause::NotHeld(text.into()))
    }

    /// The same failure, of which nobody could say whether the write was carried out.
    pub(crate) fn unknown(self) -> Self {
        Self { fate: Fate::Unknown, ..self }
    }

    /// Nothing was changed, and the same request may succeed later: the endpoint could not be reached, or ended the
    /// connection; a deadlock, a serialization failure, a server that starts or stops, a connection limit. The
    /// session has tried again by itself already, up to [`Options::retry_limit`](crate::Options::retry_limit).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.fate == Fate::Nothing && (self.is_lost() || self.is_momentary())
    }

    /// The write may or may not have been carried out, and the endpoint could not be asked within
    /// [`Options::retry_limit`](crate::Options::retry_limit). Never repeat it blindly.
    #[must_use]
    pub fn is_unknown_outcome(&self) -> bool {
        self.fate == Fate::Unknown
    }

    /// A delivery, lock or lease that was held is another one's by now; nothing was changed. Never retryable.
    #[must_use]
    pub fn is_not_held(&self) -> bool {
        matches!(self.cause, Cause::NotHeld(_))
    }

    /// The SQLSTATE that the endpoint answered with (five characters), if it answered.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match &self.cause {
            Cause::Driver(error) => error.code().map(SqlState::code),
            _ => None,
        }
    }

    /// The connection is of no use any more, and says nothing of what was last sent on it. Last words of the server
    /// (57P01) neither: they may have come before the request was read, or between its commit and the answer.
    pub(crate) fn is_lost(&self) -> bool {
        match &self.cause {
            Cause::NoAnswer(_) => true,
            Cause::Driver(error) => error.as_db_error().map_or_else(|| is_broken(error), ends_session),
            _ => false,
        }
    }

    /// What ended with this may have been carried out: [`Error::is_lost`], or the endpoint cannot know either (08007, 40003), or
    /// it speaks of its own end. To ask once too often does no harm.
    pub(crate) fn leaves_doubt(&self) -> bool {
        let doubtful = |code: &SqlState| {
            *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
                || ["08", "57P"].iter().any(|class| code.code().starts_with(class))
        };
        self.is_lost() || self.code().is_some_and(doubtful)
    }

    /// Rolled back for certain, and worth another try on a connection that lives.
    pub(crate) fn is_momentary(&self) -> bool {
        let codes = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // A subscription went while something was published to it: it is published to those that are left.
            SqlState::FOREIGN_KEY_VIOLATION,
        ];
        self.code().is_some_and(|code| codes.contains(code) || code.code().starts_with("08"))
    }

    pub(crate) fn code(&self) -> Option<&SqlState> {
        match &self.cause {
            Cause::Driver(error) => error.code(),
            _ => None,
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::new(Cause::Driver(error))
    }
}

/// A refused login (28: authorization, 3D: no such database) ends it as well, but says what it says: it is no lost connection.
fn ends_session(said: &DbError) -> bool {
    let is_refusal = ["28", "3D"].iter().any(|class| said.code().code().starts_with(class));
    !is_refusal && matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Closed, or an I/O error below it, a failed connect included; or the two sides do not understand each other any more.
fn is_broken(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error);
    // The driver has no question for that kind.
    error.is_closed()
        || error.to_string().starts_with("unexpected message")
        || cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()).is_some_and(|error| !is_untrusted(error))
}

/// The endpoint's certificate is not accepted: it will not be the next time either.
fn is_untrusted(error: &std::io::Error) -> bool {
    let said = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(said, Some(rustls::Error::InvalidCertificate(_)))
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Driver(error) => match error.as_db_error() {
                Some(said) => write!(out, "the endpoint answered: {} ({})", said.message(), said.code().code())?,
                None => write_causes(out, error)?,
            },
            Cause::NoAnswer(limit) => write!(out, "no answer from the endpoint within {limit:?}")?,
            Cause::Source(error) => write!(out, "cannot read the body that was to be stored: {error}")?,
            Cause::Url(error) => {
                out.write_str("the URL of the store is wrong: ")?;
                write_causes(out, error)?;
                out.write_str(
                    "; allowed: postgresql://user@host:port,host2:port2/database?option=value or host=a,b port=1,2 …",
                )?;
            }
            Cause::Input(text) | Cause::Schema(text) | Cause::NotHeld(text) => out.write_str(text)?,
        }
        match self.fate {
            Fate::Nothing => Ok(()),
            Fate::Unknown => out.write_str("; it is not known whether the write was carried out"),
        }
    }
}

/// A driver's error says little itself; what is below it says why.
fn write_causes(out: &mut fmt::Formatter<'_>, error: &dyn std::error::Error) -> fmt::Result {
    write!(out, "{error}")?;
    error.source().map_or(Ok(()), |cause| {
        out.write_str(": ")?;
        write_causes(out, cause)
    })
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Driver(error) | Cause::Url(error) => Some(error),
            Cause::Source(error) => Some(error),
            _ => None,
        }
    }
}
