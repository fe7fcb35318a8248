//! A new member's entry in the configuration file: the rest stays as it is written, comments and order included.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use raidb_core::config::{Config, Member};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// What the entry says, beside the name.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    /// Where the member is.
    pub(super) url: String,
    /// Its weight.
    pub(super) weight: u32,
}

/// A file with the entry, not written yet.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The virtual database that gets the member.
    pub(super) database: String,
    /// The configuration's directory.
    pub(super) base_dir: PathBuf,
    file: PathBuf,
    /// The file without the entry.
    before: String,
    /// `None`: the file has the entry already.
    text: Option<String>,
}

/// Reads the file, adds the entry, and checks the whole as a start of the proxy would.
///
/// # Errors
/// What does not fit; nothing was changed.
pub(super) fn prepare(file: &Path, database: Option<&str>, name: &str, new: &NewEntry) -> Result<Prepared, String> {
    // The file itself, not a link to it: it is replaced.
    let file = fs::canonicalize(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let base_dir = file.parent().unwrap_or(Path::new("/")).to_owned();
    let wrong = |errors| format!("{}: {errors}", file.display());
    let config = Config::parse(&text, &base_dir).map_err(wrong)?;
    let names: Vec<&str> = config.virtual_databases.iter().map(|d| d.name.as_str()).collect();
    let index = match (database, names.as_slice()) {
        (None, [_]) => 0,
        (None, _) => return Err(format!("say which virtual database: --database {}", names.join(" | "))),
        (Some(wished), _) => names.iter().position(|name| *name == wished).ok_or_else(|| {
            format!("{}: there is no virtual database \"{wished}\"; there is {}", file.display(), names.join(", "))
        })?,
    };
    let database = names[index].to_owned();
    let there = config.virtual_databases[index].members.iter().find(|member| member.name == name);
    if let Some(there) = there {
        if Some(there) == Member::parse(name, &new.url, new.weight, &base_dir).ok().as_ref() {
            return Ok(Prepared { database, base_dir, file, before: text, text: None });
        }
        return Err(format!(
            "{} has a member \"{name}\" already, with the URL {} and weight {}; remove that entry, or run the command with \
             that URL and weight",
            file.display(),
            there.url,
            there.weight
        ));
    }
    let added = with_entry(&text, index, name, new).map_err(|problem| format!("{}: {problem}", file.display()))?;
    Config::parse(&added, &base_dir).map_err(wrong)?;
    Ok(Prepared { database, base_dir, file, before: text, text: Some(added) })
}

impl Prepared {
    /// Replaces the file, durably and in one step.
    ///
    /// # Errors
    /// The file is as it was.
    pub(super) fn write(&self) -> Result<(), String> {
        self.text.as_deref().map_or(Ok(()), |text| self.replace_by(text))
    }

    /// Takes the entry out again, if [`Prepared::write`] has written it and nobody has changed the file since. True: the file
    /// is as it was.
    ///
    /// # Errors
    /// The file has the entry.
    pub(super) fn take_back(&self) -> Result<bool, String> {
        let unreadable = |error| format!("cannot read {}: {error}", self.file.display());
        let Some(text) = &self.text else { return Ok(false) };
        if fs::read_to_string(&self.file).map_err(unreadable)? != *text {
            return Ok(false);
        }
        self.replace_by(&self.before).map(|()| true)
    }

    fn replace_by(&self, text: &str) -> Result<(), String> {
        let temporary = self.base_dir.join(format!(".raidb.toml.{}", std::process::id()));
        let written = self.replace(&temporary, text);
        if written.is_err() {
            // It may never have been made.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(|error| format!("cannot write {}: {error}", self.file.display()))
    }

    fn replace(&self, temporary: &Path, text: &str) -> std::io::Result<()> {
        let mut file = File::create(temporary)?;
        // Before the passwords are in it. The owner too: the proxy may run as another user than whoever runs the command.
        let (old, new) = (fs::metadata(&self.file)?, file.metadata()?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(old.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(temporary, &self.file)?;
        File::open(&self.base_dir)?.sync_all()
    }
}

/// The text with one more `[[virtual_database.member]]`, behind the others of the virtual database with that index.
fn with_entry(text: &str, index: usize, name: &str, new: &NewEntry) -> Result<String, String> {
    // A text that is a configuration is TOML.
    let mut document: DocumentMut = text.parse().map_err(|_| String::from("is not TOML"))?;
    let form = || String::from("write the members as [[virtual_database.member]]; then run this again");
    let databases = document.get_mut("virtual_database").and_then(Item::as_array_of_tables_mut).ok_or_else(form)?;
    let database = databases.get_mut(index).ok_or_else(form)?;
    let members: &mut ArrayOfTables =
        database.get_mut("member").and_then(Item::as_array_of_tables_mut).ok_or_else(form)?;
    let mut entry = Table::new();
    entry.decor_mut().set_prefix("\n");
    entry.insert("name", value(name));
    entry.insert("url", value(new.url.as_str()));
    if new.weight != 1 {
        entry.insert("weight", value(i64::from(new.weight)));
    }
    members.push(entry);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# ours
[listen] # the usual
postgres = "127.0.0.1:6432"

[[virtual_database]]
name = "a"   # first

[[virtual_database.member]]
name = "pg1"
url = "postgresql://u@h/a" # old disk

[[virtual_database.user]]
name = "app"
password = "x"

[[virtual_database]]
name = "b"

[[virtual_database.member]]
name = "pg1"
url = "postgresql://u@h/b"
# the end
"#;

    fn new(url: &str, weight: u32) -> NewEntry {
        NewEntry { url: url.into(), weight }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let added = with_entry(TEXT, 0, "pg2", &new("postgresql://u:p@i/a", 3)).unwrap();
        let entry = "\n[[virtual_database.member]]\nname = \"pg2\"\nurl = \"postgresql://u:p@i/a\"\nweight = 3\n";
        assert_eq!(added.replacen(entry, "", 1), TEXT, "{added}");
        assert!(added.find(entry).unwrap() < added.find("name = \"app\"").unwrap(), "{added}");
        let config = Config::parse(&added, Path::new("/")).unwrap();
        assert_eq!(config.virtual_databases[0].members[1].name, "pg2");
        let last = with_entry(TEXT, 1, "pg2", &new("postgresql://u@i/b", 1)).unwrap();
        assert!(!last.contains("weight") && last.contains("# the end"), "{last}");
        assert_eq!(Config::parse(&last, Path::new("/")).unwrap().virtual_databases[1].members.len(), 2);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let dir = std::env::temp_dir().join(format!("raidb-entry-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("raidb.toml");
        fs::write(&file, TEXT).unwrap();
        let prepare = |database, name, url| prepare(&file, database, name, &new(url, 1));
        for (database, name, url, expect) in [
            (None, "pg2", "postgresql://u@i/a", "--database a | b"),
            (Some("c"), "pg2", "postgresql://u@i/a", "no virtual database"),
            (Some("a"), "PG 2", "postgresql://u@i/a", "member[1].name"),
            (Some("a"), "pg1", "postgresql://u@i/a", "already, with the URL postgresql://u@h:5432/a and weight 1"),
            (Some("a"), "pg2", "postgresql://u:hunter2@h:x/a", "member[1].url"),
            (Some("a"), "pg2", "postgresql://u@H/c", "same server"),
        ] {
            let problem = prepare(database, name, url).unwrap_err();
            assert!(problem.contains(expect) && !problem.contains("hunter2"), "{problem}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), TEXT);
        let refused = prepare(Some("a"), "pg2", "postgresql://u@i/a").unwrap();
        refused.write().unwrap();
        assert_eq!((refused.take_back(), fs::read_to_string(&file).unwrap().as_str()), (Ok(true), TEXT));
        prepare(Some("a"), "pg2", "postgresql://u@i/a").unwrap().write().unwrap();
        let written = fs::read_to_string(&file).unwrap();
        assert!(written.contains("# old disk") && written.contains("pg2"), "{written}");
        // Run again: it is there.
        let again = prepare(Some("a"), "pg2", "postgresql://u@i/a").unwrap();
        again.write().unwrap();
        assert_eq!((again.take_back(), fs::read_to_string(&file).unwrap()), (Ok(false), written));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&dir).unwrap();
    }
}
