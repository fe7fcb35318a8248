//! A folder with the packages of a client, installed once per machine, since that takes seconds and the network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::program::to_end;
use crate::{Result, fail};

/// Where all of these folders are.
const HOME: &str = "/var/tmp/raidb-clients";
/// Longest installation.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// One such folder. `scripts/lib/install.sh` makes the same ones, so that `make test` does it before the tests.
#[derive(Debug)]
pub(super) struct Environment {
    /// Its name below the home of all.
    pub name: &'static str,
    /// The file, below `scenarios/clients`, that says what is installed; a copy of it marks a folder as complete.
    pub packages: &'static str,
}

impl Environment {
    pub(super) fn path(&self) -> PathBuf {
        Path::new(HOME).join(self.name)
    }

    pub(super) fn packages(&self) -> PathBuf {
        sources().join(self.packages)
    }

    /// Runs `commands`, which fill the folder, unless it is complete already.
    pub(super) async fn prepare(&self, commands: Vec<Command>) -> Result<()> {
        let (ready, wanted) = (self.path().join("ready"), fs::read(self.packages())?);
        let is_ready = || fs::read(&ready).is_ok_and(|found| found == wanted);
        if is_ready() {
            return Ok(());
        }
        fs::create_dir_all(HOME)?;
        // Two test processes may come here at once; the lock goes with the file.
        let lock = File::create(Path::new(HOME).join(format!("{}.lock", self.name)))?;
        lock.lock()?;
        if is_ready() {
            return Ok(());
        }
        fs::create_dir_all(self.path())?;
        for command in commands {
            let printed = to_end(command, INSTALL_LIMIT).await?;
            if printed.code != 0 {
                return fail(format!("cannot fill {}: {}", self.path().display(), printed.err));
            }
        }
        Ok(fs::write(&ready, wanted)?)
    }
}

/// Where the programs are that the clients run.
pub(super) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}
