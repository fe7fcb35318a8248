//! Settings that are made inside a transaction: they are part of it, and hold for the session when it has committed.
//!
//! **Time limits act on the lead alone** (DESIGN.md §3): a follower whose statements were cut off would outvote a healthy lead, and a
//! redo would never come to its end. So they are no entries of the transcript, and no part of the intent. What was SET for
//! the session is repeated on every connection behind COMMIT; what was SET LOCAL ends with the transaction, and holds no
//! longer than the lead on which it was made.

use std::time::Duration;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::sql::analysis::{SessionChange, TransactionModes};
use raidb_core::sql::footprint::Footprint;

use super::Session;
use super::control::change_of_meaning;
use super::frames::TIME_LIMITS_OFF;
use super::meaning::Due;
use super::settings::{Effect, PendingSetting, SessionSettings};
use super::statement::Statement;
use super::transaction::Payload;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;

impl Session {
    /// In a transaction a setting comes and goes with it, on every member.
    pub(super) async fn setting_in_transaction(
        &mut self,
        statement: &Statement,
        change: &SessionChange,
        effect: Option<Effect>,
    ) -> Result<(), Trouble> {
        if matches!(change, SessionChange::Constraints { immediate: true }) {
            self.before_constraints(statement).await?;
        }
        self.simple_on_lead(statement).await?;
        if let SessionChange::TransactionModes(modes) = change {
            // Followers always run READ COMMITTED, READ WRITE.
            self.note_modes(modes);
            return Ok(());
        }
        if is_time_limit(change) {
            if let Some(open) = self.open.as_mut() {
                open.limited = true;
            }
            if let (Some(open), Some(effect)) = (self.open.as_mut(), effect) {
                let at = open.transcript.len() + 1;
                open.settings.push(PendingSetting { at, effect });
            }
            return Ok(());
        }
        self.push_setting(&statement.sql)?;
        if let Some(open) = self.open.as_mut() {
            let at = open.transcript.len();
            open.transcript.set(at - 1, |entry| entry.alone = true);
            if let Some(effect) = effect {
                open.settings.push(PendingSetting { at, effect });
            }
        }
        if matches!(change, SessionChange::ResetAll) {
            // The limits that a member or the start packet gives to the session have come back with the rest.
            for lifted in TIME_LIMITS_OFF {
                self.push_setting(&Bytes::from_static(lifted))?;
            }
        }
        if change_of_meaning(change) {
            let due = Due::of(change);
            if let Some(open) = self.open.as_mut() {
                open.meaning_changed = true;
                open.texts_changed |= due == Due::Texts;
            }
            self.meaning_is_due(due).await;
        }
        Ok(())
    }

    /// Remembers modes of the open transaction: its next BEGIN names them. If what has written becomes READ ONLY, no mark can be added
    /// to it on the lead at COMMIT.
    pub(super) fn note_modes(&mut self, modes: &TransactionModes) {
        let Some(open) = self.open.as_mut() else { return };
        if modes.read_only == Some(true) && open.writes() {
            // The first time counts: what undoes it undoes those behind it.
            let length = open.transcript.len();
            open.read_only_at.get_or_insert(length);
        }
        open.modes_before.push((open.transcript.len(), open.modes));
        open.modes = open.modes.with(modes);
        self.block_begun = self.block_begun.map(|_| open.modes);
    }

    /// Before the decision.
    ///
    /// # Errors
    /// 0A000: see [`Session::note_read_only`].
    pub(super) fn must_be_writable(&self) -> Result<(), SqlError> {
        if self.open.as_ref().is_some_and(|open| open.read_only_at.is_some() && open.writes()) {
            return Err(SqlError::refused(
                "the transaction has written, and raidb's own mark cannot be added to it since it became READ ONLY",
                "COMMIT in between; or set READ ONLY before the first write.",
            ));
        }
        Ok(())
    }

    fn push_setting(&mut self, sql: &Bytes) -> Result<(), SqlError> {
        self.push_entry(Payload::Simple(sql.clone()), None, &Footprint::Nothing, Duration::ZERO)?;
        self.change_last(|entry| entry.frame = true);
        Ok(())
    }

    /// The transaction wrote nothing, and the lead has committed it: nothing is open any more.
    pub(super) async fn close_committed(&mut self) {
        let settings = self.open.as_mut().map(|open| std::mem::take(&mut open.settings)).unwrap_or_default();
        let temporary = self.open.as_mut().and_then(|open| open.temporary.take());
        let until_commit = self.open.as_ref().is_some_and(|open| open.until_commit);
        let declared = self.open.as_mut().map(|open| (open.lead, std::mem::take(&mut open.declared)));
        self.close_transaction();
        if let Some((lead, declared)) = declared {
            self.hold_cursors(lead, declared.into_iter().map(|(_, name)| name).collect());
        }
        self.temporary_committed(temporary, until_commit).await;
        self.settings_committed(settings).await;
    }

    /// Settings of a transaction that has committed hold for the session.
    pub(super) async fn settings_committed(&mut self, settings: Vec<PendingSetting>) {
        let limits = time_limits(&settings);
        if !limits.is_empty() {
            // As with settings outside of transactions (`everywhere`): a late cancel must not hit them.
            self.cancels_done().await;
            // The lead too: it may be another one than that on which they were made.
            let members: Vec<MemberId> = self.view.members().collect();
            for member in members {
                if let Some(link) = self.link(member) {
                    limits.iter().for_each(|sql| link.simple(&[sql], Owner::Setting));
                }
            }
        }
        for setting in settings {
            self.settings.apply(&setting.effect);
        }
    }
}

fn is_time_limit(change: &SessionChange) -> bool {
    match change {
        SessionChange::Set { name, .. } | SessionChange::SetLocal { name, .. } | SessionChange::Reset { name } => {
            SessionSettings::is_time_limit(name)
        }
        SessionChange::ResetAll
        | SessionChange::TransactionModes(_)
        | SessionChange::SessionModes(_)
        | SessionChange::Constraints { .. } => false,
    }
}

/// The statements that give a connection the time limits of a transaction that it was not told of.
fn time_limits(settings: &[PendingSetting]) -> Vec<Bytes> {
    let mut limits = Vec::new();
    for setting in settings {
        match &setting.effect {
            Effect::Set { name, sql, .. } if SessionSettings::is_time_limit(name) => limits.push(sql.clone()),
            Effect::Reset(name) if SessionSettings::is_time_limit(name) => {
                limits.push(Bytes::from(format!("RESET {name}")));
            }
            // An entry of the transcript, and the last word on those before it.
            Effect::ResetAll => limits.clear(),
            Effect::Set { .. } | Effect::Reset(_) | Effect::Modes(_) => {}
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_reset_all_counts() {
        let set = |name: &str| Effect::Set {
            name: name.to_owned(),
            sql: Bytes::from(format!("SET {name} = 1")),
            values: None,
        };
        let effects = [
            set("lock_timeout"),
            Effect::ResetAll,
            set("search_path"),
            set("statement_timeout"),
            Effect::Reset("lock_timeout".into()),
            Effect::Reset("role".into()),
        ];
        let settings: Vec<_> = effects.into_iter().map(|effect| PendingSetting { at: 1, effect }).collect();
        assert_eq!(time_limits(&settings), ["SET statement_timeout = 1", "RESET lock_timeout"]);
    }
}
