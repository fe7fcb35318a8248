//! LISTEN, UNLISTEN, NOTIFY: part of the transaction, as in PostgreSQL, and carried out when it has committed.
//!
//! No member hears of NOTIFY: see [`crate::virtual_database::notifications`].

use std::collections::HashSet;

use raidb_core::sql::analysis::{NotificationCommand, TextArgument};

use super::Session;
use super::statement::{Bound, Statement};
use super::transaction::Block;
use super::trouble::{SqlError, Trouble};
use crate::virtual_database::notifications::{Lost, Mailbox, Notification, Place};
use crate::wire::{decode, encode};

/// A channel's name is shorter than this, in bytes.
const CHANNEL_BYTES_MAX: usize = 64;
/// A payload is shorter than this, in bytes.
const PAYLOAD_BYTES_MAX: usize = 8000;
/// Notifications of one transaction may take this many bytes; one more fails with 54000.
const NOTICES_BYTES_MAX: usize = 64 << 20;
/// Notifications are given to a client only as long as less than this waits to be sent to it.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// Types of a parameter whose bytes are a text's in both formats: unspecified, text, varchar, bpchar, unknown.
const TEXT_TYPES: [u32; 5] = [0, 25, 1043, 1042, 705];

/// What a transaction does when it commits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Listen(String),
    /// `None`: to nothing any more.
    Unlisten(Option<String>),
    Notify(Notification),
}

/// What the open transaction does when it commits, in order, each with the length of the transcript at that moment.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    actions: Vec<(usize, Action)>,
    bytes: usize,
}

impl Notices {
    fn push(&mut self, at: usize, action: Action) -> Result<(), SqlError> {
        if let Action::Notify(notification) = &action {
            self.bytes += notification.channel.len() + notification.payload.len();
            if self.bytes > NOTICES_BYTES_MAX {
                return Err(SqlError::new(
                    "54000",
                    format!("the transaction sends more than {NOTICES_BYTES_MAX} bytes of notifications"),
                    "Commit more often.",
                ));
            }
        }
        self.actions.push((at, action));
        Ok(())
    }

    /// The transcript was cut to `length`, which is behind the entry of a savepoint: what came behind that is undone.
    pub(super) fn undo(&mut self, length: usize) {
        self.actions.retain(|(at, _)| *at < length);
    }

    pub(super) fn clear(&mut self) {
        *self = Notices::default();
    }

    /// Whether somebody has to be told something.
    pub(super) fn has_notifications(&self) -> bool {
        self.actions.iter().any(|(_, action)| matches!(action, Action::Notify(_)))
    }

    /// Those that are sent: the first of several alike.
    fn take(&mut self) -> (Vec<Action>, Vec<Notification>) {
        let (mut listens, mut sent, mut known) = (Vec::new(), Vec::new(), HashSet::new());
        for (_, action) in std::mem::take(self).actions {
            match action {
                Action::Notify(notification) => {
                    if known.insert(notification.clone()) {
                        sent.push(notification);
                    }
                }
                listen => listens.push(listen),
            }
        }
        (listens, sent)
    }
}

impl Session {
    /// Runs one of the commands; its answer is staged. It takes effect when the transaction commits.
    pub(super) fn notification_command(
        &mut self,
        statement: &Statement,
        command: &NotificationCommand,
    ) -> Result<(), Trouble> {
        let (action, tag) = match command {
            NotificationCommand::Listen(channel) => (Action::Listen(channel.clone()), "LISTEN"),
            NotificationCommand::Unlisten(channel) => (Action::Unlisten(channel.clone()), "UNLISTEN"),
            NotificationCommand::Notify { channel, payload } => {
                (Action::Notify(checked(channel.clone(), payload.clone())?), "NOTIFY")
            }
            NotificationCommand::Function { channel, payload, column } => {
                if statement.bound.is_none() {
                    // In front of an error too: it arises when the function runs.
                    encode::void_row_description(&mut self.staged, column);
                }
                let channel = text_of(channel, statement.bound.as_ref())?;
                let payload = text_of(payload, statement.bound.as_ref())?;
                (Action::Notify(checked(channel, payload)?), "SELECT 1")
            }
        };
        self.check_letters(&action)?;
        self.open_implicit();
        let at = self.open.as_ref().map_or(0, |open| open.transcript.len());
        self.notices.push(at, action)?;
        if matches!(command, NotificationCommand::Function { .. }) {
            encode::text_row(&mut self.staged, &[""]);
        }
        encode::command_complete(&mut self.staged, tag);
        Ok(())
    }

    /// Channels and payloads go from session to session as they are: letters beyond ASCII mean something else in another encoding.
    fn check_letters(&self, action: &Action) -> Result<(), SqlError> {
        let plain = match action {
            Action::Listen(channel) => channel.is_ascii(),
            Action::Unlisten(_) => true,
            Action::Notify(notification) => notification.channel.is_ascii() && notification.payload.is_ascii(),
        };
        if plain || self.settings.utf8 {
            return Ok(());
        }
        Err(SqlError::refused(
            "a notification in letters beyond ASCII, under a client encoding other than UTF8",
            "SET client_encoding = UTF8, or use ASCII.",
        ))
    }

    /// Before COMMIT leaves: whoever gets this transaction's rows when it has taken effect takes a place behind this one. And not
    /// before what may wait for others without a limit: places behind this one wait for it.
    pub(super) fn take_notice_place(&mut self) {
        if self.notices.has_notifications() && self.notice_place.is_none() {
            self.notice_place = Some(self.database.notifications.place());
        }
    }

    /// Whether more has come for the client than was taken, and may be given to it now.
    pub(super) fn notifications_wait(&self) -> bool {
        self.mailbox.as_ref().is_some_and(|mailbox| mailbox.is_filled())
            && self.open.is_none()
            && self.block == Block::Idle
    }

    /// The transaction has committed on every member.
    pub(super) async fn notices_committed(&mut self, place: Option<Place>) {
        let (listens, sent) = self.notices.take();
        let mut listens_to_more = false;
        for action in listens {
            match action {
                Action::Listen(channel) => {
                    listens_to_more = true;
                    let handle = &self.handle;
                    let mailbox = self.mailbox.get_or_insert_with(|| Mailbox::new(handle.clone()));
                    self.database.notifications.listen(&channel, mailbox);
                }
                Action::Unlisten(channel) => {
                    if let Some(mailbox) = &self.mailbox {
                        self.database.notifications.unlisten(channel.as_deref(), mailbox);
                    }
                }
                Action::Notify(_) => {}
            }
        }
        if let Some(place) = place {
            place.send(u32::try_from(self.handle.id.0).unwrap_or(u32::MAX), sent);
        }
        if listens_to_more {
            // What functions notify from now on is heard, too; or, if the lead cannot be listened to, the client is told that it is not.
            let (database, within) = (self.database.clone(), self.database.settings.member_timeout);
            let heard = async move { tokio::time::timeout(within, database.notifications.is_heard()).await };
            if self.drive(heard).await.is_err()
                && let Some(mailbox) = &self.mailbox
            {
                mailbox.lose(Lost::WithLead);
            }
        }
    }

    /// DISCARD ALL, or the end.
    pub(super) fn unlisten_all(&mut self) {
        if let Some(mailbox) = &self.mailbox {
            self.database.notifications.unlisten(None, mailbox);
        }
    }

    /// Gives the client what has come for it, unless it is in a transaction.
    ///
    /// # Errors
    /// [`Trouble::Fatal`]: 53400, more came than it took; 57P01, some may be lost with the lead.
    pub(super) fn take_notifications(&mut self) -> Result<(), Trouble> {
        let Some(mailbox) = self.mailbox.as_ref().filter(|_| self.notifications_wait()) else { return Ok(()) };
        mailbox.take(self.client.out(), OUT_BYTES_MAX).map_err(|lost| {
            Trouble::Fatal(match lost {
                Lost::Overflown => SqlError::new(
                    "53400",
                    "the client does not take its notifications",
                    "Read from the connection while it listens, and end transactions; then LISTEN again on a new connection.",
                ),
                Lost::WithLead => SqlError::new(
                    "57P01",
                    "the lead was lost, and perhaps notifications that functions or triggers had sent",
                    "LISTEN again on a new connection, and look then at what there is.",
                ),
            })
        })
    }
}

fn checked(channel: String, payload: String) -> Result<Notification, SqlError> {
    let invalid = |message: &str| Err(SqlError::new("22023", message, ""));
    if channel.is_empty() {
        return invalid("channel name cannot be empty");
    }
    if channel.len() >= CHANNEL_BYTES_MAX {
        return invalid("channel name too long");
    }
    if payload.len() >= PAYLOAD_BYTES_MAX {
        return invalid("payload string too long");
    }
    Ok(Notification { channel, payload })
}

/// The value of an argument; NULL is the empty text.
fn text_of(argument: &TextArgument, bound: Option<&Bound>) -> Result<String, SqlError> {
    let n = match argument {
        TextArgument::Literal(text) => return Ok(text.clone()),
        TextArgument::Null => return Ok(String::new()),
        TextArgument::Parameter(n) => *n,
    };
    let Some(bound) = bound else {
        return Err(SqlError::new("42P02", format!("there is no parameter ${n}"), ""));
    };
    let index = usize::from(n.saturating_sub(1));
    let declared = bound.prepared.types.get(2 + 4 * index..6 + 4 * index);
    let declared = declared.map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let parameters = decode::bind_parameters(&bound.tail);
    let value = parameters.get(index).map(|parameter| parameter.value.unwrap_or_default());
    let value = value.filter(|_| TEXT_TYPES.contains(&declared)).and_then(|value| std::str::from_utf8(value).ok());
    value.map(str::to_owned).ok_or_else(|| {
        SqlError::refused("channel and payload of a notification are texts in UTF-8", "Bind them as text or varchar.")
    })
}

/// How many parameters a command has.
pub(super) fn parameters_of(command: &NotificationCommand) -> u16 {
    match command {
        NotificationCommand::Function { channel, payload, .. } => {
            let number = |argument: &TextArgument| match argument {
                TextArgument::Parameter(n) => *n,
                TextArgument::Literal(_) | TextArgument::Null => 0,
            };
            number(channel).max(number(payload))
        }
        NotificationCommand::Listen(_) | NotificationCommand::Unlisten(_) | NotificationCommand::Notify { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(payload: &str) -> Action {
        Action::Notify(Notification { channel: "c".into(), payload: payload.into() })
    }

    #[test]
    fn what_is_behind_a_savepoint_is_undone_with_it() {
        let mut notices = Notices::default();
        notices.push(0, notify("before")).unwrap();
        // SAVEPOINT is entry 0: the transcript has one entry then.
        notices.push(1, notify("behind")).unwrap();
        notices.push(1, Action::Listen("c".into())).unwrap();
        notices.undo(1);
        let (listens, sent) = notices.take();
        assert_eq!((listens.len(), sent.len(), &sent[0].payload[..]), (0, 1, "before"));
        assert!(!notices.has_notifications());
    }

    #[test]
    fn alike_ones_are_sent_once() {
        let mut notices = Notices::default();
        for payload in ["a", "b", "a"] {
            notices.push(0, notify(payload)).unwrap();
        }
        let sent: Vec<String> = notices.take().1.into_iter().map(|n| n.payload).collect();
        assert_eq!(sent, ["a", "b"]);
    }

    #[test]
    fn limits_are_those_of_postgresql() {
        assert_eq!(checked(String::new(), String::new()).unwrap_err().sqlstate, "22023");
        assert!(checked("c".repeat(63), "p".repeat(7999)).is_ok());
        assert!(checked("c".repeat(64), String::new()).is_err());
        assert!(checked("c".into(), "p".repeat(8000)).is_err());
    }
}
