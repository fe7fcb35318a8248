//! `pg_dump` of the donor into `psql` at the target.
//!
//! Each statement is a transaction of its own: one for all would hold a lock for every table, index and large object
//! at once, for which a server with default settings has no room beyond some thousands. Nobody sees the database
//! before it is whole, so nothing is lost by that. The load does not wait for the disk; the rename behind it does.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::endpoint::Endpoint;
use super::programs::Programs;
use super::{Progress, RebuildError};

/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes kept of what a program says. At the limit: the beginning is dropped.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The receiving side. Dropped in this order: the program is killed before it could see an end of its input that is
/// none.
struct Loader {
    child: Child,
    input: Option<ChildStdin>,
}

/// Copies schema and rows; returns the bytes that went through.
///
/// # Errors
/// [`RebuildError::Program`] of whichever failed first, [`RebuildError::Run`].
///
/// # Cancel safety
/// Dropping the future kills both programs.
pub(super) async fn transfer(
    programs: &Programs,
    donor: &Endpoint,
    snapshot: &str,
    target: &Endpoint,
    progress: &Progress,
) -> Result<u64, RebuildError> {
    let (mut load, load_errors) = start_psql(&programs.psql, target)?;
    let (mut dump, output, dump_errors) = start_pg_dump(&programs.pg_dump, donor, snapshot)?;
    let work = async {
        let passed = pass_on(output, load.input.as_mut(), progress).await;
        if passed.is_err() {
            // psql has gone: what pg_dump still has to say does not matter.
            dump.start_kill()?;
        }
        let dumped = dump.wait().await?;
        if passed.is_ok() && dumped.success() {
            drop(load.input.take());
        } else if passed.is_ok() {
            load.child.start_kill()?;
        }
        let loaded = load.child.wait().await?;
        Ok::<_, io::Error>((passed, dumped, loaded))
    };
    let (ended, dump_said, load_said) = tokio::join!(work, tail(dump_errors), tail(load_errors));
    let (passed, dumped, loaded) = ended.map_err(|source| run_error("pg_dump and psql", source))?;
    let failed = |member: &Endpoint, program: &str, status: ExitStatus, message: String| RebuildError::Program {
        member: member.name().to_owned(),
        program: program.to_owned(),
        status,
        message,
    };
    match passed {
        Ok(_) if !dumped.success() => Err(failed(donor, "pg_dump", dumped, dump_said)),
        _ if !loaded.success() => Err(failed(target, "psql", loaded, load_said)),
        other => other.map_err(|source| run_error("psql", source)),
    }
}

fn run_error(program: &str, source: io::Error) -> RebuildError {
    RebuildError::Run { program: program.to_owned(), source }
}

fn start_psql(program: &Path, target: &Endpoint) -> Result<(Loader, impl AsyncRead + Unpin + use<>), RebuildError> {
    let failed = |source| run_error("psql", source);
    let mut command = Command::new(program);
    target.connect_program(&mut command);
    command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let errors = child.stderr.take().ok_or_else(|| failed(no_pipe()))?;
    let input = child.stdin.take();
    Ok((Loader { child, input }, errors))
}

fn start_pg_dump(
    program: &Path,
    donor: &Endpoint,
    snapshot: &str,
) -> Result<(Child, ChildStdout, impl AsyncRead + Unpin + use<>), RebuildError> {
    let failed = |source| run_error("pg_dump", source);
    let mut command = Command::new(program);
    donor.connect_program(&mut command);
    command.args(["--format=plain", "--no-tablespaces", "--snapshot", snapshot]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let output = child.stdout.take().ok_or_else(|| failed(no_pipe()))?;
    let errors = child.stderr.take().ok_or_else(|| failed(no_pipe()))?;
    Ok((child, output, errors))
}

fn no_pipe() -> io::Error {
    io::Error::other("no pipe to it")
}

/// Until the end of `output`; an error is one of writing, or of a pipe.
async fn pass_on(mut output: ChildStdout, input: Option<&mut ChildStdin>, progress: &Progress) -> io::Result<u64> {
    let input = input.ok_or_else(no_pipe)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let length = output.read(&mut buffer).await?;
        if length == 0 {
            input.flush().await?;
            return Ok(bytes);
        }
        input.write_all(&buffer[..length]).await?;
        let length = u64::try_from(length).unwrap_or(0);
        bytes += length;
        progress.add(length);
    }
}

/// Reads to the end, and keeps the end.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    // A pipe that breaks ends like one that is closed; how the program ended is told by its status.
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        let excess = kept.len().saturating_sub(MESSAGE_BYTES_MAX);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
