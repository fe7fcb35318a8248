//! Where the programs are.

use scenarios::{Failure, Result};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb`, `postgres`, `psql` and `pgbench`: `$PG_BIN`, or Debian's newest, or the PATH's.
pub(crate) fn postgres_bin() -> Result<PathBuf> {
    let from_env = std::env::var_os("PG_BIN").map(PathBuf::from);
    from_env
        .or_else(debian_newest)
        .or_else(|| find("initdb").and_then(|path| path.parent().map(Path::to_path_buf)))
        .ok_or_else(|| Failure::new("no PostgreSQL found; set PG_BIN to the folder with initdb"))
}

fn debian_newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            bin.join("initdb").exists().then_some((version, bin))
        })
        .max()
        .map(|(_, bin)| bin)
}

/// A program by name, in the PATH or where Debian keeps servers.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A command that does not run as root: there it becomes the user `postgres`, without a process in between.
pub(crate) fn unprivileged(program: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// The first line that a program prints, or "unknown".
pub(crate) fn first_line(program: impl AsRef<Path>, args: &[&str]) -> String {
    let output = Command::new(program.as_ref()).args(args).output();
    let text = output.map_or_else(
        |_| Vec::new(),
        |output| {
            if output.stdout.is_empty() { output.stderr } else { output.stdout }
        },
    );
    let text = String::from_utf8_lossy(&text);
    text.lines().next().map_or_else(|| "unknown".into(), |line| line.trim().to_owned())
}
