//! What names and literals mean in a session: the lead is asked behind whatever may have changed it.
//!
//! Nothing is carried out on a guess. If the lead does not tell in a transaction, that one is rolled back: its next statement, or its
//! COMMIT, is told why. (The lead may have aborted it, and followers would commit what it rolls back.) Outside, the lead
//! is asked again before the next statement, and what depends on names is refused until it has told.

use raidb_core::sql::analysis::Command;

use super::Session;
use super::control::is_control;
use super::settings::{MEANING_SQL, TOLD_VALUES, Told};
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::wire::decode;

impl Session {
    /// Asks the lead what names and literals mean now, in the open transaction if there is one.
    async fn read_meaning(&mut self) -> Result<(), Trouble> {
        self.ready_members(false).await?;
        if self.open.is_some() {
            self.reach(FaultPoint::SessionMeaning).await;
        }
        let mut results = self.lead_results(MEANING_SQL).await?.into_iter();
        let unreadable = || SqlError::new("XX000", "the lead did not tell its settings", "Report this.");
        let (Some(path), Some(values)) = (results.next(), results.next().and_then(|r| r.into_iter().next())) else {
            return Err(unreadable().into());
        };
        let schemas = path.into_iter().filter_map(|row| row.into_iter().next().flatten());
        let search_path = schemas.map(|hex| from_hex(&hex).ok_or_else(unreadable)).collect::<Result<_, _>>()?;
        let values: Vec<_> =
            TOLD_VALUES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
        if self.settings.constants() != values {
            // A connection that has parsed a text keeps its constants as they were read then, another one reads them now. So from here
            // on it is another statement; what stands in a transcript already is the old one, wherever that is parsed.
            self.names.renew();
        }
        self.settings.told(Told { search_path, values });
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
