//! A member's database as PostgreSQL's programs and our own connections reach it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use tokio::process::Command;

use super::{QUERY_TIME_MAX, RebuildError};
use crate::members::pg::connect::ConnectError;
use crate::members::pg::maintenance::{Maintenance, QueryError, TextRows};
use crate::members::pg::target::{Address, Login, MemberTls, Target};

/// Time for a connection. At the limit: the copy fails.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);

/// Databases that are there to be connected to when another one is dropped or made.
const MAINTENANCE_DATABASES: [&str; 2] = ["postgres", "template1"];

/// Settings of the programs' connections: nothing ends them but us, and they do not wait for the disk.
const OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 \
    -c synchronous_commit=off";

/// A database of a member, and who logs in.
///
/// `pg_dump` and `psql` use `sslmode` `disable`, `prefer` or `require` as the member's links do. They do not get its
/// `sslrootcert`: with `verify-full` they encrypt, but do not verify.
#[derive(Clone)]
pub struct Endpoint {
    target: Target,
    login: Login,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {:?}", self.target, self.login)
    }
}

impl Endpoint {
    /// The database of `target`.
    #[must_use]
    pub fn new(target: Target, login: Login) -> Self {
        Self { target, login }
    }

    /// Name of the member.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.target.database
    }

    /// Another database of the same server.
    pub(super) fn with_database(&self, database: &str) -> Self {
        let target = Target { database: database.to_owned(), ..self.target.clone() };
        Self { target, login: self.login.clone() }
    }

    /// A connection to the database.
    pub(super) async fn connect(&self) -> Result<Maintenance, RebuildError> {
        let connected = Maintenance::connect(&self.target, &self.login, CONNECT_TIME_MAX).await;
        connected.map_err(|source| RebuildError::Connect { member: self.target.name.clone(), source })
    }

    /// A connection to another database of the server, so that this one can be dropped.
    pub(super) async fn connect_beside(&self) -> Result<Maintenance, RebuildError> {
        let mut first_error = None;
        for name in MAINTENANCE_DATABASES.into_iter().filter(|name| *name != self.database()) {
            match self.with_database(name).connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let unsupported = || {
            let source = ConnectError::Unsupported("no maintenance database".to_owned());
            RebuildError::Connect { member: self.target.name.clone(), source }
        };
        Err(first_error.unwrap_or_else(unsupported))
    }

    /// Runs statements; `what` goes into the error.
    pub(super) async fn query(
        &self,
        connection: &mut Maintenance,
        what: &str,
        sql: &[&str],
    ) -> Result<Vec<TextRows>, RebuildError> {
        connection.query(sql, QUERY_TIME_MAX).await.map_err(|source| self.failed(what, source))
    }

    /// The rows of one statement, without NULLs: each row with `columns` values.
    pub(super) async fn rows<const N: usize>(
        &self,
        connection: &mut Maintenance,
        what: &str,
        sql: &str,
    ) -> Result<Vec<[String; N]>, RebuildError> {
        let results = self.query(connection, what, &[sql]).await?;
        let rows = results.into_iter().flatten();
        let rows = rows.map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().try_into());
        let rows: Result<Vec<[String; N]>, _> = rows.collect();
        rows.map_err(|_| self.unreadable(what))
    }

    /// The first row.
    pub(super) async fn row<const N: usize>(
        &self,
        connection: &mut Maintenance,
        what: &str,
        sql: &str,
    ) -> Result<[String; N], RebuildError> {
        let rows = self.rows(connection, what, sql).await?;
        rows.into_iter().next().ok_or_else(|| self.unreadable(what))
    }

    pub(super) fn failed(&self, what: &str, source: QueryError) -> RebuildError {
        RebuildError::Query { member: self.target.name.clone(), what: what.to_owned(), source }
    }

    pub(super) fn unreadable(&self, what: &str) -> RebuildError {
        RebuildError::Answer { member: self.target.name.clone(), what: what.to_owned() }
    }

    /// Lets a program of PostgreSQL connect here and nowhere else: nothing is taken from this process' environment.
    pub(super) fn connect_program(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        if let Some(password) = &self.login.password {
            command.env("PGPASSWORD", password);
        }
        command.env("PGOPTIONS", OPTIONS);
        command.env("PGAPPNAME", "raidb rebuild");
        command.arg("--no-password").arg(format!("--dbname={}", self.conninfo()));
    }

    /// Everything but the password, which other users of the machine could see in the list of processes.
    fn conninfo(&self) -> String {
        let (host, port) = match &self.target.address {
            Address::Tcp { host, port } => (host.clone(), port.to_string()),
            Address::Unix(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let dir = path.parent().map(|dir| dir.to_string_lossy().into_owned());
                (dir.unwrap_or_default(), name.rsplit('.').next().unwrap_or_default().to_owned())
            }
        };
        let sslmode = match self.target.tls {
            MemberTls::Disabled => "disable",
            MemberTls::Preferred(_) => "prefer",
            MemberTls::Required(_) => "require",
        };
        let mut text = String::new();
        for (name, value) in [
            ("host", host.as_str()),
            ("port", &port),
            ("user", &self.login.user),
            ("dbname", self.database()),
            ("sslmode", sslmode),
            ("gssencmode", "disable"),
            ("connect_timeout", "15"),
            // A member that has gone away is noticed within a minute.
            ("keepalives_idle", "30"),
            ("keepalives_interval", "10"),
            ("keepalives_count", "3"),
        ] {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}='{}' ", value.replace('\\', "\\\\").replace('\'', "\\'"));
        }
        text
    }
}

/// A name as PostgreSQL reads it back.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as PostgreSQL reads it back, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raidb_core::ids::MemberId;

    #[test]
    fn programs_are_told_where_without_the_password() {
        let target = Target {
            id: MemberId(0),
            name: "pg1".into(),
            address: Address::Unix("/run/it's/.s.PGSQL.5433".into()),
            database: "a b".into(),
            tls: MemberTls::Disabled,
        };
        let login = Login { user: "me".into(), password: Some("s3cret".into()) };
        let endpoint = Endpoint::new(target, login);
        let expect = r"host='/run/it\'s' port='5433' user='me' dbname='a b' sslmode='disable' gssencmode='disable' ";
        assert!(endpoint.conninfo().starts_with(expect), "{}", endpoint.conninfo());
        let mut command = Command::new("psql");
        endpoint.connect_program(&mut command);
        let arguments: Vec<_> = command.as_std().get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert!(!arguments.join(" ").contains("s3cret") && !format!("{endpoint:?}").contains("s3cret"));
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
    }
}
