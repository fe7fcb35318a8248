//! The account that servers run under. PostgreSQL refuses root, so root hands its servers to `postgres`.

use crate::error::{Context as _, Failure, Result};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

const NAME: &str = "postgres";

/// Who servers run as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Account {
    /// The caller, who is not root.
    Caller,
    /// The user `postgres`, because the caller is root.
    Postgres { uid: u32, gid: u32 },
}

impl Account {
    /// The account for this process.
    pub(crate) fn find() -> Result<Self> {
        let own = std::fs::metadata("/proc/self").context(|| "cannot read /proc/self".into())?;
        if own.uid() != 0 {
            return Ok(Self::Caller);
        }
        let passwd =
            std::fs::read_to_string("/etc/passwd").context(|| "cannot read /etc/passwd".into())?;
        let ids = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == NAME).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        let (uid, gid) = ids.ok_or_else(|| Failure::new("as root, the user postgres is needed"))?;
        Ok(Self::Postgres { uid, gid })
    }

    /// A command that will run under this account.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/");
        if let Self::Postgres { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Hands a file or folder to this account.
    pub(crate) fn give(self, path: &Path) -> Result<()> {
        match self {
            Self::Caller => Ok(()),
            Self::Postgres { uid, gid } => chown(path, Some(uid), Some(gid))
                .context(|| format!("cannot hand over {}", path.display())),
        }
    }
}
