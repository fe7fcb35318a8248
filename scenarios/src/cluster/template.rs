//! One `initdb` per machine user, copied for every member: `initdb` takes seconds, the copy a tenth of one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Result, fail};

/// Folder of the PostgreSQL programs.
pub(crate) const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Part of the template's name: change it with the arguments of `initdb` below.
const TEMPLATE_VERSION: &str = "15-c-utf8-1";

/// The user that members run as when the caller is root, which PostgreSQL refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunAs {
    ids: Option<(u32, u32)>,
}

impl RunAs {
    /// User `postgres` when the caller is root, else the caller.
    pub(crate) fn detect() -> Result<Self> {
        if fs::metadata("/proc/self")?.uid_of() != 0 {
            return Ok(Self { ids: None });
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        let line = passwd.lines().find(|line| line.starts_with("postgres:"));
        let mut ids = line.unwrap_or_default().split(':').skip(2).map(str::parse);
        match (ids.next(), ids.next()) {
            (Some(Ok(user)), Some(Ok(group))) => Ok(Self { ids: Some((user, group)) }),
            _ => fail("the caller is root and there is no user postgres: apt-get install postgresql-15"),
        }
    }

    /// `program` as that user. The program is the direct child: its process id is the one to kill.
    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes `path` that user's own.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.ids {
            chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }
}

/// Copies the template into `data`, which must not exist yet, and makes the template if this is its first use.
pub(crate) fn copy_to(data: &Path, user: RunAs) -> Result<()> {
    let template = template(user)?;
    let copied = user.command("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(data).output()?;
    if !copied.status.success() {
        return fail(format!("cannot copy {}: {}", template.display(), String::from_utf8_lossy(&copied.stderr)));
    }
    Ok(())
}

fn template(user: RunAs) -> Result<PathBuf> {
    let caller = fs::metadata("/proc/self")?.uid_of();
    let home = std::env::temp_dir().join(format!("raidb-scenarios-initdb-{caller}"));
    fs::create_dir_all(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755))?;
    user.own(&home)?;
    let ready = home.join(TEMPLATE_VERSION);
    if ready.join("PG_VERSION").exists() {
        return Ok(ready);
    }
    // Two test processes may come here at once: each makes its own, the rename picks one.
    let fresh = home.join(format!("making-{}", std::process::id()));
    let made = user
        .command(format!("{BIN}/initdb"))
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&fresh)
        .output()?;
    if !made.status.success() {
        return fail(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
    }
    if fs::rename(&fresh, &ready).is_err() {
        fs::remove_dir_all(&fresh)?;
    }
    ready.exists().then_some(ready).ok_or_else(|| Failure::new("the initdb template did not appear"))
}

/// Owner of a file: `/proc/self` belongs to the effective user of this process.
trait Owner {
    fn uid_of(&self) -> u32;
}

impl Owner for fs::Metadata {
    fn uid_of(&self) -> u32 {
        std::os::unix::fs::MetadataExt::uid(self)
    }
}
