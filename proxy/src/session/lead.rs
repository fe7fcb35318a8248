//! Statements on the lead: the proxy's own, and the one way on which a client's statement gets there.

use std::time::Duration;

use bytes::Bytes;
use raidb_core::ids::{CommitSeq, MemberId};
use raidb_core::sql::footprint::Footprint;
use tokio::time::Instant;

use super::Session;
use super::advisory::locks_are_lost;
use super::characteristics::Characteristics;
use super::foreground::{Reading, Rows, UnitEnd};
use super::temporary::{is_temporary_sequence, temporary_is_lost};
use super::transaction::{Entry, Payload, TRANSCRIPT_BYTES_MAX};
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;
use crate::members::pg::maintenance::TextRows;
use crate::virtual_database::member::PendingGuard;
use crate::virtual_database::sequences::SequenceState;
use crate::wire::decode;

impl Session {
    /// Opens a transaction around what the client sends without one.
    pub(crate) fn open_implicit(&mut self) {
        if self.open.is_none() {
            self.open_transaction(false, Characteristics::plain(self.settings.isolation));
        }
    }

    /// Opens connections: to the lead, and to the followers if the statement may write.
    pub(crate) async fn ready_members(&mut self, writes: bool) -> Result<MemberId, Trouble> {
        let begins = self.open.as_ref().is_some_and(|open| !open.lead_begun && (writes || open.explicit));
        if let Some(pause) = self.database.pace.pause().filter(|_| begins) {
            self.drive(tokio::time::sleep(pause)).await;
        }
        loop {
            self.check_lead()?;
            if self.view.down {
                return Err(SqlError::no_member().into());
            }
            if self.locks_lost() {
                return Err(Trouble::Fatal(locks_are_lost()));
            }
            if self.temporary_lost() {
                return Err(Trouble::Fatal(temporary_is_lost()));
            }
            self.epoch_open().await?;
            let lead = self.lead();
            let mut members = vec![lead];
            if writes {
                members.extend(self.view.members().filter(|m| *m != lead));
            }
            self.ensure_links(&members).await?;
            // A connection that was opened here may be the second one of this transaction.
            self.check_lead()?;
            let complete =
                members.iter().all(|m| !self.view.is_enabled(*m) || self.slots[usize::from(m.0)].link.is_some());
            if complete && self.view.is_enabled(lead) {
                self.before_first_statement(lead).await?;
                if writes {
                    self.bind_token();
                }
                return Ok(lead);
            }
        }
    }

    /// A transaction that has not begun on the lead waits there until nobody completes any more what an older lead had
    /// answered: it could otherwise take a row that an answered statement holds, and overtake it.
    async fn epoch_open(&mut self) -> Result<(), Trouble> {
        let Some(epoch) = self.open.as_ref().filter(|open| !open.lead_begun).map(|open| open.epoch) else {
            return Ok(());
        };
        std::future::poll_fn(|cx| {
            self.poll_background(cx);
            self.check_lead()?;
            if self.view.down {
                return std::task::Poll::Ready(Err(SqlError::no_member().into()));
            }
            if self.database.older_epoch_active(epoch) {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(Ok(()))
            }
        })
        .await
    }

    /// A snapshot that lasts must hold every acknowledged commit, and none that only some members have.
    async fn before_first_statement(&mut self, lead: MemberId) -> Result<(), Trouble> {
        let first = self.open.as_ref().is_some_and(|o| !o.lead_begun && o.modes.isolation.lasts());
        if first {
            self.look(lead, &Footprint::Everything, false).await?;
        }
        Ok(())
    }

    /// The BEGIN that must stand before the next statement on the lead, with a semicolon; empty if there is none.
    pub(crate) fn take_begin(&mut self) -> Bytes {
        match self.open.as_mut() {
            Some(open) if !open.lead_begun => {
                open.lead_begun = true;
                Bytes::from([&open.modes.begin()[..], b";"].concat())
            }
            _ => Bytes::new(),
        }
    }

    /// Runs a simple query of the proxy's own on the lead, in the open transaction.
    ///
    /// # Errors
    /// The lead's error is [`Trouble::Answer`].
    pub(crate) async fn lead_command(&mut self, sql: &str) -> Result<(), Trouble> {
        self.lead_query(sql, false).await.map(|_| ())
    }

    /// ROLLBACK. Where an unreadable text took BEGIN with it, nothing is open there: the warning would be about what is the proxy's
    /// own.
    pub(crate) async fn lead_rollback(&mut self) -> Result<(), Trouble> {
        self.lead_query("ROLLBACK", true).await.map(|_| ())
    }

    async fn lead_query(&mut self, sql: &str, no_notices: bool) -> Result<UnitEnd, Trouble> {
        let end = self.lead_end(sql, no_notices).await?;
        match end.error {
            Some(frame) => Err(Trouble::Answer(frame)),
            None => Ok(end),
        }
    }

    /// The same; an error of the lead is in the result, with what came before it.
    pub(super) async fn lead_end(&mut self, sql: &str, no_notices: bool) -> Result<UnitEnd, Trouble> {
        let lead = self.lead();
        let begin = self.take_begin();
        let Some(link) = self.link(lead) else {
            return Err(if self.open.is_some() { Trouble::LeadChanged } else { Trouble::MemberLost });
        };
        link.simple(&[&begin, sql.as_bytes()], Owner::Foreground);
        let reading = Reading { rows: Rows::Discard, silent: true, no_notices, ..Reading::default() };
        self.read_unit(lead, reading).await
    }

    /// Runs queries of the proxy's own and gives the rows of each statement, as text.
    ///
    /// # Errors
    /// As [`Session::lead_command`].
    pub(crate) async fn lead_results(&mut self, sql: &str) -> Result<Vec<TextRows>, Trouble> {
        let lead = self.lead();
        let begin = self.take_begin();
        let hidden_commands = usize::from(!begin.is_empty());
        let Some(link) = self.link(lead) else {
            return Err(if self.open.is_some() { Trouble::LeadChanged } else { Trouble::MemberLost });
        };
        link.simple(&[&begin, sql.as_bytes()], Owner::Foreground);
        let reading = Reading { hidden_commands, rows: Rows::Results, silent: true, ..Reading::default() };
        let end = self.read_unit(lead, reading).await?;
        end.error.map_or(Ok(end.results), |frame| Err(Trouble::Answer(frame)))
    }

    /// Notes what the lead has just answered, for the followers. From here on it is part of the transaction.
    pub(crate) fn push_entry(
        &mut self,
        payload: Payload,
        tag: Option<Bytes>,
        footprint: &Footprint,
        lead_took: Duration,
    ) -> Result<(), SqlError> {
        // Rule 2: the commits that had been sent out before the lead answered. Tickets are registered before
        // COMMIT leaves, so whatever the lead has seen is in this list (or finished everywhere).
        let (barrier, next) = match footprint.is_nothing() {
            true => (Vec::new(), CommitSeq(0)),
            false => self.database.in_flight.barrier(footprint),
        };
        let size = payload.size();
        let Some(open) = self.open.as_mut() else {
            return Err(SqlError::new("XX000", "a statement of a transaction that is not open", "Report this."));
        };
        open.transcript_bytes += size;
        if open.transcript_bytes > TRANSCRIPT_BYTES_MAX {
            return Err(SqlError::new(
                "54000",
                format!("the transaction writes more than {TRANSCRIPT_BYTES_MAX} bytes of statements"),
                "Commit more often.",
            ));
        }
        open.footprint.absorb(footprint.clone());
        open.seen.add(next, footprint);
        open.transcript.push(Entry { barrier, lead_took, ..Entry::new(payload, tag) });
        self.database.counters.writes.add();
        Ok(())
    }

    /// Reads a client's unit on the lead, measuring it.
    pub(crate) async fn read_client_unit(
        &mut self,
        lead: MemberId,
        reading: Reading,
    ) -> Result<(UnitEnd, Duration), Trouble> {
        self.read_client_begun(lead, (reading, UnitEnd::default())).await
    }

    /// The same for a unit of which a part has been read.
    pub(crate) async fn read_client_begun(
        &mut self,
        lead: MemberId,
        (mut reading, end): (Reading, UnitEnd),
    ) -> Result<(UnitEnd, Duration), Trouble> {
        reading.described |= self.described;
        let started = Instant::now();
        let _pending = PendingGuard::new(self.database.clone(), lead);
        self.handle
            .set_running(self.slots[usize::from(lead.0)].link.as_ref().map(crate::members::pg::link::Link::cancel_key));
        let result = self.read_begun(lead, (reading, end)).await;
        self.handle.set_running(None);
        self.looked();
        let took = started.elapsed();
        self.database.member(lead).observe(took);
        result.map(|end| (end, took))
    }

    /// Sequences that the statement advanced: their state is read on the lead and carried to the followers.
    pub(crate) async fn note_sequences(&mut self, sequences: &[String], exact: bool) -> Result<(), Trouble> {
        for name in sequences {
            if is_temporary_sequence(name) {
                self.carry_temporary_sequence(name).await?;
                continue;
            }
            let rows = self.lead_results(&SequenceState::query(name)).await?;
            if let Some(state) = rows.first().and_then(|r| r.first()).and_then(|row| SequenceState::of(row)) {
                self.database.sequences.note(name, state, exact, self.lead());
            }
        }
        Ok(())
    }

    /// What sequences have handed out last, asked in a way that whoever may use them may.
    pub(crate) async fn sequence_values(&mut self, sequences: &[String]) -> Result<Vec<(String, i64)>, Trouble> {
        let mut values = Vec::new();
        for name in sequences {
            let quoted = name.replace('\'', "''");
            let sql = format!("SELECT pg_catalog.pg_sequence_last_value('{quoted}'::pg_catalog.regclass)");
            let rows = self.lead_results(&sql).await?;
            let value = rows.first().and_then(|rows| rows.first()).and_then(|row| row.first().cloned().flatten());
            values.extend(value.and_then(|value| value.parse().ok()).map(|value| (name.clone(), value)));
        }
        Ok(values)
    }

    /// No steps, everything forwarded.
    pub(crate) fn plain_reading(hidden_commands: usize) -> Reading {
        Reading { hidden_commands, rows: Rows::Forward, ..Reading::default() }
    }
}

/// Whether a member refused a statement because it would write in a READ ONLY transaction.
#[must_use]
pub fn is_read_only_violation(frame: &[u8]) -> bool {
    &decode::sqlstate(frame) == b"25006"
}
