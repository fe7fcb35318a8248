//! The decision: the transcript as a durable record, and what is told when the log refuses.

use bytes::Bytes;
use raidb_core::log::{Context, Intent, IntentEntry, IntentStatement, Position};

use super::Session;
use super::transaction::{Entry, Payload};
use super::trouble::{SqlError, Trouble};
use crate::recovery_log::LogError;

impl Session {
    /// Makes the intent durable. Behind it the transaction is decided: COMMIT may leave.
    ///
    /// # Errors
    /// 53100, 54000 or 40001: nothing was written, the transaction is rolled back. [`Trouble::Fatal`] with 08007: the log has failed,
    /// and nobody knows whether the record is durable.
    pub(super) async fn write_intent(&mut self) -> Result<(), Trouble> {
        let Some(intent) = self.intent() else { return Ok(()) };
        self.decide_token()?;
        let database = self.database.clone();
        match self.drive(async move { database.journal.intent(&intent).await }).await {
            Ok(position) => {
                self.decided = position;
                self.token_positioned(position);
                if let Some(ticket) = &self.ticket {
                    self.database.in_flight.positioned(ticket, position);
                }
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
            sequences: open.sequences.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            entries: open.transcript.iter().map(logged).collect(),
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
                let database = self.database.clone();
                if let Err(error) = self.drive(async move { database.journal.abort(position).await }).await {
                    self.database.stop_writes(&error.to_string());
                    return Err(unknown("the recovery log failed behind a COMMIT that was refused"));
                }
            }
        }
        result
    }
}

fn unknown(what: &str) -> Trouble {
    Trouble::Fatal(SqlError::new(
        "08007",
        format!("transaction resolution unknown: {what}"),
        "Look whether the transaction took effect before you run it again.",
    ))
}

fn logged(entry: &Entry) -> IntentEntry {
    let statement = match &entry.payload {
        Payload::Simple(sql) => IntentStatement::Simple(sql.to_vec()),
        Payload::Extended { prepared, tail } => IntentStatement::Extended {
            text: prepared.text.to_vec(),
            types: prepared.types.to_vec(),
            tail: tail.to_vec(),
        },
        Payload::Copied { text, rows } => IntentStatement::Copy { text: text.to_vec(), rows: rows.clone() },
    };
    IntentEntry { statement, tag: entry.tag.as_ref().map(|tag| tag.to_vec()), alone: entry.alone }
}
