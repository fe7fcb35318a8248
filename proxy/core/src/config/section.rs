//! One TOML table while it is read: keys are taken out, findings are collected, what is left is unknown.
//!
//! serde's `deny_unknown_fields` stops at the first finding; this reader reports all of them in one pass.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use super::keyword::Keyword;
use super::{ConfigError, Secret, duration, size};

/// A table being read. [`Section::finish`] must be called to report the keys that nobody asked for.
pub(super) struct Section<'e> {
    path: String,
    table: Table,
    asked: BTreeSet<&'static str>,
    errors: &'e mut Vec<ConfigError>,
}

impl<'e> Section<'e> {
    /// Starts to read `table`, found at `path` (empty for the whole file).
    pub(super) fn new(path: &str, table: Table, errors: &'e mut Vec<ConfigError>) -> Self {
        Self { path: path.to_owned(), table, asked: BTreeSet::new(), errors }
    }

    /// Records a finding at `key`, with the value that was written, if it may be shown.
    pub(super) fn fail(&mut self, key: &str, value: Option<String>, problem: impl Into<String>) {
        let path = self.path_of(key);
        self.errors.push(ConfigError { path, value, problem: problem.into() });
    }

    /// Key path of a key in this table.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.insert(key);
        self.table.remove(key)
    }

    /// A text, or `None` if the key is missing; another type is a finding.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                self.fail(key, Some(other.to_string()), "must be a text in quotes");
                None
            }
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, key: &'static str, allowed: &str) -> Option<String> {
        if !self.table.contains_key(key) {
            self.asked.insert(key);
            self.fail(key, None, format!("is missing; allowed: {allowed}"));
            return None;
        }
        self.text(key)
    }

    /// A password: like [`Section::text`], but its value is in no message.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        match self.take(key)? {
            Value::String(text) => Some(Secret::new(text)),
            _ => {
                self.fail(key, None, "must be a text in quotes (value not shown)");
                None
            }
        }
    }

    /// A text that `read` turns into a value, or `default`.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        read(&text).unwrap_or_else(|problem| {
            self.fail(key, Some(quoted(&text)), problem);
            default
        })
    }

    /// One word of a list, or `default`.
    pub(super) fn keyword<T: Keyword>(&mut self, key: &'static str, default: T) -> T {
        self.parsed(key, default, T::read)
    }

    /// A duration within `range` (both ends included), or `default`.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration, range: [Duration; 2]) -> Duration {
        let [low, high] = range;
        self.parsed(key, default, |text| {
            duration::parse(text).filter(|value| (low..=high).contains(value)).ok_or_else(|| {
                format!("must be a duration from \"{}\" to \"{}\"", duration::show(low), duration::show(high))
            })
        })
    }

    /// A whole number within `range` (both ends included), or `default`.
    pub(super) fn number(&mut self, key: &'static str, default: u32, range: [u32; 2]) -> u32 {
        let [low, high] = range;
        let Some(value) = self.take(key) else {
            return default;
        };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (low..=high).contains(number)).unwrap_or_else(|| {
            self.fail(key, Some(value.to_string()), format!("must be a whole number from {low} to {high}"));
            default
        })
    }

    /// A size in bytes within `range` (both ends included), as text with a unit or as a number, or `default`.
    pub(super) fn size(&mut self, key: &'static str, default: u64, range: [u64; 2]) -> u64 {
        let [low, high] = range;
        let Some(value) = self.take(key) else {
            return default;
        };
        let bytes = match &value {
            Value::String(text) => size::parse(text),
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
        };
        bytes.filter(|bytes| (low..=high).contains(bytes)).unwrap_or_else(|| {
            let allowed = [size::show(low), size::show(high)];
            let problem = format!("must be a size from \"{}\" to \"{}\"", allowed[0], allowed[1]);
            self.fail(key, Some(value.to_string()), problem);
            default
        })
    }

    /// A sub-table, empty if missing.
    pub(super) fn table(&mut self, key: &'static str) -> Table {
        match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.fail(key, None, format!("must be a table: [{}], not {}", self.path_of(key), other.type_str()));
                Table::new()
            }
        }
    }

    /// An array of tables, empty if missing.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table> {
        let shape = "must be an array of tables: [[…]]";
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let mut tables = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Value::Table(table) => tables.push(table),
                        _ => self.fail(key, None, shape),
                    }
                }
                tables
            }
            Some(_) => {
                self.fail(key, None, shape);
                Vec::new()
            }
        }
    }

    /// The list of findings, for a part of this table that is read by its own [`Section`].
    pub(super) fn errors(&mut self) -> &mut Vec<ConfigError> {
        self.errors
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(mut self) {
        let known = self.asked.iter().copied().collect::<Vec<_>>().join(", ");
        for (key, _) in std::mem::take(&mut self.table) {
            // The value of an unknown key is not shown: it may be a misspelt password.
            self.fail(&key, None, format!("is an unknown key; allowed: {known}"));
        }
    }
}

/// A text as it is written in TOML.
pub(super) fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
