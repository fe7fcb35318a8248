//! One `[[virtual_database]]` with its users and members.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::section::{Section, quoted};
use super::uri_text::hide_password;
use super::{
    ConfigError, ConfigErrors, Consistency, Durability, Endpoint, Member, MemberUrl, Rejoin, Secret, SslMode,
    UnsafeStatement, User, VirtualDatabase,
};
use crate::placement::{Level, Pick, WaitFor};

/// Longest name of anything, in bytes: PostgreSQL's own limit for identifiers.
const NAME_BYTES_MAX: usize = 63;

/// Reads one virtual database. What could not be read is a finding, and a default in the result.
pub(super) fn read(
    path: &str,
    table: Table,
    base_dir: &Path,
    log_size_max: u64,
    errors: &mut Vec<ConfigError>,
) -> VirtualDatabase {
    let mut section = Section::new(path, table, errors);
    let name = section.required("name", NAME_ALLOWED).unwrap_or_default();
    check_name(&mut section, "name", &name);
    let level = section.keyword("level", Level::Raidb1);
    let pick = section.keyword("pick", Pick::LeastPending);
    let wait_for = section.keyword("wait_for", WaitFor::All);
    let consistency = section.keyword("consistency", Consistency::Strict);
    let durability = section.keyword("durability", Durability::Members);
    let rejoin = section.keyword("rejoin", Rejoin::Auto);
    let unsafe_statement = section.keyword("unsafe_statement", UnsafeStatement::Reject);
    let range = [Duration::from_millis(100), Duration::from_secs(3600)];
    let member_timeout = section.duration("member_timeout", Duration::from_secs(3), range);
    let max_connections_per_member = section.number("max_connections_per_member", 100, [1, 10_000]);
    let user_tables = section.tables("user");
    let member_tables = section.tables("member");
    check_member_count(&mut section, level, member_tables.len());
    let users = users(&mut section, user_tables);
    let members = members(&mut section, member_tables, base_dir);
    section.finish();
    VirtualDatabase {
        name,
        level,
        policy: level.policy(pick, wait_for),
        consistency,
        durability,
        rejoin,
        unsafe_statement,
        member_timeout,
        max_connections_per_member,
        log_size_max,
        users,
        members,
        adopt: Vec::new(),
    }
}

const NAME_ALLOWED: &str = "1 to 63 bytes without control characters";

fn check_name(section: &mut Section<'_>, key: &'static str, name: &str) {
    if !name.is_empty() && (name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control)) {
        section.fail(key, Some(quoted(name)), format!("must be {NAME_ALLOWED}"));
    }
}

fn check_member_count(section: &mut Section<'_>, level: Level, count: usize) {
    let max = VirtualDatabase::MEMBERS_MAX;
    if count == 0 {
        section.fail("member", None, "is missing; at least one [[virtual_database.member]] is needed");
    } else if level == Level::Single && count != 1 {
        section.fail("member", None, format!("has {count} members; level \"single\" allows exactly one"));
    } else if count > max {
        section.fail("member", None, format!("has {count} members; allowed: 1 to {max}"));
    }
}

fn users(database: &mut Section<'_>, tables: Vec<Table>) -> Vec<User> {
    let mut names = BTreeSet::new();
    let mut users = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = database.path_of(&format!("user[{index}]"));
        let mut section = Section::new(&path, table, database.errors());
        let name = section.required("name", NAME_ALLOWED).unwrap_or_default();
        check_name(&mut section, "name", &name);
        if !name.is_empty() && !names.insert(name.clone()) {
            section.fail("name", Some(quoted(&name)), "is given twice in this virtual database");
        }
        let password = section.secret("password");
        if password.as_ref().is_none_or(|password| password.expose().is_empty()) {
            section.fail("password", None, "is missing or empty; a user must have a password");
        }
        let member_user = section.text("member_user");
        let member_password = section.secret("member_password");
        if member_password.is_some() && member_user.is_none() {
            section.fail("member_user", None, "is missing, but member_password is given");
        }
        section.finish();
        let password = password.unwrap_or_else(|| Secret::new(""));
        users.push(User { name, password, member_user, member_password });
    }
    users
}

fn members(database: &mut Section<'_>, tables: Vec<Table>, base_dir: &Path) -> Vec<Member> {
    let mut names = BTreeSet::new();
    let mut members = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let path = database.path_of(&format!("member[{index}]"));
        let mut section = Section::new(&path, table, database.errors());
        let allowed = "1 to 63 of a-z, 0-9, \"_\", \"-\"";
        let name = section.required("name", allowed).unwrap_or_default();
        if !name.is_empty() && !is_member_name(&name) {
            section.fail("name", Some(quoted(&name)), format!("must be {allowed}"));
        }
        if !name.is_empty() && !names.insert(name.clone()) {
            section.fail("name", Some(quoted(&name)), "is given twice in this virtual database");
        }
        let url = member_url(&mut section, base_dir);
        let weight = section.number("weight", 1, [1, 1000]);
        section.finish();
        members.push(Member { name, url, weight: u16::try_from(weight).unwrap_or(1) });
    }
    members
}

/// One member by itself.
pub(super) fn one_member(name: &str, url: &str, weight: u32, base_dir: &Path) -> Result<Member, ConfigErrors> {
    let mut table = Table::new();
    table.insert("name".into(), Value::String(name.into()));
    table.insert("url".into(), Value::String(url.into()));
    table.insert("weight".into(), Value::Integer(weight.into()));
    let mut errors = Vec::new();
    let member = members(&mut Section::new("", Table::new(), &mut errors), vec![table], base_dir).pop();
    member.filter(|_| errors.is_empty()).ok_or(ConfigErrors(errors))
}

fn is_member_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed)
}

/// The member's URL; one that could not be read has an empty user.
fn member_url(section: &mut Section<'_>, base_dir: &Path) -> MemberUrl {
    let unreadable = || MemberUrl {
        endpoint: Endpoint::Unix { dir: PathBuf::new(), port: 0 },
        user: String::new(),
        password: None,
        dbname: String::new(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
    };
    let Some(text) = section.required("url", "postgresql://user@host:port/dbname") else {
        return unreadable();
    };
    match MemberUrl::parse(&text) {
        Ok(mut url) => {
            url.sslrootcert = url.sslrootcert.map(|file| base_dir.join(file));
            url
        }
        Err(problem) => {
            section.fail("url", Some(quoted(&hide_password(&text))), problem);
            unreadable()
        }
    }
}
