//! Python programs with psycopg 3, SQLAlchemy and Django, in a virtual environment that is made once per machine.

use std::time::Duration;

use tokio::process::Command;

use super::environment::{Environment, sources};
use super::program::{Printed, to_end};
use crate::Result;

const ENVIRONMENT: Environment = Environment { name: "python", packages: "requirements.txt" };
/// Longest run.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs `scenarios/clients/NAME` with more variables in its environment.
///
/// # Errors
/// The environment cannot be made, or the program hangs.
pub async fn run_python(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Printed> {
    let home = ENVIRONMENT.path();
    let python = home.join("bin/python");
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&home);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(ENVIRONMENT.packages());
    ENVIRONMENT.prepare(vec![make, install]).await?;

    let mut command = Command::new(python);
    command.arg(sources().join(name)).args(arguments).env("PYTHONPATH", sources());
    // Sets have one order, and the repository gets no compiled files.
    command.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1").envs(variables.iter().copied());
    to_end(command, LIMIT).await
}
