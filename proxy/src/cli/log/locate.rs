//! From `--dir` and `--database` to the folder of one virtual database's log.

use std::path::{Path, PathBuf};

use super::{Place, Refused};
use crate::recovery_log::{holds_log, logs_below, virtual_database_of};

/// One virtual database's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// Its folder.
    pub(super) dir: PathBuf,
    /// The virtual database, after the folder's name.
    pub(super) database: String,
}

/// Finds the log that is meant.
pub(super) fn locate(place: &Place) -> Result<Located, Refused> {
    let dir = &place.dir;
    // `.` has no name; its whole path has.
    let whole =
        dir.canonicalize().map_err(|error| Refused::Usage(format!("cannot read {}: {error}", dir.display())))?;
    if holds_log(&whole)? {
        return own(&whole, place.database.as_deref());
    }
    let mut logs = logs_below(&whole)?;
    let names: Vec<&str> = logs.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    if let Some(wanted) = &place.database {
        let found = logs.into_iter().find(|(name, _)| name == wanted);
        let found = found.map(|(database, dir)| Located { dir, database });
        let none = || format!("{} holds no log of \"{wanted}\"; it holds: {names}", dir.display());
        return found.ok_or_else(|| Refused::Usage(none()));
    }
    match (logs.pop(), logs.is_empty()) {
        (Some((database, dir)), true) => Ok(Located { dir, database }),
        (Some(_), false) => {
            let problem = format!("{} holds the logs of several virtual databases: {names}", dir.display());
            Err(Refused::Usage(format!("{problem}. Say which one with --database NAME")))
        }
        (None, _) => Err(Refused::Usage(format!("{} holds no recovery log", dir.display()))),
    }
}

/// The folder is a log itself.
fn own(dir: &Path, wanted: Option<&str>) -> Result<Located, Refused> {
    let database = virtual_database_of(dir).unwrap_or_default();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != database) {
        let problem = format!("{} is the log of \"{database}\", not of \"{wanted}\"", dir.display());
        return Err(Refused::Usage(problem));
    }
    Ok(Located { dir: dir.to_owned(), database })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery_log::{FileLog, directory_of};

    fn place(dir: &Path, database: Option<&str>) -> Place {
        Place { dir: dir.to_owned(), database: database.map(str::to_owned) }
    }

    #[test]
    fn finds_the_log_or_says_which_there_are() {
        let home = tempfile::TempDir::new().unwrap();
        let root = home.path().canonicalize().unwrap();
        let said = |database| locate(&place(&root, database)).unwrap_err().to_string();
        assert!(said(None).ends_with("holds no recovery log"));
        std::fs::create_dir(root.join("empty")).unwrap();
        let bench = directory_of(&root, "bench");
        drop(FileLog::open(&bench, "bench").unwrap());
        let expect = Located { dir: bench.clone(), database: "bench".into() };
        assert_eq!(locate(&place(&root, None)).unwrap(), expect);
        assert_eq!(locate(&place(&bench, None)).unwrap(), expect);
        let other = directory_of(&root, "a/b");
        drop(FileLog::open(&other, "a/b").unwrap());
        assert!(said(None).contains("several virtual databases: a/b, bench. Say which one with --database"));
        assert_eq!(locate(&place(&root, Some("a/b"))).unwrap(), Located { dir: other, database: "a/b".into() });
        assert!(said(Some("x")).contains("no log of \"x\"; it holds: a/b, bench"));
        assert!(locate(&place(&bench, Some("x"))).unwrap_err().to_string().contains("is the log of \"bench\", not of"));
        assert!(locate(&place(&root.join("none"), None)).unwrap_err().to_string().contains("cannot read"));
    }
}
