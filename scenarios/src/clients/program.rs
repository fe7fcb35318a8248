//! Running a program to its end, with a limit.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

const PSQL: &str = "/usr/lib/postgresql/15/bin/psql";
const PG_DUMP: &str = "/usr/lib/postgresql/15/bin/pg_dump";
/// Longest run of psql; the statements of the scenarios take milliseconds.
const PSQL_LIMIT: Duration = Duration::from_secs(60);

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
}

impl Printed {
    /// Fails unless the exit code is 0 and `text` is in the output.
    ///
    /// # Errors
    /// Another exit code, or `text` is missing.
    pub fn expect(&self, text: &str) -> Result<()> {
        self.expect_in(&self.out, text, 0)
    }

    /// Fails unless the exit code is `code` and `text` is in standard error.
    ///
    /// # Errors
    /// Another exit code, or `text` is missing.
    pub fn expect_error(&self, text: &str, code: i32) -> Result<()> {
        self.expect_in(&self.err, text, code)
    }

    fn expect_in(&self, printed: &str, text: &str, code: i32) -> Result<()> {
        if self.code == code && printed.contains(text) {
            return Ok(());
        }
        fail(format!("expected \"{text}\" and exit code {code}, got {self:?}"))
    }
}

/// Runs `command` to its end; it is killed when `limit` has passed.
pub(super) async fn to_end(mut command: Command, limit: Duration) -> Result<Printed> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let name = format!("{:?}", command.as_std().get_program());
    let output = timeout(limit, command.output()).await;
    let output = output.map_err(|_| Failure::new(format!("{name} did not end within {limit:?}")))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Printed { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code().unwrap_or(-1) })
}

/// Runs psql without any start-up file, with `arguments` behind the connection string.
///
/// # Errors
/// It hangs or cannot be run; a failing statement is not an error here.
pub async fn psql(endpoint: &Endpoint, arguments: &[&str]) -> Result<Printed> {
    let mut command = Command::new(PSQL);
    command.args(["-X", "-v", "ON_ERROR_STOP=1", "-d"]).arg(endpoint.url()).args(arguments);
    to_end(command, PSQL_LIMIT).await
}

/// Runs `pg_dump` with these arguments.
///
/// # Errors
/// It hangs, cannot be run, or says that it failed.
pub async fn pg_dump(endpoint: &Endpoint, arguments: &[&str]) -> Result<Printed> {
    let mut command = Command::new(PG_DUMP);
    command.arg("-d").arg(endpoint.url()).args(arguments);
    let printed = to_end(command, PSQL_LIMIT).await?;
    if printed.code == 0 { Ok(printed) } else { fail(format!("pg_dump failed: {}", printed.err)) }
}
