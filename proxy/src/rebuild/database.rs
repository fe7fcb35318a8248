//! The database as a whole: what the donor's is like, and the target's gone, made and renamed.

use std::time::{Duration, SystemTime};

use raidb_core::log::database_hash;

use super::endpoint::{Endpoint, identifier, literal};
use super::{QUERY_TIME_MAX, RebuildError};
use crate::members::pg::maintenance::{Maintenance, QueryError};

/// How often a database is tried to be dropped or renamed while somebody connects to it. At the limit: the copy fails.
const ATTEMPTS_MAX: u32 = 20;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// `object_in_use`.
const IN_USE: [u8; 5] = *b"55006";

const DESCRIBE_SQL: &str = "SELECT pg_database_size(d.oid), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, \
    pg_get_userbyid(d.datdba), to_jsonb(d)->>'datlocprovider', \
    coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale'), to_jsonb(d)->>'daticurules' \
    FROM pg_database d WHERE d.datname = current_database()";

/// What the target's database has to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// Size on disk.
    pub(super) bytes: u64,
    /// Options of `CREATE DATABASE`.
    options: String,
}

/// Name under which the copy is loaded: of fixed length, and the same at every attempt, so that what an earlier one
/// has left is found and removed.
#[must_use]
pub fn staging_name(database: &str) -> String {
    format!("raidb_rebuild_{:016x}", database_hash(database))
}

/// Whatever the addresses look like: a lock that is taken on the donor must not be seen in the target's database.
pub(super) async fn refuse_same(
    donor: &Endpoint,
    from: &mut Maintenance,
    target: &Endpoint,
    to: &mut Maintenance,
) -> Result<(), RebuildError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (high, low) = (std::process::id() & 0x7fff_ffff, now.subsec_nanos());
    let what = "tell donor and target apart";
    donor.query(from, what, &[&format!("SELECT pg_advisory_lock({high}, {low})")]).await?;
    let look = format!(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory' \
         AND l.classid = {high} AND l.objid = {low} AND l.objsubid = 2 AND d.datname = {}",
        literal(target.database())
    );
    let [seen] = target.row(to, what, &look).await?;
    donor.query(from, what, &[&format!("SELECT pg_advisory_unlock({high}, {low})")]).await?;
    if seen == "0" {
        return Ok(());
    }
    Err(RebuildError::SameDatabase { donor: donor.name().to_owned(), target: target.name().to_owned() })
}

/// The major version that both servers have.
pub(super) async fn equal_versions(
    donor: &Endpoint,
    from: &mut Maintenance,
    target: &Endpoint,
    to: &mut Maintenance,
) -> Result<u32, RebuildError> {
    let donor_major = major(donor, from).await?;
    let target_major = major(target, to).await?;
    if donor_major == target_major {
        return Ok(donor_major);
    }
    let (donor, target) = (donor.name().to_owned(), target.name().to_owned());
    Err(RebuildError::Versions { donor, donor_major, target, target_major })
}

async fn major(endpoint: &Endpoint, connection: &mut Maintenance) -> Result<u32, RebuildError> {
    let what = "read the version";
    let [number] = endpoint.row(connection, what, "SELECT current_setting('server_version_num')").await?;
    let number: u32 = number.parse().map_err(|_| endpoint.unreadable(what))?;
    Ok(number / 10_000)
}

/// What the donor's database is like.
pub(super) async fn describe(donor: &Endpoint, from: &mut Maintenance) -> Result<Database, RebuildError> {
    let what = "read the properties of the database";
    let [bytes, encoding, collate, ctype, owner, provider, locale, rules] = donor.row(from, what, DESCRIBE_SQL).await?;
    let mut options = format!(
        "TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        identifier(&owner),
        literal(&encoding),
        literal(&collate),
        literal(&ctype)
    );
    match provider.as_str() {
        // Before PostgreSQL 15 there is but one.
        "" => {}
        "c" => options.push_str(" LOCALE_PROVIDER libc"),
        "i" => options.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(&locale))),
        "b" => options.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(&locale))),
        _ => return Err(donor.unreadable(what)),
    }
    if !rules.is_empty() {
        options.push_str(&format!(" ICU_RULES {}", literal(&rules)));
    }
    Ok(Database { bytes: bytes.parse().map_err(|_| donor.unreadable(what))?, options })
}

/// Drops what the target has, and what an earlier attempt has left, and makes an empty database to load into.
pub(super) async fn replace(
    target: &Endpoint,
    to: &mut Maintenance,
    staging: &str,
    database: &Database,
) -> Result<(), RebuildError> {
    for name in [staging, target.database()] {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name));
        alone(target, to, name, "drop the old database", &drop).await?;
    }
    let create = format!("CREATE DATABASE {} {}", identifier(staging), database.options);
    target.query(to, "create the database", &[&create]).await.map(drop)
}

/// The copy is whole: it gets its name. Its commit also makes everything durable that was loaded.
pub(super) async fn rename(target: &Endpoint, to: &mut Maintenance, staging: &str) -> Result<(), RebuildError> {
    let rename = format!("ALTER DATABASE {} RENAME TO {}", identifier(staging), identifier(target.database()));
    target.query(to, "wait for the disk", &["SET synchronous_commit = on"]).await?;
    alone(target, to, staging, "rename the copy", &rename).await
}

/// Runs a statement that wants nobody connected to a database: ends all who are, again while new ones come.
async fn alone(
    target: &Endpoint,
    to: &mut Maintenance,
    database: &str,
    what: &str,
    sql: &str,
) -> Result<(), RebuildError> {
    let terminate = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
        literal(database)
    );
    for _ in 1..ATTEMPTS_MAX {
        target.query(to, "end the connections to the database", &[&terminate]).await?;
        match to.query(&[sql], QUERY_TIME_MAX).await {
            Ok(_) => return Ok(()),
            Err(QueryError::Server { sqlstate: IN_USE, .. }) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(target.failed(what, error)),
        }
    }
    target.query(to, what, &[sql]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::staging_name;

    #[test]
    fn the_name_fits_and_is_the_same_again() {
        let name = staging_name(&"x".repeat(63));
        assert!(name.len() <= 63 && name != staging_name("bench"), "{name}");
        assert_eq!(staging_name("bench"), staging_name("bench"));
    }
}
