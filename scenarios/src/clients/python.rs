//! Python programs with psycopg 3, in a virtual environment that is made once per machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::program::{Printed, to_end};
use crate::{Result, fail};

/// The environment; one per machine, since installing takes seconds and the network.
const VENV: &str = "/var/tmp/raidb-venv";
/// What is installed, in a release that is known to work.
const PACKAGES: &[&str] = &["psycopg[binary]==3.3.*"];
/// Longest installation or run.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs `scenarios/clients/NAME`.
///
/// # Errors
/// The environment cannot be made, or the program hangs.
pub async fn run_python(name: &str, arguments: &[&str]) -> Result<Printed> {
    let python = environment().await?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
    let mut command = Command::new(python);
    command.arg(script).args(arguments);
    to_end(command, LIMIT).await
}

async fn environment() -> Result<PathBuf> {
    let home = Path::new(VENV);
    let python = home.join("bin/python");
    let ready = home.join("ready");
    if ready.exists() {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(home);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    for command in [make, install] {
        let printed = to_end(command, LIMIT).await?;
        if printed.code != 0 {
            return fail(format!("cannot make {VENV}: {}", printed.err));
        }
    }
    std::fs::write(ready, "")?;
    Ok(python)
}
