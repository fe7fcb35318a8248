//! Where `pg_dump` and `psql` are.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::RebuildError;

/// Where distributions put the programs of each major version.
const VERSIONED_DIR: &str = "/usr/lib/postgresql";

/// Time for `pg_dump --version`. At the limit: it counts as not there.
const VERSION_TIME_MAX: Duration = Duration::from_secs(10);

/// A pair of programs of one installation: a `psql` may not understand a newer `pg_dump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) pg_dump: PathBuf,
    pub(super) psql: PathBuf,
}

/// The programs for servers of this major version: of the same version if there are any (a newer `pg_dump` may write
/// settings that the server does not know), else the newest; those in PATH first.
pub(super) async fn find(server_major: u32) -> Result<Programs, RebuildError> {
    find_in(folders(std::env::var_os("PATH").as_deref(), Path::new(VERSIONED_DIR)), server_major).await
}

async fn find_in(folders: Vec<PathBuf>, server_major: u32) -> Result<Programs, RebuildError> {
    let mut found: Vec<(u32, Programs)> = Vec::new();
    for folder in folders {
        let programs = Programs { pg_dump: folder.join("pg_dump"), psql: folder.join("psql") };
        if !programs.pg_dump.is_file() || !programs.psql.is_file() {
            continue;
        }
        match major(&programs.pg_dump).await {
            Some(major) if major == server_major => return Ok(programs),
            Some(major) => found.push((major, programs)),
            None => {}
        }
    }
    let versions: Vec<String> = found.iter().map(|(major, _)| major.to_string()).collect();
    let newest = found.into_iter().filter(|(major, _)| *major > server_major).max_by_key(|(major, _)| *major);
    let versions = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
    newest.map(|(_, programs)| programs).ok_or(RebuildError::Programs { needed: server_major, found: versions })
}

/// Folders to look in: those of PATH, then those of each version, the highest first.
fn folders(path: Option<&OsStr>, versioned: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(versioned)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    folders
}

/// Major version of a `pg_dump`.
async fn major(program: &Path) -> Option<u32> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_TIME_MAX, command.output()).await.ok()?.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// `pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` → 15.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn install(folder: &Path, version: &str) {
        fs::create_dir_all(folder).unwrap();
        for name in ["pg_dump", "psql"] {
            let file = folder.join(name);
            fs::write(&file, format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[tokio::test]
    async fn takes_the_same_version_then_the_newest_and_says_what_to_install() {
        let home = tempfile::TempDir::new().unwrap();
        let (first, versioned) = (home.path().join("first"), home.path().join("lib"));
        let path = first.as_os_str();
        let find = async |major| find_in(folders(Some(path), &versioned), major).await;
        let problem = find(15).await.unwrap_err().to_string();
        assert!(problem.contains("found: none") && problem.contains("postgresql-client-15"), "{problem}");
        install(&first, "13.9");
        install(&versioned.join("15/bin"), "15.14 (Debian 15.14-0+deb12u1)");
        install(&versioned.join("17/bin"), "17rc1");
        fs::create_dir_all(versioned.join("18/bin")).unwrap();
        assert_eq!(find(13).await.unwrap().psql, first.join("psql"));
        assert_eq!(find(15).await.unwrap().pg_dump, versioned.join("15/bin/pg_dump"));
        assert_eq!(find(16).await.unwrap().pg_dump, versioned.join("17/bin/pg_dump"));
        assert!(find(18).await.unwrap_err().to_string().contains("found: 13, 17, 15"));
    }
}
