//! Why a copy failed.

use std::io;
use std::process::ExitStatus;

use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::QueryError;

/// Why a database could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Donor and target are one and the same.
    #[error("donor {donor} and target {target} are the same database of the same server; nothing was changed")]
    SameDatabase {
        /// Name of the donor.
        donor: String,
        /// Name of the target.
        target: String,
    },
    /// The servers are of different major versions.
    #[error(
        "{donor} is PostgreSQL {donor_major}, {target} is PostgreSQL {target_major}: members have one major version"
    )]
    Versions {
        /// Name of the donor.
        donor: String,
        /// Its version.
        donor_major: u32,
        /// Name of the target.
        target: String,
        /// Its version.
        target_major: u32,
    },
    /// The programs are not installed, or too old.
    #[error(
        "pg_dump and psql of PostgreSQL {needed} or newer are needed (found: {found}), in PATH or in \
         /usr/lib/postgresql/*/bin; install them: apt-get install postgresql-client-{needed}"
    )]
    Programs {
        /// Major version of the donor.
        needed: u32,
        /// What was found.
        found: String,
    },
    /// No connection.
    #[error("{member}: cannot connect: {source}")]
    Connect {
        /// Which member.
        member: String,
        /// Why.
        source: ConnectError,
    },
    /// A query failed.
    #[error("{member}: cannot {what}: {source}")]
    Query {
        /// Which member.
        member: String,
        /// What was tried.
        what: String,
        /// Why it failed.
        source: QueryError,
    },
    /// An answer is not of the form that the query asks for.
    #[error("{member}: the answer about {what} cannot be read")]
    Answer {
        /// Which member.
        member: String,
        /// About what.
        what: String,
    },
    /// `pg_dump` or `psql` failed.
    #[error("{member}: {program} failed ({status}): {message}")]
    Program {
        /// Which member it worked on.
        member: String,
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        message: String,
    },
    /// A program could not be run, or the pipe to it broke.
    #[error("cannot run {program}: {source}")]
    Run {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
}
