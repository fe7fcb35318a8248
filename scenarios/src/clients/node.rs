//! JavaScript programs with node-postgres, whose packages are installed once per machine.

use std::time::Duration;

use tokio::process::Command;

use super::environment::{Environment, sources};
use super::program::{Printed, to_end};
use crate::Result;

const ENVIRONMENT: Environment = Environment { name: "node", packages: "node/package-lock.json" };
/// Longest run.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `scenarios/clients/NAME` with more variables in its environment.
///
/// # Errors
/// The packages cannot be installed, or the program hangs.
pub async fn run_node(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Printed> {
    let home = ENVIRONMENT.path();
    let mut copy = Command::new("cp");
    copy.arg(sources().join("node/package.json")).arg(ENVIRONMENT.packages()).arg(&home);
    let mut install = Command::new("npm");
    install.args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&home);
    ENVIRONMENT.prepare(vec![copy, install]).await?;

    let mut command = Command::new("node");
    command.arg(sources().join(name)).args(arguments).env("NODE_PATH", home.join("node_modules"));
    command.envs(variables.iter().copied());
    to_end(command, LIMIT).await
}
