//! One `initdb` per machine user, copied for every member: `initdb` takes seconds, the copy a tenth of one.
//!
//! Folders that members leave are used again, and their files written over where they differ from the template. (ext4 without a journal
//! looks at each recently deleted inode before it makes a file: behind some thousand deletions a copy takes many seconds.)

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Failure, Result, fail};

/// Folder of the PostgreSQL programs.
pub(crate) const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Part of the template's name: change it with the arguments of `initdb` below.
const TEMPLATE_VERSION: &str = "15-c-utf8-2";

/// A database that the template has already, beside those of `initdb`.
pub(super) const DATABASE: &str = "bench";

/// Folders that are kept for the next members.
const USED_MAX: usize = 9;

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

/// Makes `data`, which must not exist yet, a copy of the template, and makes the template if this is its first use.
pub(crate) fn copy_to(data: &Path, user: RunAs) -> Result<()> {
    let template = template(user)?;
    for used in used_folders()? {
        // Somebody else may have taken it.
        if fs::rename(&used, data).is_ok() {
            return write_over(&template, data, user);
        }
    }
    let copied = user.command("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(data).output()?;
    if !copied.status.success() {
        return fail(format!("cannot copy {}: {}", template.display(), String::from_utf8_lossy(&copied.stderr)));
    }
    Ok(())
}

/// A member has ended: its folder is for the next one, unless there are enough.
pub(super) fn leave(data: &Path) {
    static LEFT: AtomicU32 = AtomicU32::new(0);
    if used_folders().is_ok_and(|used| used.len() < USED_MAX) {
        let name = format!("{}-{}", std::process::id(), LEFT.fetch_add(1, Ordering::Relaxed));
        // Otherwise it is deleted with the rest of the run.
        let _ = fs::create_dir_all(used_home()).and_then(|()| fs::rename(data, used_home().join(name)));
    }
}

fn used_home() -> PathBuf {
    template_home().join(format!("used-{TEMPLATE_VERSION}"))
}

fn used_folders() -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(used_home()) else { return Ok(Vec::new()) };
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?)
}

/// Makes `data` equal to `template`: what differs in size or time is written anew, what is not there is deleted.
fn write_over(template: &Path, data: &Path, user: RunAs) -> Result<()> {
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if fs::symlink_metadata(template.join(entry.file_name())).is_err() {
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
    }
    for entry in fs::read_dir(template)? {
        let entry = entry?;
        let (wanted, copy) = (entry.metadata()?, data.join(entry.file_name()));
        let found = fs::symlink_metadata(&copy).ok();
        if wanted.is_dir() {
            if found.is_none() {
                fs::create_dir(&copy)?;
                fs::set_permissions(&copy, wanted.permissions())?;
                user.own(&copy)?;
            }
            write_over(&entry.path(), &copy, user)?;
        } else if !found
            .is_some_and(|found| found.len() == wanted.len() && found.modified().ok() == wanted.modified().ok())
        {
            let mut file = fs::File::create(&copy)?;
            std::io::copy(&mut fs::File::open(entry.path())?, &mut file)?;
            file.set_modified(wanted.modified()?)?;
            fs::set_permissions(&copy, wanted.permissions())?;
            user.own(&copy)?;
        }
    }
    Ok(())
}

fn template_home() -> PathBuf {
    let caller = fs::metadata("/proc/self").map_or(0, |own| own.uid_of());
    std::env::temp_dir().join(format!("raidb-scenarios-initdb-{caller}"))
}

fn template(user: RunAs) -> Result<PathBuf> {
    let home = template_home();
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
    make_database(&fresh, user)?;
    if fs::rename(&fresh, &ready).is_err() {
        fs::remove_dir_all(&fresh)?;
    }
    ready.exists().then_some(ready).ok_or_else(|| Failure::new("the initdb template did not appear"))
}

fn make_database(data: &Path, user: RunAs) -> Result<()> {
    use std::io::Write;
    let mut single = user
        .command(format!("{BIN}/postgres"))
        .args(["--single", "-D"])
        .arg(data)
        .arg("template1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = single.stdin.take() {
        writeln!(input, "CREATE DATABASE {DATABASE} TEMPLATE template0;")?;
    }
    let ended = single.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() && !said.contains("ERROR") {
        return Ok(());
    }
    fail(format!("cannot make database {DATABASE} in the template: {said}"))
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
