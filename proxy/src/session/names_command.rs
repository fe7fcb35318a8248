//! PREPARE, DEALLOCATE, DISCARD, and what EXECUTE stands for.
//!
//! **A name means what it meant.** PREPARE runs on the lead alone. Wherever its statement is executed later (on followers, readers,
//! another lead, or from the log), the PREPARE that makes it goes before the EXECUTE, if it does not stand there: see
//! [`super::frames`] and [`super::intent`]. So nothing hangs on when a connection was opened, and what the name stands for by then.
//! The types of its parameters were found once, by the lead, and are named from then on. The same of its constants cannot be
//! said in a text: behind a change of a setting under which they would be read in another way, EXECUTE is refused.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use raidb_core::sql::analysis::{Analysis, Command};

use super::Session;
use super::frames::quote_identifier;
use super::prepared::{BySql, PREPARED_MAX, Prepared, PreparedStatement, Told, portable_types};
use super::statement::Statement;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Link;

/// Names of the proxy's own statements on members begin with this.
const OWN_PREFIX: &str = "raidb_";

/// A parameter's type: its number on the lead, and its name with its schema.
type ParameterType = (u32, String);

impl Session {
    /// Runs one of them; its answer is staged.
    pub(super) async fn names_command(&mut self, statement: &Statement) -> Result<(), Trouble> {
        match &statement.analysis.command {
            Command::Prepare { name, inner, analysis } => self.prepare_by_sql(statement, name, *inner, analysis).await,
            Command::Deallocate(Some(name)) => self.deallocate(name),
            Command::Deallocate(None) => {
                self.names.forget_all();
                self.slots.iter_mut().filter_map(|slot| slot.link.as_mut()).for_each(Link::close_names);
                self.complete("DEALLOCATE ALL");
                Ok(())
            }
            // The lead refuses it in a transaction block, in its own words.
            Command::Discard { all: true } if self.open.is_some() => self.simple_on_lead(statement).await,
            Command::Discard { all } => {
                if self.open.is_some() {
                    self.followers_settled().await?;
                }
                self.everywhere(statement).await?;
                if *all {
                    self.names.forget_all();
                    self.slots.iter_mut().filter_map(|s| s.link.as_mut()).for_each(Link::forget_all);
                    self.forget_waiting_token();
                    self.settings.discard();
                    self.locks_discarded();
                    self.temporary_discarded();
                    self.held_cursors.clear();
                    self.unlisten_all();
                    self.read_meaning_surely().await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What comes is undone by no rollback: followers get it now or never, behind what the transcript holds.
    pub(super) async fn followers_settled(&mut self) -> Result<(), Trouble> {
        loop {
            match self.settle_followers().await {
                Err(Trouble::LeadChanged) => self.change_lead().await?,
                other => return other,
            }
        }
    }

    async fn prepare_by_sql(
        &mut self,
        statement: &Statement,
        name: &str,
        inner: usize,
        analysis: &Arc<Analysis>,
    ) -> Result<(), Trouble> {
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        if self.names.statement(&bytes).is_some() {
            // By a Parse, perhaps: then a reader may have it, and the lead may not.
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists"), "").into());
        }
        if name.starts_with(OWN_PREFIX) {
            let message =
                format!("prepared statement \"{name}\": names that begin with {OWN_PREFIX} are the proxy's own");
            return Err(SqlError::new("42939", message, "Choose another name.").into());
        }
        if self.names.len() >= PREPARED_MAX {
            let message = format!("more than {PREPARED_MAX} prepared statements in one session");
            return Err(SqlError::new("54000", message, "DEALLOCATE some.").into());
        }
        let text = statement.sql.slice(inner..);
        let constants = has_constants(&text);
        if constants && self.settings.constants().is_empty() {
            self.read_meaning_surely().await;
        }
        let identity = self.names.identity();
        let lead = match self.open.is_some() {
            true => {
                self.simple_on_lead(statement).await?;
                self.lead()
            }
            false => self.outside(statement).await?,
        };
        if let Some(link) = self.link(lead) {
            link.learn(bytes.clone(), identity);
        }
        let types = if analysis.parameters == 0 { Some(Vec::new()) } else { self.parameter_types(name).await? };
        let by_sql = BySql {
            text: match &types {
                Some(types) => prepare_text(name, types, &text),
                None => statement.sql.clone(),
            },
            under: constants.then(|| self.settings.constants().to_vec()),
        };
        let types = portable_types(&raw_types(&types.unwrap_or_default()));
        let prepared = Prepared { identity, name: bytes, text, types, by_sql: Some(by_sql) };
        let version = self.analysis_version();
        self.names.keep(PreparedStatement {
            prepared: prepared.into(),
            analysis: analysis.clone(),
            version,
            parsed_at: version,
        });
        Ok(())
    }

    /// Types that the lead has found for the parameters of a statement that it has just prepared; `None`: it is gone.
    async fn parameter_types(&mut self, name: &str) -> Result<Option<Vec<ParameterType>>, Trouble> {
        if name.contains('\\') {
            return Ok(None);
        }
        let sql = format!(
            "SELECT t.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) \
             FROM pg_catalog.pg_prepared_statements s, pg_catalog.unnest(s.parameter_types) WITH ORDINALITY u(type, nth) \
             JOIN pg_catalog.pg_type t ON t.oid = u.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
             WHERE s.name = '{}' ORDER BY u.nth",
            name.replace('\'', "''")
        );
        let rows = match self.lead_results(&sql).await {
            Ok(results) => results.into_iter().next().unwrap_or_default(),
            // Its text will do without them; what has become of the lead is found at the next statement.
            Err(Trouble::LeadChanged | Trouble::MemberLost) => return Ok(None),
            Err(other) => return Err(other),
        };
        let types = rows.into_iter().map(|row| match &row[..] {
            [Some(oid), Some(name)] => Some((oid.parse().ok()?, name.clone())),
            _ => None,
        });
        Ok(types.collect::<Option<Vec<ParameterType>>>().filter(|types| !types.is_empty()))
    }

    /// What an EXECUTE of this statement stands for, wherever it is sent.
    ///
    /// # Errors
    /// 0A000: elsewhere it would mean something else.
    pub(super) fn executed(&self, prepared: &Arc<Prepared>) -> Result<Arc<Prepared>, SqlError> {
        let Some(by_sql) = &prepared.by_sql else {
            // A Parse has made it. SQL can do the same if nothing but the text says what it is.
            let typed = prepared.types.iter().any(|byte| *byte != 0);
            let name = std::str::from_utf8(&prepared.name).ok().filter(|_| !typed && !has_constants(&prepared.text));
            let Some(name) = name else {
                return Err(SqlError::refused(
                    "EXECUTE names a statement that was prepared by the protocol, with types or constants",
                    "Bind it, or PREPARE it.",
                ));
            };
            let by_sql = Some(BySql { text: prepare_text(name, &[], &prepared.text), under: None });
            let (name, text, types) = (prepared.name.clone(), prepared.text.clone(), prepared.types.clone());
            return Ok(Arc::new(Prepared { identity: prepared.identity, name, text, types, by_sql }));
        };
        let same = |told: &Told| told[..] == *self.settings.constants();
        if by_sql.under.as_ref().is_none_or(same) {
            return Ok(prepared.clone());
        }
        Err(SqlError::refused(
            "its statement has constants, which were read under other settings (TimeZone, DateStyle and the like)",
            "DEALLOCATE it and PREPARE it again.",
        ))
    }

    /// Its name is closed wherever it stands: Close is no error anywhere, and is not undone by a rollback either, as DEALLOCATE.
    fn deallocate(&mut self, name: &str) -> Result<(), Trouble> {
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        if self.names.statement(&bytes).is_none() {
            return Err(SqlError::new("26000", format!("prepared statement \"{name}\" does not exist"), "").into());
        }
        self.names.close_statement(&bytes);
        self.slots.iter_mut().filter_map(|slot| slot.link.as_mut()).for_each(|link| link.close_name(&bytes));
        self.complete("DEALLOCATE");
        Ok(())
    }
}

/// Whether a text has a constant in quotes.
fn has_constants(text: &[u8]) -> bool {
    let dollar = |pair: &[u8]| pair[0] == b'$' && !pair[1].is_ascii_digit();
    text.contains(&b'\'') || text.windows(2).any(dollar)
}

fn prepare_text(name: &str, types: &[ParameterType], text: &[u8]) -> Bytes {
    let names: Vec<&str> = types.iter().map(|(_, name)| &name[..]).collect();
    let types = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    [format!("PREPARE {}{types} AS ", quote_identifier(name)).as_bytes(), text].concat().into()
}

/// As in Parse.
fn raw_types(types: &[ParameterType]) -> Bytes {
    let mut raw = BytesMut::with_capacity(2 + 4 * types.len());
    raw.put_u16(u16::try_from(types.len()).unwrap_or(u16::MAX));
    types.iter().for_each(|(oid, _)| raw.put_u32(*oid));
    raw.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_says_all() {
        let types = [(23, "pg_catalog.int4".to_owned()), (90_000, "s.\"Mood\"".to_owned())];
        let text = prepare_text("a\"b", &types, b"select $1, $2");
        assert_eq!(&text[..], b"PREPARE \"a\"\"b\" (pg_catalog.int4, s.\"Mood\") AS select $1, $2");
        assert_eq!(&prepare_text("p", &[], b"select 1")[..], b"PREPARE \"p\" AS select 1");
        assert_eq!(&portable_types(&raw_types(&types))[..], [0, 2, 0, 0, 0, 23, 0, 0, 0, 0]);
        assert_eq!(&raw_types(&[])[..], [0, 0]);
    }

    #[test]
    fn constants() {
        for (text, wanted) in [
            ("insert into t values ($1, $2)", false),
            ("select 1.5, \"a\"", false),
            ("select date '2024-01-02'", true),
            ("select $$a$$", true),
            ("select $x$a$x$", true),
        ] {
            assert_eq!(has_constants(text.as_bytes()), wanted, "{text}");
        }
    }
}
