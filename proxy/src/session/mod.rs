//! A session: one client connection and its connections to members, driven by one task.
//!
//! ```text
//!            client frames                     foreground unit          background units
//!   client ───────────────▶ simple / extended ───────────────▶ lead     ───────────────▶ followers
//!          ◀─────────────── staged answers    ◀───────────────          ◀─────────────── (transcript)
//! ```
//! The code of a statement is straight-line `async`; every wait goes through [`Session::drive`] or a poll that first calls
//! [`Session::poll_background`], which moves the followers, watches idle links and the view. So followers run
//! one step behind the lead while the session waits for its lead, its client or another follower,
//! without a task or a channel between them.
//!
//! **Cancel safety.** The session's future is dropped only when the session ends; members roll back what is open on a
//! closed connection.

pub mod advisory;
pub mod background;
pub mod batch;
mod behind_ddl;
pub mod characteristics;
mod combined;
mod combined_batch;
pub mod commit;
pub mod commit_at_once;
mod concurrently;
pub mod control;
mod copied_rows;
pub mod copy;
mod copy_imaged;
mod execute;
pub mod extended;
mod fault;
mod fill;
mod following;
pub mod foreground;
pub mod frames;
mod held;
pub mod imaged;
mod insert_names;
pub mod intent;
pub mod judge;
pub mod lead;
pub mod lead_batch;
pub mod lead_change;
pub mod lead_unit;
pub mod links;
mod looking;
mod meaning;
mod names_command;
pub mod notifications;
pub mod outcome;
pub mod prepared;
pub mod present_time;
mod readable;
pub mod reads;
mod registration;
mod repeated;
mod reporting;
mod rollback;
mod route;
pub mod settings;
mod settle;
pub mod simple;
pub mod statement;
mod statuses;
mod temporary;
pub mod token;
pub mod transaction;
mod transaction_settings;
pub mod trouble;
mod two_phase;
mod unproven;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use raidb_core::advisory::HeldLocks;
use raidb_core::ids::MemberId;
use raidb_core::log::Position;
use tokio::time::{Instant, Sleep};

use crate::fault_points::FaultPoint;
use crate::members::pg::target::{Login, StartupParameters};
use crate::together::Group;
use crate::together::combining::{Rest, Turn};
use crate::virtual_database::VirtualDatabase;
use crate::virtual_database::handles::SessionHandle;
use crate::virtual_database::in_flight::ProvisionalId;
use crate::virtual_database::membership::View;
use crate::virtual_database::notifications::{Mailbox, Place};
use crate::wire::{Channel, FrameHead, WireError, encode};
use links::MemberSlot;
use notifications::Notices;
use prepared::Names;
use settings::SessionSettings;
use transaction::{Block, OpenTransaction};
use trouble::{SqlError, Trouble};

/// Who a client is after authentication.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Login at members, if it is not each member's own.
    pub login: Option<Login>,
    /// Start-up parameters that are passed on.
    pub parameters: StartupParameters,
}

/// Output that is kept back may grow to this before rows are let go (then a lost lead cannot be hidden any more).
pub const STAGED_BYTES_MAX: usize = 256 * 1024;
/// While a statement runs, this much of the client's next input is read ahead to notice that it is gone.
pub const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of the statement in hand")]
pub struct Session {
    pub(crate) handle: Arc<SessionHandle>,
    pub(crate) database: Arc<VirtualDatabase>,
    pub(crate) client: Channel,
    pub(crate) identity: Identity,
    pub(crate) view: Arc<View>,
    pub(crate) slots: Vec<MemberSlot>,
    pub(crate) block: Block,
    pub(crate) open: Option<OpenTransaction>,
    pub(crate) names: Names,
    pub(crate) settings: SessionSettings,
    /// Answers that may not leave yet.
    pub(crate) staged: BytesMut,
    /// Rows of the statement in hand have left: it cannot be run again unseen.
    pub(crate) released: bool,
    pub(crate) client_gone: bool,
    /// An error of the extended protocol: everything up to Sync is ignored.
    pub(crate) skipping: bool,
    /// The commit that is being sent.
    pub(crate) ticket: Option<Arc<crate::virtual_database::in_flight::Ticket>>,
    /// Position of its intent; the start of the log: none yet.
    pub(crate) decided: Position,
    /// The intent, as long as it does not count.
    pub(crate) provisional: intent::Provisional,
    /// Version of the view whose members it names.
    pub(crate) provisional_view: u64,
    /// Its number among those that may be withdrawn.
    pub(crate) early: Option<ProvisionalId>,
    /// Why the open transaction was lost while the client was not asking anything: the next statement gets it.
    pub(crate) lost_transaction: Option<SqlError>,
    /// How the block that the client is in, or was in last, began.
    pub(crate) block_begun: Option<characteristics::Characteristics>,
    /// The statement in hand, for incidents.
    pub(crate) current: Bytes,
    /// Somebody waits for the followers: nothing is held back.
    pub(crate) urgent: bool,
    /// What names mean is not known: the lead is asked before the next statement.
    pub(crate) meaning_unknown: bool,
    /// The client was told what the rows of what runs by its text look like.
    pub(crate) described: bool,
    /// DDL that had ended when the batch in hand was judged.
    pub(crate) generation: u64,
    /// The client was told to send rows: up to their end a Sync means nothing.
    pub(crate) copy_answered: bool,
    /// Type of the message that the client has sent behind the one in hand, if that has been taken from it already.
    pub(crate) behind: Option<u8>,
    /// The statement in hand was judged by a catalog that DDL has overtaken.
    pub(crate) stale: bool,
    /// The client's name for a transaction.
    pub(crate) named: token::Named,
    /// The log hears of that name.
    pub(crate) noting_token: Option<tokio::task::JoinHandle<()>>,
    /// The statement in hand may not have its snapshot yet.
    pub(crate) look: Option<looking::Look>,
    /// The member of the last balanced read.
    pub(crate) last_reader: Option<MemberId>,
    /// Advisory locks that the client holds until it gives them back, or the session ends.
    pub(crate) locks: HeldLocks,
    /// Its temporary objects.
    pub(crate) temporary: temporary::Temporary,
    /// Its cursors WITH HOLD.
    pub(crate) held_cursors: held::HeldCursors,
    /// What its open transaction does with notifications.
    pub(crate) notices: Notices,
    /// Notifications for it; none before its first LISTEN.
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    /// The place of the commit under way among those that send notifications.
    pub(crate) notice_place: Option<Place>,
    /// Sessions like this one, with which it commits together.
    pub(crate) group: Option<Arc<Group>>,
    /// What its first connection reported.
    pub(crate) reported: crate::members::pg::connect::Reported,
    /// What the client knows of settings, as far as that is certain.
    pub(crate) told: crate::members::pg::connect::Reported,
    /// INSERTs that the lead plans once.
    insert_names: insert_names::InsertNames,
    /// Its INSERTs go by themselves for a while.
    insert_rest: Rest,
    /// Its turn to run INSERTs of others, up to the end of its own.
    pub(crate) turn: Option<Turn>,
    timer: Pin<Box<Sleep>>,
    timer_at: Option<Instant>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.handle.id, self.database.name)
    }
}

impl Session {
    /// A session whose client is authenticated.
    #[must_use]
    pub fn new(
        handle: Arc<SessionHandle>,
        database: Arc<VirtualDatabase>,
        client: Channel,
        identity: Identity,
    ) -> Self {
        let view = database.view();
        let settings = SessionSettings::new(&database.member_defaults(), &identity.parameters);
        let slots = database.members.iter().map(|_| MemberSlot::default()).collect();
        database.count_session(true);
        Session {
            handle,
            database,
            client,
            identity,
            view,
            slots,
            block: Block::Idle,
            open: None,
            names: Names::default(),
            settings,
            staged: BytesMut::new(),
            released: false,
            client_gone: false,
            skipping: false,
            ticket: None,
            decided: Position::START,
            provisional: intent::Provisional::None,
            provisional_view: 0,
            early: None,
            lost_transaction: None,
            block_begun: None,
            current: Bytes::new(),
            urgent: false,
            meaning_unknown: false,
            described: false,
            generation: 0,
            copy_answered: false,
            behind: None,
            stale: false,
            named: token::Named::Nothing,
            noting_token: None,
            look: None,
            last_reader: None,
            locks: HeldLocks::default(),
            temporary: temporary::Temporary::default(),
            held_cursors: held::HeldCursors::default(),
            notices: Notices::default(),
            mailbox: None,
            notice_place: None,
            group: None,
            reported: Vec::new(),
            told: Vec::new(),
            insert_names: insert_names::InsertNames::default(),
            insert_rest: Rest::default(),
            turn: None,
            timer: Box::pin(tokio::time::sleep(std::time::Duration::from_secs(3600))),
            timer_at: None,
        }
    }

    /// A member was added: from now on it has a place here too. Call wherever a view is taken that may name it.
    pub(crate) fn grow_slots(&mut self) {
        let members = self.database.members.len();
        if self.slots.len() < members {
            self.slots.resize_with(members, MemberSlot::default);
        }
    }

    /// Serves the client until it leaves.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if let Trouble::Fatal(error) = &end {
            tracing::info!(session = %self.handle.id, sqlstate = error.sqlstate, "session ended: {}", error.message);
            error.write(self.client.out(), "FATAL");
            // The client alone: what has become of members, the lost connection to the lead too, must not keep the reason back.
            let flushed = poll_fn(|cx| self.client.poll_flush(cx));
            let _late = tokio::time::timeout(std::time::Duration::from_secs(1), flushed).await;
        }
    }

    async fn serve(&mut self) -> Trouble {
        loop {
            let turn = match self.client_frame().await {
                Ok(frame) => self.turn(frame).await,
                Err(trouble) => Err(trouble),
            };
            match turn {
                Ok(true) => {}
                Ok(false) => return Trouble::ClientGone,
                Err(trouble) => return trouble,
            }
        }
    }

    /// One message of the client. `Ok(false)`: it said good-bye.
    async fn turn(&mut self, frame: Bytes) -> Result<bool, Trouble> {
        match frame[0] {
            // Behind an error everything up to Sync is passed over.
            b'Q' | b'F' if self.skipping => {}
            b'Q' => self.simple_query(&frame).await?,
            tag if extended::is_extended(tag) => self.extended_batch(frame).await?,
            b'X' => return Ok(false),
            // Left over from a COPY that failed: PostgreSQL ignores them too.
            b'd' | b'c' | b'f' => {}
            b'F' => {
                self.fail_statement(SqlError::refused(
                    "function calls of the fast path (large objects) cannot be replicated",
                    "Use SQL, and bytea instead of large objects.",
                ));
                self.ready().await?;
            }
            other => {
                return Err(Trouble::Fatal(SqlError::new(
                    "08P01",
                    format!("invalid frontend message type {other}"),
                    "Allowed are Q, P, B, D, E, C, H, S, X and, during COPY, d, c, f.",
                )));
            }
        }
        Ok(true)
    }

    /// The next whole message of the client.
    ///
    /// While it waits, an open transaction follows a change of lead: others wait for it to do so.
    pub(crate) async fn client_frame(&mut self) -> Result<Bytes, Trouble> {
        let head = self.client_head().await?;
        Ok(self.client.take(head))
    }

    /// The type of the client's next message, which stays where it is.
    pub(crate) async fn client_tag(&mut self) -> Result<u8, Trouble> {
        Ok(self.client_head().await?.tag)
    }

    async fn client_head(&mut self) -> Result<FrameHead, Trouble> {
        self.looked();
        loop {
            match poll_fn(|cx| self.poll_client_frame(cx)).await {
                Ok(head) => return Ok(head),
                Err(Trouble::LeadChanged) => {
                    if let Err(trouble) = self.change_lead().await {
                        self.lose_transaction(trouble).await?;
                    }
                }
                Err(trouble @ Trouble::Sql(_)) => self.lose_transaction(trouble).await?,
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The open transaction cannot go on, and no statement is in hand that could be told.
    pub(crate) async fn lose_transaction(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        match trouble {
            Trouble::Sql(error) => {
                self.rollback().await;
                self.lost_transaction = Some(error);
                Ok(())
            }
            other => Err(other),
        }
    }

    fn poll_client_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<FrameHead, Trouble>> {
        self.poll_background(cx);
        if self.open.is_some() {
            self.check_lead()?;
        }
        if self.handle.stopping() {
            return Poll::Ready(Err(Trouble::Fatal(SqlError::stopping())));
        }
        if self.locks_lost() {
            return Poll::Ready(Err(Trouble::Fatal(advisory::locks_are_lost())));
        }
        if self.temporary_lost() {
            return Poll::Ready(Err(Trouble::Fatal(temporary::temporary_is_lost())));
        }
        // The client is always sent what is ready before it is waited for. What came for it is taken by portions: nobody wakes this
        // session for the next one.
        loop {
            self.take_notifications()?;
            match self.client.poll_flush(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Trouble::ClientGone)),
                Poll::Ready(Ok(())) if self.notifications_wait() => {}
                _ => break,
            }
        }
        match self.client.poll_frame(cx, &[]) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(head)),
            Poll::Ready(Err(WireError::Closed | WireError::Io(_))) => Poll::Ready(Err(Trouble::ClientGone)),
            Poll::Ready(Err(error @ WireError::Length { .. })) => Poll::Ready(Err(Trouble::Fatal(SqlError::new(
                "08P01",
                error.to_string(),
                "The connection is out of step and is closed.",
            )))),
        }
    }

    /// Polls the background and `future` together.
    pub(crate) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.poll_background(cx);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Sends what the client is due.
    ///
    /// # Errors
    /// [`Trouble::LeadChanged`] and 40001 of a lost lead as well: what goes on behind this must know.
    pub(crate) async fn drive_flush(&mut self) -> Result<(), Trouble> {
        poll_fn(|cx| {
            self.poll_background(cx);
            if self.open.is_some() {
                self.check_lead()?;
            }
            self.client.poll_flush(cx).map_err(|_| Trouble::ClientGone)
        })
        .await
    }

    /// The same where nothing is under way: an open transaction follows a change of lead meanwhile, since others wait for it to do so.
    pub(crate) async fn flush_and_follow(&mut self) -> Result<(), Trouble> {
        loop {
            match self.drive_flush().await {
                Err(Trouble::LeadChanged) => {
                    if let Err(trouble) = self.change_lead().await {
                        self.lose_transaction(trouble).await?;
                    }
                }
                Err(trouble @ Trouble::Sql(_)) => self.lose_transaction(trouble).await?,
                other => return other,
            }
        }
    }

    /// Lets staged answers go.
    pub(crate) fn release_staged(&mut self) {
        // Reports may be among them.
        self.told.clear();
        self.let_go();
    }

    fn let_go(&mut self) {
        if self.client.out().is_empty() {
            std::mem::swap(self.client.out(), &mut self.staged);
        } else {
            let staged = self.staged.split();
            self.client.out().extend_from_slice(&staged);
        }
        self.staged.clear();
    }

    /// Releases everything and tells the client that the next statement may come.
    pub(crate) async fn ready(&mut self) -> Result<(), Trouble> {
        self.turn = None;
        if !self.released {
            // Otherwise a part of a frame may have left already.
            statuses::settle(&mut self.staged, &mut self.told);
        }
        if self.mailbox.is_some() {
            // Its own notifications come before it is told that the statement is over, as in PostgreSQL.
            self.let_go();
            // That some are missing is told behind ReadyForQuery, or the statement, which has taken effect, would look failed.
            let _told_later = self.take_notifications();
        }
        encode::ready(&mut self.staged, self.block.status());
        self.let_go();
        self.released = false;
        // No wait here: the next client_frame() flushes, and meanwhile a slow client holds up nobody.
        poll_fn(|cx| {
            // The client first: it works on its next statement while the followers are sent this one.
            let flushed = self.client.poll_flush(cx);
            self.poll_background(cx);
            match flushed {
                Poll::Ready(Err(_)) => Poll::Ready(Err(Trouble::ClientGone)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
            }
        })
        .await?;
        self.reach(FaultPoint::SessionReady).await;
        Ok(())
    }

    /// The lead as this session's transaction, or the view, has it.
    pub(crate) fn lead(&self) -> MemberId {
        self.open.as_ref().map_or(self.view.lead, |open| open.lead)
    }

    /// Has the session polled at `at` at the latest.
    pub(crate) fn wake_at(&mut self, at: Instant) {
        if self.timer_at.is_none_or(|earlier| at < earlier) {
            self.timer_at = Some(at);
            self.timer.as_mut().reset(at);
        }
    }

    /// Polled at the end of the background: fires the timer by polling again.
    pub(crate) fn poll_timer(&mut self, cx: &mut Context<'_>) {
        if self.timer_at.is_some() && self.timer.as_mut().poll(cx).is_ready() {
            self.timer_at = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.decided != Position::START || !self.provisional.is_none() {
            // Decided, and nobody carries it out: members may differ, and others may go on on top of it. A start redoes it from
            // the log in a moment.
            let position = self.decided.0;
            tracing::error!(
                position,
                "a session ended behind its decision: the proxy ends, and redoes it at its start"
            );
            std::process::abort();
        }
        self.token_gone();
        self.unlisten_all();
        self.close_links();
        if let Some(ticket) = self.ticket.take() {
            self.database.in_flight.void(&ticket);
        }
        if let Some(open) = self.open.take() {
            self.database.leave(open.epoch);
        }
        self.database.count_session(false);
        self.database.sessions.close(self.handle.id);
    }
}
