//! PREPARE, DEALLOCATE, DISCARD: what a session has given names to, on whatever member knows them.

use bytes::Bytes;
use raidb_core::sql::analysis::Command;

use super::Session;
use super::prepared::{Prepared, PreparedStatement};
use super::settings::Effect;
use super::statement::Statement;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::{Link, Owner};
use crate::wire::encode;

impl Session {
    /// Runs one of them; its answer is staged.
    pub(super) async fn names_command(&mut self, statement: &Statement) -> Result<(), Trouble> {
        if let Command::Deallocate(Some(name)) = &statement.analysis.command {
            let bytes = Bytes::copy_from_slice(name.as_bytes());
            if self.names.statement(&bytes).is_some() && !self.settings.has_prepared(name) {
                self.deallocate_parsed(&bytes);
                return Ok(());
            }
        }
        if let Command::Prepare { name, .. } = &statement.analysis.command
            && self.names.statement(&Bytes::copy_from_slice(name.as_bytes())).is_some()
        {
            // By a Parse, perhaps: then a reader may have it, and the lead may not.
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists"), "").into());
        }
        if self.open.is_some() && !matches!(statement.analysis.command, Command::Discard { .. }) {
            // PREPARE and DEALLOCATE are not undone by a rollback; every member gets them now or never, behind what the
            // transcript holds: they may need what it makes.
            loop {
                match self.settle_followers().await {
                    Err(Trouble::LeadChanged) => self.change_lead().await?,
                    other => break other?,
                }
            }
            self.simple_on_lead(statement).await?;
            let lead = self.lead();
            for member in self.view.members().filter(|m| *m != lead) {
                if let Some(link) = self.link(member) {
                    link.simple(&[&statement.sql], Owner::Discarded);
                }
            }
        } else {
            self.everywhere(statement).await?;
        }
        match &statement.analysis.command {
            Command::Prepare { name, inner, analysis } => {
                let identity = self.names.identity();
                let name = Bytes::copy_from_slice(name.as_bytes());
                let text = statement.sql.slice(*inner..);
                let prepared = Prepared { identity, name: name.clone(), text, types: Bytes::from_static(&[0, 0]) };
                for slot in &mut self.slots {
                    if let Some(link) = slot.link.as_mut() {
                        link.learn(name.clone(), identity);
                    }
                }
                self.settings.apply(&Effect::Set {
                    name: format!("prepare {}", String::from_utf8_lossy(&name)),
                    sql: statement.sql.clone(),
                    values: None,
                });
                let version = self.analysis_version();
                self.names.keep(PreparedStatement { prepared: prepared.into(), analysis: analysis.clone(), version });
            }
            Command::Deallocate(Some(name)) => {
                let bytes = Bytes::copy_from_slice(name.as_bytes());
                self.names.close_statement(&bytes);
                self.slots.iter_mut().filter_map(|s| s.link.as_mut()).for_each(|link| link.closed(&bytes));
                self.settings.apply(&Effect::Reset(format!("prepare {name}")));
            }
            Command::Deallocate(None) => self.forget_names(),
            Command::Discard { all: true } => {
                self.forget_names();
                self.forget_waiting_token();
                self.settings.discard();
                self.read_meaning_surely().await;
            }
            _ => {}
        }
        Ok(())
    }

    /// DEALLOCATE of what a Parse has made (psycopg does that): a member has it only if it was used there, and where it has not
    /// the text would fail. Close does the same, is no error anywhere, and is not undone by a rollback either.
    fn deallocate_parsed(&mut self, name: &Bytes) {
        self.names.close_statement(name);
        for link in self.slots.iter_mut().filter_map(|slot| slot.link.as_mut()) {
            if link.occupied(name) {
                link.unit(Owner::Discarded);
                encode::close(link.out(), b'S', name);
                encode::bare(link.out(), b'S');
                link.closed(name);
            }
        }
        self.complete("DEALLOCATE");
    }

    fn forget_names(&mut self) {
        self.names.forget_all();
        self.slots.iter_mut().filter_map(|s| s.link.as_mut()).for_each(Link::forget_all);
        self.settings.forget_prepared();
    }
}
