//! The decision: the transcript as a durable record, and what is told when the log refuses.
//!
//! **Beside the followers.** The record is on its way to the disk while the followers still work on the transcript. It counts
//! only once they have agreed: if they do not, or the members change meanwhile, it is *withdrawn*, durably, before anything
//! else is decided or told. A crash in between redoes it, on all members alike: the lead had answered every statement, and
//! the client was told nothing, so it is as good a decision as any. Whoever got its rows on the lead, because the connection to
//! the lead was lost, is not decided before it was withdrawn (`virtual_database::in_flight`): a member that had carried him out
//! would get this one on top.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use raidb_core::log::{Context, Intent, IntentEntry, IntentStatement, Position};

use super::Session;
use super::transaction::{Entry, Payload};
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::recovery_log::LogError;

/// A record of an intent that does not count yet.
#[derive(Default)]
pub(crate) enum Provisional {
    /// There is none.
    #[default]
    None,
    /// It is on its way.
    Writing(Pin<Box<dyn Future<Output = Result<Position, LogError>> + Send>>),
    /// The log has answered.
    Written(Result<Position, LogError>),
}

impl Provisional {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Provisional::None)
    }
}

impl Session {
    /// Sends the intent to the log before the followers have agreed, if that may be now, and does not wait. Behind this call:
    /// [`Session::write_intent`] or [`Session::withdraw_intent`].
    ///
    /// # Errors
    /// As [`Session::check_lead`].
    pub(super) fn begin_early(&mut self) -> Result<(), Trouble> {
        // What the lead has shown it must have a place in the log already: its own would otherwise come first.
        match self.poll_lead_holds() {
            Poll::Ready(holds) => holds?,
            Poll::Pending => return Ok(()),
        }
        let current = || self.database.view_version() == self.view.version && !self.view.down;
        let Some(open) = &self.open else { return Ok(()) };
        self.early = self.database.in_flight.begin_provisional(open.footprint.clone(), &open.seen, current);
        if self.early.is_some() {
            self.begin_intent();
        }
        Ok(())
    }

    fn begin_intent(&mut self) {
        let Some(intent) = self.intent() else { return };
        let database = self.database.clone();
        self.provisional_view = self.view.version;
        self.provisional = Provisional::Writing(Box::pin(async move { database.journal.intent(&intent).await }));
    }

    fn early_ends(&mut self) {
        if let Some(id) = self.early.take() {
            self.database.in_flight.end_provisional(id);
        }
    }

    /// Moves the record on.
    pub(super) fn poll_intent(&mut self, cx: &mut TaskContext<'_>) {
        if let Provisional::Writing(writing) = &mut self.provisional
            && let Poll::Ready(result) = writing.as_mut().poll(cx)
        {
            self.provisional = Provisional::Written(result);
        }
    }

    /// Whether the record names other members than there are now.
    pub(super) fn intent_is_stale(&self) -> bool {
        !self.provisional.is_none() && self.provisional_view != self.view.version
    }

    async fn intent_written(&mut self) -> Result<Position, LogError> {
        if self.provisional.is_none() {
            self.begin_intent();
        }
        std::future::poll_fn(|cx| {
            self.poll_background(cx);
            match std::mem::take(&mut self.provisional) {
                Provisional::Written(result) => Poll::Ready(result),
                writing => {
                    self.provisional = writing;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What was sent to the log does not count. Resolves when that is durable: only then may anything else be decided.
    ///
    /// # Errors
    /// [`Trouble::Fatal`] with 08007: the log has failed, and nobody knows.
    pub(super) async fn withdraw_intent(&mut self) -> Result<(), Trouble> {
        if self.provisional.is_none() {
            self.early_ends();
            return Ok(());
        }
        let withdrawn = match self.intent_written().await {
            Ok(position) => {
                self.decided = position;
                let database = self.database.clone();
                let aborted = self.drive(async move { database.journal.abort(position).await }).await;
                self.decided = Position::START;
                aborted
            }
            Err(LogError::Full | LogError::TooLarge(_)) => Ok(()),
            Err(error) => Err(error),
        };
        if withdrawn.is_ok() {
            // Otherwise it stands, and nobody goes on behind it.
            self.early_ends();
        }
        withdrawn.map_err(|error| {
            self.database.stop_writes(&error.to_string());
            unknown("the recovery log failed before the transaction was rolled back")
        })
    }

    /// Makes the intent durable. Behind it the transaction is decided: COMMIT may leave.
    ///
    /// # Errors
    /// 53100, 54000 or 40001: nothing was written, the transaction is rolled back. [`Trouble::Fatal`] with 08007: the log has failed,
    /// and nobody knows whether the record is durable.
    pub(super) async fn write_intent(&mut self) -> Result<(), Trouble> {
        if self.open.is_none() || self.logs_nothing() {
            return Ok(());
        }
        if self.provisional.is_none() {
            self.reach(FaultPoint::CommitBeforeIntent).await;
            self.decide_token()?;
        }
        match self.intent_written().await {
            Ok(position) => {
                self.decided = position;
                self.token_positioned(position);
                if let Some(ticket) = &self.ticket {
                    self.database.in_flight.positioned(ticket, position);
                }
                self.reach(FaultPoint::CommitIntentDurable).await;
                Ok(())
            }
            Err(LogError::Full) => Err(SqlError::new(
                "53100",
                "the disk of the recovery log is full; the transaction was rolled back on every member",
                "Free space on the proxy's disk and run the transaction again.",
            )
            .into()),
            Err(LogError::TooLarge(error)) => {
                Err(SqlError::new("54000", error.to_string(), "Commit more often.").into())
            }
            Err(error) => {
                self.database.stop_writes(&error.to_string());
                Err(unknown("the recovery log failed at the decision"))
            }
        }
    }

    fn intent(&self) -> Option<Intent> {
        let open = self.open.as_ref()?;
        let name = |m| self.database.member(m).target.name.clone();
        let passed_on = |(key, _): &&(Bytes, Bytes)| &key[..] != b"application_name";
        let parameters = self.identity.parameters.iter().filter(passed_on);
        Some(Intent {
            members: self.view.members().map(name).collect(),
            context: Context {
                user: self.identity.login.as_ref().map(|login| login.user.clone().into_bytes()),
                parameters: parameters.map(|(key, value)| (key.to_vec(), value.to_vec())).collect(),
                settings: self.settings.journal().map(|sql| sql.to_vec()).collect(),
            },
            token: self.transaction_token(),
            // (A marker tells that it was. Without writes there is none, and nothing to redo.)
            certified_by: (open.lead_commits_first() && open.writes()).then(|| name(open.lead)),
            sequences: open.sequences.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            // Locks and settings alone (with a token) leave nothing that could be redone, and later they could be answered otherwise.
            entries: logged_all(open.transcript.iter().filter(|entry| entry.logged && open.writes())),
        })
    }

    /// The members have answered: the intent is finished, or was aborted on all that are left, durably, before the client
    /// is told.
    pub(super) async fn outcome_known(&mut self, result: Result<(), Trouble>) -> Result<(), Trouble> {
        let position = self.decided;
        if position == Position::START {
            return result;
        }
        match &result {
            Ok(()) => self.database.journal.finish(position),
            // Nobody knows, and nothing is said: the log brings the last member to it when that is back.
            Err(Trouble::Fatal(_)) => {}
            Err(_) => {
                self.reach(FaultPoint::AbortBeforeOutcome).await;
                let database = self.database.clone();
                if let Err(error) = self.drive(async move { database.journal.abort(position).await }).await {
                    self.database.stop_writes(&error.to_string());
                    return Err(unknown("the recovery log failed behind a COMMIT that was refused"));
                }
                self.reach(FaultPoint::AbortOutcomeDurable).await;
            }
        }
        result
    }
}

pub(super) fn unknown(what: &str) -> Trouble {
    Trouble::Fatal(SqlError::new(
        "08007",
        format!("transaction resolution unknown: {what}"),
        "Look whether the transaction took effect before you run it again.",
    ))
}

/// With the PREPAREs that its EXECUTEs need: the log knows of no session, and a name may stand for one thing after another.
fn logged_all<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<IntentEntry> {
    let plain = |text: Vec<u8>, tag: &str| IntentEntry {
        statement: IntentStatement::Simple(text),
        tag: Some(tag.as_bytes().to_vec()),
        alone: false,
    };
    let deallocate = |name: &Bytes| {
        let name = super::frames::quote_identifier(&String::from_utf8_lossy(name));
        plain(format!("DEALLOCATE {name}").into_bytes(), "DEALLOCATE")
    };
    let mut all = Vec::new();
    let mut standing: BTreeMap<Bytes, u64> = BTreeMap::new();
    for entry in entries {
        if let Payload::Execute { prepared, .. } = &entry.payload
            && let Some(by_sql) = &prepared.by_sql
        {
            let before = standing.insert(prepared.name.clone(), prepared.identity);
            if before != Some(prepared.identity) {
                all.extend(before.map(|_| deallocate(&prepared.name)));
                all.push(plain(by_sql.text.to_vec(), "PREPARE"));
            }
        }
        all.push(logged(entry));
    }
    all.extend(standing.keys().map(deallocate));
    all
}

fn logged(entry: &Entry) -> IntentEntry {
    let statement = match &entry.payload {
        Payload::Simple(sql) | Payload::Execute { sql, .. } => IntentStatement::Simple(sql.to_vec()),
        Payload::Extended { prepared, tail } => IntentStatement::Extended {
            text: prepared.text.to_vec(),
            types: prepared.types.to_vec(),
            tail: tail.to_vec(),
        },
        Payload::Copied { text, rows } => IntentStatement::Copy { text: text.to_vec(), rows: rows.clone() },
    };
    IntentEntry { statement, tag: entry.tag.as_ref().map(|tag| tag.to_vec()), alone: entry.alone }
}
