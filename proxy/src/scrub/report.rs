//! What a repair did, in words: for the incident, the log and the operator.

use std::fmt;

use raidb_core::scrub::Difference;

use super::tables::Table;

/// Keys of each kind that a report names, for each table.
const KEYS_SHOWN: usize = 5;
/// Bytes of a key that a report shows.
const KEY_BYTES_SHOWN: usize = 80;
/// Tables that a report names; of others only the number.
const TABLES_SHOWN: usize = 20;

/// What was done to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedTable {
    /// Quoted name, with schema.
    pub table: String,
    /// Rows that only the repaired member had.
    pub deleted: usize,
    /// Rows that it lacked.
    pub inserted: usize,
    /// Rows that both had, with different contents.
    pub changed: usize,
    /// Some of the keys, each with what was done: `-` deleted, `+` inserted, `~` changed.
    pub sample: Vec<String>,
}

/// What was done to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Tables that were compared.
    pub compared: usize,
    /// Tables that differed.
    pub tables: Vec<RepairedTable>,
}

impl Repaired {
    /// Nothing differed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub(super) fn add(&mut self, table: &Table, difference: &Difference) {
        // Without a key there is nothing that two different rows have in common.
        let changed = if table.key().is_empty() { Default::default() } else { difference.changed() };
        let only = |rows: &'_ [raidb_core::scrub::Row]| -> Vec<String> {
            rows.iter().filter(|row| !changed.contains(row.key.as_str())).map(|row| row.key.clone()).collect()
        };
        let (deleted, inserted) = (only(&difference.surplus), only(&difference.missing));
        let signed = |sign: char, keys: &[String]| -> Vec<String> {
            keys.iter().take(KEYS_SHOWN).map(|key| format!("{sign}{}", cut(key))).collect()
        };
        let changed_keys: Vec<String> = changed.iter().map(|key| (*key).to_owned()).collect();
        let sample = [signed('-', &deleted), signed('+', &inserted), signed('~', &changed_keys)].concat();
        self.tables.push(RepairedTable {
            table: table.name.clone(),
            deleted: deleted.len(),
            inserted: inserted.len(),
            changed: changed_keys.len(),
            sample,
        });
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tables compared, {} differed", self.compared, self.tables.len())?;
        for table in self.tables.iter().take(TABLES_SHOWN) {
            let RepairedTable { table, deleted, inserted, changed, sample } = table;
            write!(
                f,
                "; {table}: {deleted} rows deleted, {inserted} inserted, {changed} changed ({})",
                sample.join(" ")
            )?;
        }
        if self.tables.len() > TABLES_SHOWN {
            write!(f, "; and {} more tables", self.tables.len() - TABLES_SHOWN)?;
        }
        Ok(())
    }
}

fn cut(key: &str) -> String {
    if key.len() <= KEY_BYTES_SHOWN {
        return key.to_owned();
    }
    let end = (0..=KEY_BYTES_SHOWN).rev().find(|end| key.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &key[..end])
}
