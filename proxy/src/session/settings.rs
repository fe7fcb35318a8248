//! Session settings: kept the same on every connection of the session, also on those opened later.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use raidb_core::sql::Settings;
use raidb_core::sql::analysis::{Isolation, TransactionModes};

use super::characteristics::texts;
use super::trouble::SqlError;
use crate::members::pg::target::StartupParameters;
use crate::virtual_database::settings::MemberDefaults;

/// One setting that holds for the session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Journalled {
    name: String,
    sql: Bytes,
}

/// A setting made inside a transaction.
#[derive(Clone, Debug)]
pub struct PendingSetting {
    /// Length of the transcript with it (with one more entry, if it is none); undone when the transcript gets shorter.
    pub at: usize,
    /// What it does.
    pub effect: Effect,
}

/// What a setting statement does to the journal.
#[derive(Clone, Debug)]
pub enum Effect {
    /// `SET name`: replaces an earlier one.
    Set {
        /// Setting, lower case.
        name: String,
        /// The statement's text.
        sql: Bytes,
        /// Plain values, where known.
        values: Option<Vec<String>>,
    },
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION`.
    Modes(TransactionModes),
    /// `RESET name`.
    Reset(String),
    /// `RESET ALL` or `DISCARD ALL`.
    ResetAll,
}

/// State of the session that changes what a statement means, and how to make a new connection equal.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "settings of PostgreSQL that are booleans")]
pub struct SessionSettings {
    journal: Vec<Journalled>,
    defaults: Defaults,
    /// Search path, resolved as far as known.
    /// `None`: the catalog's default.
    pub search_path: Option<Vec<String>>,
    /// `standard_conforming_strings`.
    pub standard_conforming: bool,
    /// `default_transaction_isolation`.
    pub isolation: Isolation,
    /// `default_transaction_read_only`.
    pub read_only: bool,
    /// `client_encoding` is UTF8: names of the catalog can stand in a text that is sent on the client's behalf.
    pub utf8: bool,
    /// Settings under which values captured as text do not come back exactly.
    inexact: Vec<&'static str>,
    /// Grows with every change that matters to the analysis.
    pub version: u64,
    /// A time limit is set that must act on the lead alone.
    pub time_limits: bool,
    /// See [`SessionSettings::constants`].
    constants: Vec<(&'static str, String)>,
    /// See [`SessionSettings::meaning`]; forgotten at every change.
    meaning: OnceLock<Arc<Settings>>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "settings of PostgreSQL that are booleans")]
struct Defaults {
    search_path: Option<Vec<String>>,
    isolation: Isolation,
    read_only: bool,
    time_limits: bool,
    utf8: bool,
}

/// Settings that [`SessionSettings::told`] tells of, beside [`TOLD_VALUES`].
const TOLD_OTHERWISE: [&str; 4] = ["search_path", "role", "session_authorization", "names"];

/// Settings as the lead has them; see [`MEANING_SQL`].
#[derive(Clone, Debug)]
pub struct Told {
    /// `current_schemas(false)`.
    pub search_path: Vec<String>,
    /// Name and value of the others.
    pub values: Vec<(&'static str, String)>,
}

/// Names of the values, in the order of [`MEANING_SQL`].
pub const TOLD_VALUES: [&str; 11] = [
    "standard_conforming_strings",
    "datestyle",
    "intervalstyle",
    "extra_float_digits",
    "client_encoding",
    "timezone",
    "timezone_abbreviations",
    "lc_monetary",
    "array_nulls",
    "xmloption",
    "transform_null_equals",
];

/// The level of transactions that name none.
const ISOLATION: &str = "default_transaction_isolation";
/// READ ONLY of transactions that do not name it.
const READ_ONLY: &str = "default_transaction_read_only";

/// Asks for [`Told`], and behind its values for [`ISOLATION`] and [`READ_ONLY`]. Schemas come as hex of UTF-8: the client's encoding may not be able to show them, which would be an error.
pub const MEANING_SQL: &str = "SELECT pg_catalog.encode(pg_catalog.convert_to(s::pg_catalog.text, \
    CASE WHEN pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.=) 'SQL_ASCII' \
    THEN 'SQL_ASCII'::pg_catalog.name ELSE 'UTF8'::pg_catalog.name END), 'hex') \
    FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, n) ORDER BY n;\
    SELECT pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('DateStyle'), \
    pg_catalog.current_setting('IntervalStyle'), pg_catalog.current_setting('extra_float_digits'), \
    pg_catalog.current_setting('client_encoding'), pg_catalog.current_setting('TimeZone'), \
    pg_catalog.current_setting('timezone_abbreviations'), pg_catalog.current_setting('lc_monetary'), \
    pg_catalog.current_setting('array_nulls'), pg_catalog.current_setting('xmloption'), \
    pg_catalog.current_setting('transform_null_equals'), \
    pg_catalog.current_setting('default_transaction_isolation'), pg_catalog.current_setting('default_transaction_read_only')";

/// Client encodings in which a byte of a character may look like a quote or a backslash.
const UNSAFE_ENCODINGS: [&str; 9] =
    ["sjis", "shift_jis_2004", "big5", "gbk", "uhc", "gb18030", "johab", "mskanji", "win936"];

/// Limits that act on the lead alone (DESIGN.md §3, time limits).
const TIME_LIMITS: [&str; 4] =
    ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"];

impl SessionSettings {
    /// Settings of a new session: the members' defaults, then the start packet.
    #[must_use]
    pub fn new(defaults: &MemberDefaults, parameters: &StartupParameters) -> Self {
        let mut settings = SessionSettings::plain(Defaults {
            search_path: None,
            isolation: defaults.isolation,
            read_only: false,
            time_limits: defaults.time_limits,
            utf8: true,
        });
        for (name, value) in parameters {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            if name == "options" {
                for (name, value) in option_settings(&value) {
                    settings.start_with(&name, &value);
                }
            } else {
                settings.start_with(&name, &value);
            }
        }
        settings
    }

    fn plain(defaults: Defaults) -> Self {
        SessionSettings {
            journal: Vec::new(),
            search_path: defaults.search_path.clone(),
            standard_conforming: true,
            isolation: defaults.isolation,
            read_only: defaults.read_only,
            utf8: defaults.utf8,
            inexact: Vec::new(),
            version: 1,
            time_limits: defaults.time_limits,
            constants: Vec::new(),
            meaning: OnceLock::new(),
            defaults,
        }
    }

    /// Whether a setting changes what a statement means or how captured values look: then the lead is asked.
    #[must_use]
    pub fn changes_meaning(name: &str) -> bool {
        TOLD_OTHERWISE.contains(&name) || TOLD_VALUES.contains(&name)
    }

    /// Whether it acts on the lead alone.
    #[must_use]
    pub fn is_time_limit(name: &str) -> bool {
        TIME_LIMITS.contains(&name)
    }

    /// What the lead says is in force now.
    pub fn told(&mut self, told: Told) {
        self.version += 1;
        self.meaning = OnceLock::new();
        self.search_path = Some(told.search_path);
        for (name, value) in &told.values {
            self.interpret(name, Some(std::slice::from_ref(value)));
        }
        self.constants = told.values;
    }

    /// Whether this very statement is in force already, so that it need not be sent at all.
    #[must_use]
    pub fn already(&self, name: &str, sql: &Bytes) -> bool {
        self.journal.iter().rev().find(|j| j.name == name).is_some_and(|j| j.sql == *sql)
    }

    /// The same for SET SESSION CHARACTERISTICS.
    #[must_use]
    pub fn already_modes(&self, modes: &TransactionModes) -> bool {
        let mut named = journalled(modes).into_iter().peekable();
        named.peek().is_some() && named.all(|entry| self.already(&entry.name, &entry.sql))
    }

    /// What the lead says are the defaults of `default_transaction_isolation` and `…_read_only` in this session: a role's own, or those of
    /// a configuration that was read anew.
    pub fn told_defaults(&mut self, (isolation, read_only): (Option<String>, Option<String>)) {
        for (name, value) in [(ISOLATION, isolation), (READ_ONLY, read_only)] {
            if let Some(value) = value {
                self.interpret(name, Some(&[value]));
            }
        }
        if self.journal.is_empty() {
            self.defaults.isolation = self.isolation;
            self.defaults.read_only = self.read_only;
        }
    }

    /// Settings that say how constants are read; empty: the lead was not asked since they were last changed.
    #[must_use]
    pub fn constants(&self) -> &[(&'static str, String)] {
        &self.constants
    }

    /// Statements that make a new connection equal, in order.
    pub fn journal(&self) -> impl Iterator<Item = &Bytes> {
        self.journal.iter().map(|j| &j.sql)
    }

    /// A setting statement took effect.
    pub fn apply(&mut self, effect: &Effect) {
        self.version += 1;
        match effect {
            Effect::Set { name, sql, values } => {
                self.journal.retain(|j| j.name != *name);
                self.journal.push(Journalled { name: name.clone(), sql: sql.clone() });
                self.interpret(name, values.as_deref());
            }
            Effect::Modes(modes) => {
                for entry in journalled(modes) {
                    self.journal.retain(|j| j.name != entry.name);
                    self.journal.push(entry);
                }
                self.isolation = modes.isolation.unwrap_or(self.isolation);
                self.read_only = modes.read_only.unwrap_or(self.read_only);
            }
            Effect::Reset(name) => {
                self.journal.retain(|j| j.name != *name);
                self.interpret(name, None);
            }
            Effect::ResetAll => {
                // RESET ALL leaves the role as it is; DISCARD ALL is more ([`SessionSettings::discard`]).
                let stays = |entry: &Journalled| ["role", "session_authorization"].contains(&entry.name.as_str());
                let journal = std::mem::take(&mut self.journal).into_iter().filter(stays).collect();
                *self =
                    SessionSettings { version: self.version, journal, ..SessionSettings::plain(self.defaults.clone()) };
            }
        }
    }

    /// DISCARD ALL: everything is as at the start.
    pub fn discard(&mut self) {
        self.apply(&Effect::ResetAll);
        self.journal.clear();
    }

    /// A start-up parameter (`name=value` of the start packet or of its `options`) is in force.
    fn start_with(&mut self, name: &str, value: &str) {
        let values: Vec<String> = value.split(',').map(|v| v.trim().trim_matches('"').to_owned()).collect();
        self.interpret(&name.to_ascii_lowercase(), Some(&values));
        self.defaults.search_path = self.search_path.clone();
        self.defaults.isolation = self.isolation;
        self.defaults.read_only = self.read_only;
        self.defaults.time_limits = self.time_limits;
        self.defaults.utf8 = self.utf8;
    }

    /// What of the settings changes the meaning of a text. `default_path` is the catalog's.
    #[must_use]
    pub fn meaning(&self, default_path: &[String]) -> Arc<Settings> {
        let path = self.search_path.as_deref().unwrap_or(default_path);
        let standard_conforming_strings = self.standard_conforming;
        let new = || Arc::new(Settings { search_path: path.to_vec(), standard_conforming_strings });
        let known = self.meaning.get_or_init(new);
        if known.search_path == path && known.standard_conforming_strings == standard_conforming_strings {
            known.clone()
        } else {
            new()
        }
    }

    /// Whether values captured as text come back exactly (ISO dates, full float digits).
    #[must_use]
    pub fn exact_text(&self) -> bool {
        self.inexact.is_empty()
    }

    fn exact_if(&mut self, name: &'static str, exact: bool) {
        self.inexact.retain(|n| *n != name);
        if !exact {
            self.inexact.push(name);
        }
    }

    fn interpret(&mut self, name: &str, values: Option<&[String]>) {
        self.meaning = OnceLock::new();
        let first = values.and_then(|v| v.first()).map(|v| v.to_ascii_lowercase());
        match name {
            "search_path" => {
                self.search_path = match values {
                    // "$user" stays as it is: no schema has that name, so nothing is found by it.
                    Some(values) if first.as_deref() != Some("default") => Some(values.to_vec()),
                    _ => self.defaults.search_path.clone(),
                };
            }
            "standard_conforming_strings" => {
                self.standard_conforming = !matches!(first.as_deref(), Some("off" | "false" | "no" | "0"));
            }
            ISOLATION => {
                self.isolation = match first.as_deref() {
                    Some("serializable") => Isolation::Serializable,
                    Some("repeatable read") => Isolation::RepeatableRead,
                    Some("read committed") => Isolation::ReadCommitted,
                    Some("read uncommitted") => Isolation::ReadUncommitted,
                    _ => self.defaults.isolation,
                };
            }
            READ_ONLY => {
                self.read_only = match first.as_deref() {
                    Some("on" | "true" | "yes" | "1") => true,
                    Some("off" | "false" | "no" | "0") => false,
                    _ => self.defaults.read_only,
                };
            }
            "datestyle" => self.exact_if("datestyle", first.is_none_or(|v| v.starts_with("iso") || v == "default")),
            "intervalstyle" => {
                let exact = first.is_none_or(|v| matches!(v.as_str(), "postgres" | "iso_8601" | "default"));
                self.exact_if("intervalstyle", exact);
            }
            "extra_float_digits" => {
                let exact = first.is_none_or(|v| v == "default" || v.parse::<i32>().is_ok_and(|n| n >= 1));
                self.exact_if("extra_float_digits", exact);
            }
            "client_encoding" | "names" => {
                let exact = first.as_ref().is_none_or(|v| !UNSAFE_ENCODINGS.contains(&v.trim_matches('\'')));
                self.exact_if("client_encoding", exact);
                self.utf8 = match first.as_deref().map(|v| v.trim_matches('\'')) {
                    None | Some("default") => self.defaults.utf8,
                    Some(name) => matches!(name, "utf8" | "utf-8" | "unicode"),
                };
            }
            limit if Self::is_time_limit(limit) => self.time_limits = true,
            _ => {}
        }
    }
}

/// Why a start packet is not accepted: it names a setting that SET is refused.
///
/// # Errors
/// 0A000.
pub fn check_start(parameters: &StartupParameters) -> Result<(), SqlError> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let settings = parameters.iter().flat_map(|(name, value)| match &name[..] {
        b"options" => option_settings(&text(value)),
        _ => vec![(text(name), text(value))],
    });
    for (name, value) in settings {
        if let Some(refusal) = raidb_core::sql::start_setting(&name, &value) {
            return Err(SqlError::refused(format!("the start packet sets {name}: {}", refusal.reason), refusal.hint));
        }
    }
    Ok(())
}

/// `-c name=value` and `--name=value` of the start packet's `options`; a backslash keeps a blank.
fn option_settings(options: &str) -> Vec<(String, String)> {
    let kept = options.replace("\\ ", "\u{1}");
    let mut words = kept.split_whitespace().map(|w| w.replace('\u{1}', " "));
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.as_str() {
            "-c" => words.next().unwrap_or_default(),
            other => other.strip_prefix("--").or(other.strip_prefix("-c")).unwrap_or_default().to_owned(),
        };
        if let Some((name, value)) = setting.split_once('=') {
            found.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    found
}

/// SET SESSION CHARACTERISTICS as what it is: one setting for each mode that it names.
fn journalled(modes: &TransactionModes) -> Vec<Journalled> {
    let none = TransactionModes::default();
    let each = [
        (ISOLATION, TransactionModes { isolation: modes.isolation, ..none }),
        (READ_ONLY, TransactionModes { read_only: modes.read_only, ..none }),
        ("default_transaction_deferrable", TransactionModes { deferrable: modes.deferrable, ..none }),
    ];
    let entry = |(name, mode): (&str, TransactionModes)| {
        let text = texts(&mode).into_iter().next()?;
        let sql = Bytes::from(format!("SET SESSION CHARACTERISTICS AS TRANSACTION {text}"));
        Some(Journalled { name: name.to_owned(), sql })
    };
    each.into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Effect {
        Effect::Set {
            name: name.into(),
            sql: Bytes::from(format!("SET {name} = {value}")),
            values: Some(vec![value.to_owned()]),
        }
    }

    #[test]
    fn the_last_setting_wins_and_a_repeated_one_is_known() {
        let mut s = SessionSettings::new(&MemberDefaults::default(), &Vec::new());
        s.apply(&set("search_path", "a"));
        s.apply(&set("search_path", "b"));
        assert_eq!(s.search_path, Some(vec!["b".to_owned()]));
        assert_eq!(s.journal().count(), 1);
        assert!(s.already("search_path", &Bytes::from_static(b"SET search_path = b")));
        assert_eq!(s.meaning(&[]).search_path, ["b"]);
        s.apply(&Effect::ResetAll);
        assert_eq!(s.search_path, None);
        assert_eq!(s.meaning(&["c".to_owned()]).search_path, ["c"]);
        assert_eq!(s.meaning(&["d".to_owned()]).search_path, ["d"]);
        assert_eq!(s.journal().count(), 0);
    }

    #[test]
    fn characteristics_are_settings() {
        let modes = |isolation| TransactionModes { isolation: Some(isolation), ..TransactionModes::default() };
        let serializable = set(ISOLATION, "serializable");
        let Effect::Set { sql, .. } = &serializable else { return };
        let mut s = SessionSettings::new(&MemberDefaults::default(), &Vec::new());
        s.apply(&serializable);
        assert!(s.already(ISOLATION, sql) && s.isolation == Isolation::Serializable);
        let committed = modes(Isolation::ReadCommitted);
        s.apply(&Effect::Modes(committed));
        assert!(s.already_modes(&committed) && !s.already(ISOLATION, sql), "one setting, two names");
        assert_eq!((s.isolation, s.journal().count()), (Isolation::ReadCommitted, 1));
        s.apply(&serializable);
        assert!(!s.already_modes(&committed));
        s.apply(&Effect::Modes(modes(Isolation::Serializable)));
        s.apply(&Effect::Reset(ISOLATION.to_owned()));
        assert_eq!((s.isolation, s.journal().count()), (Isolation::ReadCommitted, 0));
        let both = TransactionModes { read_only: Some(true), ..modes(Isolation::RepeatableRead) };
        s.apply(&Effect::Modes(both));
        assert_eq!(s.journal().count(), 2);
        assert!(s.already_modes(&both) && s.already_modes(&modes(Isolation::RepeatableRead)) && s.read_only);
    }

    #[test]
    fn a_role_may_have_its_own_default() {
        let mut s = SessionSettings::new(&MemberDefaults::default(), &Vec::new());
        s.told_defaults((Some("serializable".to_owned()), Some("on".to_owned())));
        assert!(s.isolation == Isolation::Serializable && s.read_only);
        s.apply(&set(ISOLATION, "read committed"));
        assert_eq!(s.isolation, Isolation::ReadCommitted);
        s.apply(&Effect::Reset(ISOLATION.to_owned()));
        assert_eq!(s.isolation, Isolation::Serializable);
    }

    #[test]
    fn what_set_is_refused_is_refused_at_the_start() {
        let packet = |name: &'static str, value: &'static str| vec![(Bytes::from(name), Bytes::from(value))];
        assert!(check_start(&packet("options", "-c synchronous_commit=off")).is_err());
        assert!(check_start(&packet("options", "--session-replication-role=replica -c a=b")).is_err());
        assert!(check_start(&packet("Synchronous_Commit", "0")).is_err());
        assert!(check_start(&packet("options", "-c synchronous_commit=on -c search_path=a")).is_ok());
        assert!(check_start(&packet("client_encoding", "UTF8")).is_ok());
    }

    #[test]
    fn options_of_the_start_packet() {
        let parameters =
            vec![(Bytes::from_static(b"options"), Bytes::from_static(b"-c search_path=a\\ b -c statement_timeout=5"))];
        let s = SessionSettings::new(&MemberDefaults::default(), &parameters);
        assert_eq!(s.search_path, Some(vec!["a b".to_owned()]));
        assert!(s.time_limits);
    }
}
