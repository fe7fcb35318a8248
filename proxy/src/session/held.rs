//! Cursors WITH HOLD (docs/adr/0016-held-cursors.md).
//!
//! Behind its transaction such a cursor is rows on one connection: that to the lead. There its FETCH, MOVE and CLOSE go, inside a
//! transaction and outside, as all statements about cursors do. Two things are added here:
//! * **The lead commits first.** COMMIT runs the cursor's query to its end, and may fail: see
//!   [`OpenTransaction::lead_commits_first`].
//! * **A cursor that was lost with its connection is gone.** Its rows cannot be made again. The lead says that there is no such cursor,
//!   and the client is told why. What is noted here explains errors and makes none: whether a cursor exists the lead knows.

use std::collections::BTreeSet;

use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::CursorUse;

use super::Session;
use super::foreground::UnitEnd;
use super::transaction::OpenTransaction;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Link;
use crate::wire::decode;

/// So many names are noted; a cursor beyond is held too, and its loss is told in the lead's own words.
const NOTED_MAX: usize = 10_000;

/// Names of cursors WITH HOLD of a session, behind their transactions.
#[derive(Debug, Default)]
pub(crate) struct HeldCursors {
    held: BTreeSet<String>,
    /// They were, on a connection that is lost.
    lost: BTreeSet<String>,
}

impl HeldCursors {
    /// Whether there may be any.
    pub(super) fn any(&self) -> bool {
        !self.held.is_empty()
    }

    /// There are none any more: CLOSE ALL, DISCARD ALL.
    pub(super) fn clear(&mut self) {
        *self = HeldCursors::default();
    }

    fn close(&mut self, name: &str) {
        self.held.remove(name);
        self.lost.remove(name);
    }

    /// The connection on which they stood is lost.
    fn lose(&mut self) {
        self.lost.append(&mut self.held);
    }

    fn hold(&mut self, name: String, stands: bool) {
        self.close(&name);
        if self.held.len() + self.lost.len() < NOTED_MAX {
            let names = if stands { &mut self.held } else { &mut self.lost };
            names.insert(name);
        }
    }
}

impl OpenTransaction {
    /// A statement about a cursor has succeeded in it.
    fn cursor_used(&mut self, cursor: &CursorUse) {
        match cursor {
            CursorUse::Declare { name, hold: true } => {
                self.holds_cursor = true;
                if self.declared.len() < NOTED_MAX {
                    self.declared.push((self.transcript.len(), name.clone()));
                }
            }
            CursorUse::Close(Some(name)) => self.declared.retain(|(_, declared)| declared != name),
            CursorUse::CloseAll => self.declared.clear(),
            CursorUse::Declare { .. } | CursorUse::Move(_) | CursorUse::Close(None) => {}
        }
    }

    /// The transcript was cut to `length`, which is behind the entry of a savepoint: cursors that were declared behind that are gone.
    pub(super) fn cursors_undone(&mut self, length: usize) {
        self.declared.retain(|(at, _)| *at < length);
    }
}

impl Session {
    /// The lead has answered a statement about a cursor, in the open transaction or outside one.
    pub(super) fn cursor_used(&mut self, cursor: &CursorUse) {
        match cursor {
            CursorUse::Declare { name, .. } => self.held_cursors.close(name),
            // Neither is undone by a rollback.
            CursorUse::Close(Some(name)) => self.held_cursors.close(name),
            CursorUse::CloseAll => self.held_cursors.clear(),
            CursorUse::Move(_) | CursorUse::Close(None) => {}
        }
        match (self.open.as_mut(), cursor) {
            (Some(open), cursor) => open.cursor_used(cursor),
            (None, CursorUse::Declare { name, hold: true }) => {
                let lead = self.last_reader.unwrap_or(self.view.lead);
                self.hold_cursors(lead, vec![name.clone()]);
            }
            (None, _) => {}
        }
    }

    /// The transaction that has declared these has committed on `lead`.
    pub(super) fn hold_cursors(&mut self, lead: MemberId, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        if !self.cursors_stand() {
            self.held_cursors.lose();
        }
        let slot = self.slot(lead);
        let stands = slot.link.is_some();
        slot.holds_cursors |= stands;
        names.into_iter().for_each(|name| self.held_cursors.hold(name, stands));
    }

    /// Whether the connection on which they were made is still there.
    fn cursors_stand(&self) -> bool {
        let slot = &self.slots[usize::from(self.lead().0)];
        slot.link.is_some() && slot.holds_cursors
    }

    /// The lead's error, with the reason if it is about a cursor that was lost.
    pub(super) fn explain_lost_cursor(&self, cursor: Option<&CursorUse>, frame: &[u8]) -> Option<SqlError> {
        let Some(CursorUse::Move(Some(name)) | CursorUse::Close(Some(name))) = cursor else { return None };
        let HeldCursors { held, lost } = &self.held_cursors;
        let gone = lost.contains(name) || held.contains(name) && !self.cursors_stand();
        (gone && &decode::sqlstate(frame) == b"34000").then(|| SqlError {
            detail: Some("It was held on the session's connection to the lead, which was lost.".to_owned()),
            ..SqlError::new(
                "34000",
                format!("cursor \"{name}\" does not exist"),
                "Declare it again: its rows will be those of then.",
            )
        })
    }

    /// A statement of which nobody knows what it does must not have left a cursor that runs its query at COMMIT. `found`: those WITH
    /// HOLD that the lead has.
    pub(super) fn check_held_cursors<'n>(&self, mut found: impl Iterator<Item = &'n str>) -> Result<(), SqlError> {
        let declared = self.open.as_ref().map(|open| &open.declared[..]).unwrap_or_default();
        let known = |name: &str| self.held_cursors.held.contains(name) || declared.iter().any(|(_, n)| n == name);
        if found.all(known) {
            return Ok(());
        }
        self.database.counters.refusals.add();
        Err(SqlError::refused(
            "it opens a cursor WITH HOLD, whose query runs when the transaction commits",
            "DECLARE it by a statement of its own.",
        ))
    }

    /// COMMIT on the lead, where nobody else has anything to commit. The client may cancel it while it runs the query of a cursor.
    pub(super) async fn lead_commit(&mut self) -> Result<(), Trouble> {
        self.commit_may_be_cancelled();
        let end = self.lead_end("COMMIT", false).await;
        self.handle.set_running(None);
        if self.open.as_ref().is_some_and(|open| open.holds_cursor) {
            self.cancels_done().await;
        }
        match end? {
            // It has committed, whatever came behind that: a cancel that was late.
            end if end.tags.last().is_some_and(|tag| &tag[..] == b"COMMIT") => Ok(()),
            UnitEnd { error: Some(frame), .. } => Err(Trouble::Answer(frame)),
            _ => Ok(()),
        }
    }

    /// The lead's COMMIT is the query of a cursor as well.
    pub(super) fn commit_may_be_cancelled(&mut self) {
        let Some(open) = self.open.as_ref().filter(|open| open.holds_cursor) else { return };
        let link = self.slots[usize::from(open.lead.0)].link.as_ref();
        self.handle.set_running(link.map(Link::cancel_key));
    }
}

#[cfg(test)]
mod tests {
    use raidb_core::ids::LeadEpoch;
    use raidb_core::sql::analysis::Isolation;

    use super::super::characteristics::Characteristics;
    use super::super::transaction::{Entry, Payload};
    use super::*;

    fn declare(name: &str, hold: bool) -> CursorUse {
        CursorUse::Declare { name: name.to_owned(), hold }
    }

    fn open() -> OpenTransaction {
        OpenTransaction::new(MemberId(0), LeadEpoch(1), true, Characteristics::plain(Isolation::ReadCommitted))
    }

    #[test]
    fn those_behind_a_savepoint_go_with_it() {
        let mut open = open();
        open.cursor_used(&declare("plain", false));
        assert!(!open.lead_commits_first());
        open.cursor_used(&declare("before", true));
        open.transcript.savepoint("s".into(), Entry::frame(Payload::Simple("SAVEPOINT s".into()), None));
        open.cursor_used(&declare("behind", true));
        let undo = open.transcript.rollback_to("s").unwrap();
        open.cursors_undone(undo.length);
        assert_eq!(open.declared, [(0, "before".to_owned())]);
        open.cursor_used(&CursorUse::Close(Some("before".into())));
        assert!(open.declared.is_empty() && open.lead_commits_first(), "to be on the safe side");
    }

    #[test]
    fn lost_ones_are_remembered_until_they_are_declared_or_closed() {
        let mut cursors = HeldCursors::default();
        cursors.hold("a".into(), true);
        cursors.hold("b".into(), true);
        cursors.lose();
        assert!(!cursors.any() && cursors.lost.len() == 2);
        cursors.hold("a".into(), true);
        cursors.close("b");
        assert!(cursors.any() && cursors.lost.is_empty());
    }
}
