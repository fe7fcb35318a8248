//! What names and literals mean in a session: the lead is asked behind whatever may have changed it.
//!
//! Nothing is carried out on a guess. If the lead does not tell in a transaction, that one is rolled back: its next statement, or its
//! COMMIT, is told why. (The lead may have aborted it, and followers would commit what it rolls back.) Outside, the lead
//! is asked again before the next statement, and what depends on names is refused until it has told.

use raidb_core::sql::analysis::{Command, SessionChange};

use super::Session;
use super::control::is_control;
use super::settings::{MEANING_SQL, TOLD_VALUES, Told};
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::wire::decode;

/// Settings that say how a text is split and read: whoever looks at the next text must know them.
const LEXICAL: [&str; 3] = ["standard_conforming_strings", "client_encoding", "names"];
/// Settings that say what names mean.
const OF_NAMES: [&str; 3] = ["search_path", "role", "session_authorization"];

/// What a setting has changed of the meaning of statements, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// How values look, and constants.
    Values,
    /// What names mean.
    Names,
    /// How texts are split and read.
    Texts,
}

impl Due {
    /// That of a change for which [`change_of_meaning`](super::control::change_of_meaning) holds.
    pub(super) fn of(change: &SessionChange) -> Due {
        if is_of(change, &LEXICAL) {
            Due::Texts
        } else if is_of(change, &OF_NAMES) {
            Due::Names
        } else {
            Due::Values
        }
    }
}

fn is_of(change: &SessionChange, settings: &[&str]) -> bool {
    match change {
        SessionChange::Set { name, .. } | SessionChange::SetLocal { name, .. } | SessionChange::Reset { name } => {
            settings.contains(&name.as_str())
        }
        SessionChange::ResetAll => true,
        SessionChange::TransactionModes(_) | SessionChange::SessionModes(_) | SessionChange::Constraints { .. } => {
            false
        }
    }
}

impl Session {
    /// In a transaction settings have changed. The lead is asked as late as can be, since the question takes a snapshot: what the client
    /// does before its own first query (SET TRANSACTION, LOCK TABLE) must still come before that.
    pub(super) async fn meaning_is_due(&mut self, due: Due) {
        if due == Due::Texts {
            return self.read_meaning_surely().await;
        }
        if let Some(open) = self.open.as_mut() {
            open.meaning_due = open.meaning_due.max(Some(due));
        }
    }

    /// Before a statement is judged: asks what is due if it matters to this one. Whether it was asked: then the judgement that chose
    /// the command is void.
    pub(super) async fn meaning_for(&mut self, command: &Command) -> bool {
        let Some(due) = self.open.as_ref().and_then(|open| open.meaning_due) else { return false };
        let indifferent = match command {
            Command::Begin(_) | Command::Commit { .. } | Command::Rollback { .. } | Command::Empty => true,
            Command::Savepoint(_) | Command::Release(_) | Command::RollbackTo(_) | Command::Session(_) => true,
            Command::LockTable(_) => due == Due::Values,
            _ => false,
        };
        if indifferent || self.block == Block::Failed {
            return false;
        }
        self.read_meaning_surely().await;
        true
    }

    /// Asks the lead what names and literals mean now, in the open transaction if there is one.
    async fn read_meaning(&mut self) -> Result<(), Trouble> {
        let lead = self.ready_members(false).await?;
        if self.open.is_some() {
            self.look_before_snapshot(lead).await?;
            self.reach(FaultPoint::SessionMeaning).await;
        }
        let results = self.lead_results(MEANING_SQL).await;
        self.looked();
        let mut results = results?.into_iter();
        let unreadable = || SqlError::new("XX000", "the lead did not tell its settings", "Report this.");
        let (Some(path), Some(values)) = (results.next(), results.next().and_then(|r| r.into_iter().next())) else {
            return Err(unreadable().into());
        };
        let schemas = path.into_iter().filter_map(|row| row.into_iter().next().flatten());
        let search_path = schemas.map(|hex| from_hex(&hex).ok_or_else(unreadable)).collect::<Result<_, _>>()?;
        let default = |at: usize| values.get(TOLD_VALUES.len() + at).cloned().flatten();
        let defaults = (default(0), default(1));
        let values: Vec<_> =
            TOLD_VALUES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
        if self.settings.constants() != values {
            // A connection that has parsed a text keeps its constants as they were read then, another one reads them now. So from here
            // on it is another statement; what stands in a transcript already is the old one, wherever that is parsed.
            self.names.renew();
        }
        self.settings.told(Told { search_path, values });
        match self.open.as_mut() {
            Some(open) => {
                open.meaning_due = None;
                open.has_snapshot = true;
            }
            // (In a transaction they may be SET LOCAL, and do not concern it.)
            None => self.settings.told_defaults(defaults),
        }
        self.meaning_unknown = false;
        Ok(())
    }

    /// The same, over changes of lead. If nobody can be asked, it is asked again before the next statement.
    pub(crate) async fn read_meaning_surely(&mut self) {
        self.meaning_unknown = true;
        loop {
            let mut result = Box::pin(self.read_meaning()).await;
            if matches!(result, Err(Trouble::LeadChanged)) && self.open.is_some() {
                result = Box::pin(self.change_lead()).await;
                if result.is_ok() {
                    continue;
                }
            }
            let error = match result {
                Err(Trouble::MemberLost | Trouble::LeadChanged) => {
                    self.next_view().await;
                    continue;
                }
                // Whatever it is (its locks are lost, a deadlock, a time limit) must end the transaction: it is told once.
                Err(Trouble::Sql(error)) => error,
                Err(Trouble::Answer(frame)) => refused_by_lead(&frame),
                Ok(()) => return,
                Err(Trouble::ViewChanged | Trouble::Undone | Trouble::Writes | Trouble::Doubtful(_)) => return,
                Err(Trouble::Fatal(_) | Trouble::ClientGone) => return,
            };
            if let Some(open) = self.open.as_mut() {
                open.doomed.get_or_insert(error);
            }
            return;
        }
    }

    /// Outside a transaction: why this command cannot be judged as long as the lead has not told what names mean.
    pub(super) fn refusal_of_meaning(&self, command: &Command) -> Option<SqlError> {
        if !self.meaning_unknown || self.open.is_some() {
            return None;
        }
        // Whatever the proxy does by itself, settings above all, may be what helps.
        let own = is_control(command)
            && !matches!(
                command,
                Command::CopyIn(_) | Command::Utility(_) | Command::Concurrently(_) | Command::Notification(_)
            );
        let names = !own && !matches!(command, Command::Empty);
        let told = || SqlError::retry("the lead does not tell what names mean under the settings of this session");
        names.then(|| if self.view.down { SqlError::no_member() } else { told() })
    }
}

fn refused_by_lead(frame: &[u8]) -> SqlError {
    let sqlstate = decode::sqlstate(frame);
    let message = decode::error_field(frame, b'M').unwrap_or_default();
    SqlError::retry(format!(
        "the lead did not tell what names mean behind a setting: {}: {}",
        String::from_utf8_lossy(&sqlstate),
        String::from_utf8_lossy(message)
    ))
}

/// The text whose bytes these digits are.
fn from_hex(digits: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| byte(pair).filter(|_| pair.len() == 2)).collect::<Option<Vec<u8>>>()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_as_hex() {
        assert_eq!(from_hex("e697a5e69cac").as_deref(), Some("日本"));
        assert_eq!(from_hex("").as_deref(), Some(""));
        assert_eq!(from_hex("7"), None);
        assert_eq!(from_hex("7x"), None);
    }
}
