//! Temporary objects of the session (ADR 0014): they stand on each of its connections alike, so that a follower can become lead.
//!
//! * What makes, changes or fills them are entries of the transcript, and in no intent: whoever redoes one is another session.
//! * A connection that was opened when there were some lacks them, and does nothing in place of such entries. If the lead's is
//!   one of those, the session ends: it is never silently without its tables.
//! * Names are looked up in the shared catalog with the session's own relations on top ([`Session::with_temporary`]).
//!
//! A session without them pays for a look at an `Option`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raidb_core::sql::analysis::Utility;
use raidb_core::sql::catalog::{Catalog, TEMPORARY_SCHEMA, Table};
use raidb_core::sql::catalog_query::CATALOG_SQL;
use raidb_core::sql::footprint::Footprint;

use super::Session;
use super::statement::Statement;
use super::transaction::{Block, Payload};
use super::trouble::{SqlError, Trouble};
use crate::virtual_database::sequences::SequenceState;

/// Relations, as the lead has told them.
type Relations = Arc<[Arc<Table>]>;

/// What a session knows of its temporary objects.
#[derive(Debug, Default)]
pub(crate) struct Temporary {
    /// Those that are committed; `None`: there are none.
    committed: Option<Relations>,
    /// A commit has dropped some (ON COMMIT DROP), and the lead has not told which are left.
    unknown: bool,
    /// How much DDL had ended when the lead was asked for them; `None`: some was under way.
    generation: Option<u64>,
    /// The session has had some: what its search path means does not change any more with the next.
    had: bool,
    /// The catalog with them on top, as long as neither changes.
    overlay: Mutex<Option<Overlay>>,
}

#[derive(Debug)]
struct Overlay {
    base: u64,
    relations: Relations,
    catalog: Arc<Catalog>,
}

/// What the client is told when it loses them.
pub(super) fn temporary_is_lost() -> SqlError {
    SqlError::new(
        "57P01",
        "the session's temporary tables were on a connection to a member that was lost",
        "Connect again, and make them again.",
    )
}

/// Whether a sequence (quoted, with its schema) is temporary.
pub(super) fn is_temporary_sequence(name: &str) -> bool {
    name.strip_prefix('"')
        .and_then(|rest| rest.strip_prefix(TEMPORARY_SCHEMA))
        .is_some_and(|rest| rest.starts_with("\"."))
}

impl Temporary {
    /// The lead tells of them; so much DDL had ended before it was asked, if none was under way.
    pub(super) fn told_at(&mut self, generation: Option<u64>) {
        self.generation = generation;
    }
}

impl Session {
    fn temporary_now(&self) -> Option<&Relations> {
        let changed = self.open.as_ref().and_then(|open| open.temporary.as_ref());
        changed.or(self.temporary.committed.as_ref()).filter(|relations| !relations.is_empty())
    }

    /// Whether there are any, in the open transaction or outside.
    pub(super) fn has_temporary(&self) -> bool {
        self.temporary.committed.is_some() || self.temporary_now().is_some()
    }

    /// The catalog that all share, as this session sees it.
    pub(super) fn with_temporary(&self, base: Arc<Catalog>) -> Arc<Catalog> {
        let Some(relations) = self.temporary_now() else { return base };
        let mut overlay = self.temporary.overlay.lock();
        match &*overlay {
            Some(known) if known.base == base.version && Arc::ptr_eq(&known.relations, relations) => {
                known.catalog.clone()
            }
            _ => {
                let version = self.database.catalog_loader().next_version();
                let catalog = Arc::new(base.with_temporary(relations, version));
                let relations = relations.clone();
                *overlay = Some(Overlay { base: base.version, relations, catalog: catalog.clone() });
                catalog
            }
        }
    }

    /// Whether the lead's connection lacks them. While a member is judged, nobody knows.
    pub(super) fn temporary_lost(&self) -> bool {
        let committed = self.temporary.committed.is_some();
        if self.view.down || !committed && !self.made_in_transaction() {
            return false;
        }
        let lead = self.lead();
        let moved = self.open.as_ref().is_none_or(|open| open.epoch == self.view.lead_epoch);
        let slot = &self.slots[usize::from(lead.0)];
        let known = moved && self.view.is_enabled(lead) && !slot.lost && slot.work.is_none();
        // Those of the open transaction are made on a new connection by its transcript, if they are made there at all.
        known && (slot.lacks_temporary || committed && slot.link.is_none())
    }

    fn made_in_transaction(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.transcript.iter().any(|entry| entry.temporary))
    }

    /// Whether what is known of them is known behind all DDL that has ended.
    pub(super) fn temporary_is_of(&self, generation: u64) -> bool {
        !self.has_temporary()
            || self.temporary.generation == Some(generation)
            || self.block == Block::Failed
            || self.view.down
    }

    /// Asks the lead for them again, behind DDL of `generation`.
    ///
    /// # Errors
    /// As [`Session::own_catalog_surely`].
    pub(super) async fn read_temporary_again(&mut self, generation: u64) -> Result<(), Trouble> {
        self.names.renew();
        if self.open.is_some() {
            self.own_catalog_surely().await?;
        } else {
            self.temporary.unknown = true;
            self.temporary_known().await?;
        }
        self.temporary.told_at(Some(generation));
        Ok(())
    }

    /// Whether a connection that is opened now will not have them. What the open transaction has made is made there too, by its
    /// transcript, unless it has rows of COPY, which went through once.
    pub(super) fn new_link_lacks_temporary(&self) -> bool {
        let copied = self.open.as_ref().is_some_and(|open| {
            open.transcript.iter().any(|entry| entry.temporary && matches!(entry.payload, Payload::Copied { .. }))
        });
        self.temporary.committed.is_some() || copied
    }

    /// The lead has made, changed or dropped temporary objects, and nothing else.
    pub(super) async fn after_temporary(
        &mut self,
        statement: &Statement,
        utility: &Utility,
        tag: Bytes,
        took: Duration,
    ) -> Result<(), Trouble> {
        self.check_generation(statement).await?;
        let before = self.open.as_ref().map_or(0, |open| open.transcript.len());
        // It may name types, or tables whose columns are copied (LIKE): it comes behind the DDL that the lead has seen.
        self.push_lock(statement.sql.clone(), Some(tag), &Footprint::Everything, took)?;
        self.mark_temporary(before);
        if !utility.changes_catalog {
            return Ok(());
        }
        if let Some(open) = self.open.as_mut() {
            open.temporary.get_or_insert_with(|| Arc::from([]));
        }
        self.own_catalog_surely().await?;
        self.temporary_made(utility.until_commit).await;
        Ok(())
    }

    /// What is temporary is in the session's catalog, and in the transcript: what follows from that.
    pub(super) async fn temporary_made(&mut self, until_commit: bool) {
        // What a connection has planned under a name may not be what the name means now.
        self.names.renew();
        let first = !self.temporary.had && self.open.as_ref().is_some_and(|open| !open.had_temporary);
        if let Some(open) = self.open.as_mut() {
            open.until_commit |= until_commit;
            open.had_temporary = true;
            // A search path may name pg_temp, which has been there only since now.
            open.meaning_changed |= first;
        }
        if first {
            self.read_meaning_surely().await;
        }
    }

    /// Entries from `from` on concern temporary objects alone.
    pub(super) fn mark_temporary(&mut self, from: usize) {
        if let Some(open) = self.open.as_mut() {
            for index in from..open.transcript.len() {
                open.transcript.set(index, |entry| {
                    entry.logged = false;
                    entry.temporary = true;
                });
            }
        }
    }

    /// DDL that is everybody's ran: the shared catalog will have to be read again.
    pub(super) fn catalog_changed(&mut self) {
        if let Some(open) = self.open.as_mut() {
            open.changes_catalog = true;
        }
    }

    /// Names of the temporary objects.
    pub(super) fn temporary_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.temporary_now().into_iter().flat_map(|all| all.iter()).map(|table| table.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// DDL that goes into the log has left the temporary objects as they were.
    ///
    /// # Errors
    /// 0A000: it has not. (A view over a temporary table is temporary, whether it says so or not; so is what is made while
    /// `pg_temp` comes first in the search path.)
    pub(super) fn check_temporary(&mut self, before: &[String]) -> Result<(), SqlError> {
        let others =
            self.open.as_ref().and_then(|open| open.own_catalog.as_ref()).is_some_and(|own| own.temporary_others);
        if self.temporary_names() == before && !others {
            return Ok(());
        }
        self.database.counters.refusals.add();
        Err(SqlError::refused(
            "it makes or drops temporary objects without saying so",
            "Say TEMPORARY, or name the schema of what is not temporary.",
        ))
    }

    /// Followers begin the transaction, and say so: rows of COPY go only where it is open.
    pub(super) async fn begin_everywhere(&mut self) -> Result<(), Trouble> {
        let before = self.open.as_ref().map_or(0, |open| open.transcript.len());
        self.lead_command("SELECT").await?;
        let select = Payload::Simple(Bytes::from_static(b"SELECT"));
        self.push_entry(select, None, &Footprint::Nothing, Duration::ZERO)?;
        self.mark_temporary(before);
        Ok(())
    }

    /// The lead has advanced or set a temporary sequence: the followers' own are set.
    pub(super) async fn carry_temporary_sequence(&mut self, name: &str) -> Result<(), Trouble> {
        let states = self.temporary_sequences(&[name.to_owned()]).await?;
        Ok(self.set_temporary_sequences(states)?)
    }

    /// The states of temporary sequences on the lead.
    pub(super) async fn temporary_sequences(
        &mut self,
        names: &[String],
    ) -> Result<Vec<(String, SequenceState)>, Trouble> {
        let mut states = Vec::new();
        for name in names {
            let rows = self.lead_results(&SequenceState::query(name)).await?;
            let Some(state) = rows.first().and_then(|rows| rows.first()).and_then(|row| SequenceState::of(row)) else {
                return Err(SqlError::new("XX000", "the lead did not tell a sequence's state", "Report this.").into());
            };
            states.push((name.clone(), state));
        }
        Ok(states)
    }

    /// The followers' temporary sequences are set to these states.
    pub(super) fn set_temporary_sequences(&mut self, states: Vec<(String, SequenceState)>) -> Result<(), SqlError> {
        let before = self.open.as_ref().map_or(0, |open| open.transcript.len());
        for (name, SequenceState { value, called, .. }) in states {
            let quoted = name.replace('\'', "''");
            let sql = format!("SELECT pg_catalog.setval('{quoted}'::pg_catalog.regclass, {value}, {called})");
            let tag = Some(Bytes::from_static(b"SELECT 1"));
            self.push_entry(Payload::Simple(Bytes::from(sql)), tag, &Footprint::Nothing, Duration::ZERO)?;
        }
        self.mark_temporary(before);
        Ok(())
    }

    /// The same behind a statement that has taken effect: a change of lead must not run it again.
    pub(super) async fn temporary_sequence_surely(&mut self, name: &str) -> Result<(), Trouble> {
        match self.carry_temporary_sequence(name).await {
            Err(Trouble::LeadChanged | Trouble::MemberLost) => {
                Err(SqlError::retry("the lead was lost before the sequence's state was known").into())
            }
            other => other,
        }
    }

    /// A transaction that has `changed` them has committed on every connection.
    pub(super) async fn temporary_committed(&mut self, changed: Option<Relations>, until_commit: bool) {
        let Some(changed) = changed else { return };
        self.temporary.had = true;
        self.temporary.committed = (!changed.is_empty()).then_some(changed);
        self.names.renew();
        if until_commit && self.temporary.committed.is_some() {
            self.temporary.unknown = true;
            self.read_temporary_surely().await;
        }
        self.none_left();
    }

    /// DISCARD ALL went to every connection.
    pub(super) fn temporary_discarded(&mut self) {
        self.temporary = Temporary { had: self.temporary.had, ..Temporary::default() };
        self.none_left();
    }

    /// Where there are none, no connection lacks any.
    pub(super) fn none_left(&mut self) {
        if self.temporary.committed.is_none() && self.open.is_none() {
            self.slots.iter_mut().for_each(|slot| slot.lacks_temporary = false);
        }
    }

    /// What is left of them is known, or the session ends.
    ///
    /// # Errors
    /// Only what ends the session.
    pub(super) async fn temporary_known(&mut self) -> Result<(), Trouble> {
        if self.temporary.unknown && self.open.is_none() {
            self.read_temporary_surely().await;
            if self.temporary.unknown {
                return Err(Trouble::Fatal(temporary_is_lost()));
            }
        }
        Ok(())
    }

    async fn read_temporary_surely(&mut self) {
        loop {
            match Box::pin(self.read_temporary()).await {
                Err(Trouble::LeadChanged | Trouble::MemberLost) => self.next_view().await,
                // It is asked again before the next statement.
                Ok(()) | Err(_) => return,
            }
        }
    }

    async fn read_temporary(&mut self) -> Result<(), Trouble> {
        self.ready_members(false).await?;
        let results = self.lead_results(CATALOG_SQL).await?;
        let unreadable = |error| SqlError::new("XX000", format!("the catalog cannot be read: {error}"), "Report this.");
        let catalog = self.database.catalog_loader().parse(&results).map_err(unreadable)?;
        self.temporary.committed = (!catalog.temporary.is_empty()).then(|| catalog.temporary.iter().cloned().collect());
        self.temporary.unknown = false;
        self.none_left();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_of_the_session() {
        assert!(is_temporary_sequence("\"pg_temp\".\"s\""));
        assert!(!is_temporary_sequence("\"public\".\"pg_temp\""));
        assert!(!is_temporary_sequence("\"pg_temp_x\".\"s\""));
    }
}
