//! A new connection is made like the others of its session: the settings that were made so far are repeated on it.
//!
//! The lead took them once; it is not asked again. What is refused now (the role was dropped, or taken away from the user) says
//! nothing of the member: it may be refused everywhere. So the connection is given up before anything runs on it, and the client
//! is told. Only this session is affected.

use std::future::poll_fn;
use std::task::Poll;

use raidb_core::ids::MemberId;

use super::Session;
use super::trouble::{SqlError, Trouble};
use crate::members::pg::link::Owner;

impl Session {
    /// Waits until the settings stand on these new connections.
    ///
    /// # Errors
    /// One was refused; as [`Session::check_lead`].
    pub(super) async fn settings_repeated(&mut self, members: &[MemberId]) -> Result<(), Trouble> {
        if self.settings.journal().next().is_none() {
            return Ok(());
        }
        poll_fn(|cx| {
            self.poll_background(cx);
            let owed = |m: &MemberId| self.link(*m).is_some_and(|link| link.owes(Owner::Repeated));
            if members.iter().any(owed) {
                return Poll::Pending;
            }
            // Of all, or what one says would be told later once more.
            let refused: Vec<SqlError> = members.iter().filter_map(|m| self.slot(*m).refused.take()).collect();
            Poll::Ready(refused.into_iter().next().map_or(Ok(()), |error| Err(error.into())))
        })
        .await
    }

    /// A setting was refused on a new connection: whatever was sent behind it must not run there, or does not count.
    pub(super) fn setting_refused(&mut self, member: MemberId, sqlstate: [u8; 5], message: &str) {
        let name = &self.database.member(member).target.name;
        let what =
            format!("a setting of this session cannot be made on a new connection to member \"{name}\": {message}");
        let error = if may_pass(sqlstate) {
            SqlError::retry(what)
        } else {
            SqlError::new("55000", what, "RESET the setting (or the role), or connect again.")
        };
        let slot = self.slot(member);
        slot.give_up();
        slot.refused = Some(error);
        self.handle.wake();
    }
}

/// Whether the same may be taken a moment later: it was cancelled, or there was no room.
pub(super) fn may_pass(sqlstate: [u8; 5]) -> bool {
    [&b"40"[..], b"53", b"55P03", b"57"].iter().any(|class| sqlstate.starts_with(class))
}
