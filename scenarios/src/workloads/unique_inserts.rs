//! Inserts of keys that are used once, and a journal of those that were acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::Member;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// The table; to be made before the load.
pub const SCHEMA: &str = "create table unique_inserts(key bigint primary key, client int not null)";

/// What one or many clients were told.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Keys whose insert was acknowledged.
    pub acknowledged: BTreeSet<i64>,
    /// Keys whose insert ended in an error that leaves the outcome open (a lost connection, 08007).
    pub unknown: BTreeSet<i64>,
    /// Keys whose insert was refused for certain.
    pub refused: BTreeSet<i64>,
}

impl Journal {
    /// All of `clients` in one.
    #[must_use]
    pub fn merge(journals: impl IntoIterator<Item = Self>) -> Self {
        journals.into_iter().fold(Self::default(), |mut all, mut one| {
            all.acknowledged.append(&mut one.acknowledged);
            all.unknown.append(&mut one.unknown);
            all.refused.append(&mut one.refused);
            all
        })
    }

    /// Every acknowledged key is on `member`, no refused one is, and nothing else but unknown ones.
    ///
    /// # Errors
    /// A key is lost, or was made up.
    pub async fn check(&self, member: &Member) -> Result<()> {
        let rows = member.endpoint().rows("select key from unique_inserts").await?;
        let keys = rows.into_iter().flatten().flatten().map(|key| key.parse::<i64>());
        let found = keys.collect::<Result<BTreeSet<i64>, _>>()?;
        self.compare(member.name(), &found)
    }

    /// The same, of keys that were found on a database of that name.
    ///
    /// # Errors
    /// A key is lost, or was made up.
    pub fn compare(&self, name: &str, found: &BTreeSet<i64>) -> Result<()> {
        let lost: Vec<_> = self.acknowledged.difference(found).take(5).collect();
        if !lost.is_empty() {
            return fail(format!("acknowledged keys that {} has not: {lost:?} …", name));
        }
        let told = |key: &&i64| self.acknowledged.contains(key) || self.unknown.contains(key);
        let made_up: Vec<_> = found.iter().filter(|key| !told(key)).take(5).collect();
        if !made_up.is_empty() {
            return fail(format!("keys on {} that nobody was told of: {made_up:?} …", name));
        }
        Ok(())
    }
}

/// Inserts keys of `client` one by one until `stop` is set. After an error it connects again, patiently.
///
/// # Errors
/// Another SQLSTATE than those of a database that is not there (08, 57P).
pub async fn client(endpoint: Endpoint, client: i32, stop: Arc<AtomicBool>) -> Result<Journal> {
    let mut journal = Journal::default();
    let mut connection = None;
    let mut key = i64::from(client) << 32;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &connection else {
            connection = endpoint.connect().await.ok();
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        key += 1;
        let insert = format!("insert into unique_inserts values ({key}, {client})");
        match open.simple_query(&insert).await {
            Ok(_) => drop(journal.acknowledged.insert(key)),
            Err(error) => {
                match error.code().map(|code| code.code().to_owned()) {
                    Some(code) if code == "57P03" => drop(journal.refused.insert(key)),
                    Some(code) if !code.starts_with("08") && !code.starts_with("57P") => {
                        return Err(Failure::from(error).during(insert));
                    }
                    _ => drop(journal.unknown.insert(key)),
                }
                connection = None;
            }
        }
    }
    Ok(journal)
}
