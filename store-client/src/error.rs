//! The one error of this crate: opaque, with the questions that a caller has.

use std::fmt;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Whether the failed request could have changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Connecting,
    Reading,
    /// Before a write: preparing a statement, leasing ids. Ids that are lost on the way leave a gap, nothing else.
    Preparing,
    Writing,
}

/// A request to the store failed.
#[derive(Debug)]
pub struct Error {
    doing: Doing,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Database(tokio_postgres::Error),
    NoSchema,
}

impl Error {
    pub(crate) fn while_doing(doing: Doing) -> impl Fn(tokio_postgres::Error) -> Self {
        move |error| Self { doing, cause: Cause::Database(error) }
    }

    pub(crate) fn no_schema() -> Self {
        Self { doing: Doing::Preparing, cause: Cause::NoSchema }
    }

    /// Nothing was changed, and the same request may succeed later, perhaps on a new connection: a deadlock or
    /// serialization failure, a server that starts or stops, a connection limit, a lost connection while reading.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.state() {
            State::Said(code) => is_retryable(code),
            State::Lost => self.doing != Doing::Writing,
            State::Other => false,
        }
    }

    /// The write may or may not have happened: the connection was lost or ended by the server (57P01) before the
    /// answer, or the endpoint itself cannot know (08007, 40003). Never repeat it blindly; [`Store::put`](crate::Store::put) is safe to repeat.
    #[must_use]
    pub fn is_unknown_outcome(&self) -> bool {
        let unknown = match self.state() {
            State::Said(code) => {
                *code == SqlState::TRANSACTION_RESOLUTION_UNKNOWN || *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
            }
            State::Lost => true,
            State::Other => false,
        };
        unknown && self.doing == Doing::Writing
    }

    /// The SQLSTATE that the endpoint answered with, if it answered.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match &self.cause {
            Cause::Database(error) => error.code().map(SqlState::code),
            Cause::NoSchema => None,
        }
    }

    fn state(&self) -> State<'_> {
        let Cause::Database(error) = &self.cause else {
            return State::Other;
        };
        match error.as_db_error() {
            Some(said) if self.doing != Doing::Connecting && ends_session(said) => State::Lost,
            Some(said) => State::Said(said.code()),
            None if is_lost(error) => State::Lost,
            None => State::Other,
        }
    }
}

/// What is known about a failure.
enum State<'a> {
    /// The endpoint answered with an error: nothing was changed, unless the code says otherwise.
    Said(&'a SqlState),
    /// There is no connection, or no longer. Last words of the server (57P01) say nothing of the request: they may
    /// have come before it was read, or between its commit and the answer.
    Lost,
    /// The client refused, before or after talking to the endpoint.
    Other,
}

fn ends_session(said: &DbError) -> bool {
    matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Closed, or an I/O error below it, a failed connect included.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error);
    error.is_closed() || cause.is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn is_retryable(code: &SqlState) -> bool {
    [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::LOCK_NOT_AVAILABLE,
    ]
    .contains(code)
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.doing {
            Doing::Connecting => "cannot connect to the store",
            Doing::Reading => "cannot read from the store",
            Doing::Preparing => "cannot prepare a write to the store",
            Doing::Writing => "cannot write to the store",
        };
        out.write_str(doing)?;
        match &self.cause {
            Cause::NoSchema => out.write_str(": it has no counter row; call create_schema first"),
            Cause::Database(error) => match error.as_db_error() {
                Some(said) => write!(out, ": {} ({})", said.message(), said.code().code()),
                None => write_causes(out, error),
            },
        }
    }
}

/// A driver's error says little itself; what is below it says why.
fn write_causes(out: &mut fmt::Formatter<'_>, error: &dyn std::error::Error) -> fmt::Result {
    write!(out, ": {error}")?;
    error.source().map_or(Ok(()), |cause| write_causes(out, cause))
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Database(error) => Some(error),
            Cause::NoSchema => None,
        }
    }
}
