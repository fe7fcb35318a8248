//! The session's connections to members: opened as needed, made equal, given back.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use raidb_core::ids::MemberId;
use raidb_core::transaction::follower::FollowerCursor;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Session;
use super::advisory::SlotLocks;
use super::frames::SentUnit;
use super::registration::Proof;
use super::trouble::{SqlError, Trouble};
use crate::fault_points::FaultPoint;
use crate::members::pg::cancel;
use crate::members::pg::connect::{self, ConnectError, Reported};
use crate::members::pg::link::{Link, Owner, UnitOutcome};
use crate::together::Reply;
use crate::virtual_database::in_flight::Ticket;
use crate::virtual_database::settings::MEMBER_FRAMES;
use crate::virtual_database::{FaultOutcome, VirtualDatabase};

/// Work on a slot that goes on beside the session.
pub(crate) type Work = Pin<Box<dyn Future<Output = WorkDone> + Send>>;

/// What came of it.
pub(crate) enum WorkDone {
    /// A member was suspected or reported.
    Judged(FaultOutcome),
    /// A follower's connection was opened again.
    Opened(Box<Result<Opened, ConnectError>>),
    /// A cancel request was delivered (or given up).
    Cancelled,
}

/// A new connection with its place.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) reported: Reported,
}

/// COMMIT on one member.
#[derive(Debug, Default)]
pub(crate) enum CommitState {
    /// Not sent.
    #[default]
    None,
    /// Sent.
    Sent {
        /// What says that it took effect.
        expects: Expects,
    },
    /// Answered.
    Done {
        /// What the member said.
        outcome: UnitOutcome,
        /// It took effect.
        agreed: bool,
    },
}

/// The command tag that says that a commit took effect.
#[derive(Clone, Debug)]
pub(crate) enum Expects {
    /// The last one is COMMIT.
    Commit,
    /// The statements that were sent with their commit answer with these; a marker stands behind them.
    Statements(Vec<Bytes>),
    /// The line says it (see [`crate::together`]).
    Line(Arc<Reply>),
}

impl Expects {
    pub(crate) fn met_by(&self, outcome: &UnitOutcome) -> bool {
        match self {
            Expects::Commit => outcome.tag() == b"COMMIT",
            Expects::Statements(tags) => outcome.tags.len() == tags.len() + 1 && outcome.tags.starts_with(tags),
            Expects::Line(_) => false,
        }
    }

    /// Whether the commit took effect. The tag COMMIT says so whatever an error behind it says: a cancel that came too late is told with
    /// what the server notes of the statement, and a transaction that is taken for aborted then would be on this member alone.
    pub(crate) fn took_effect(&self, outcome: &UnitOutcome) -> bool {
        self.met_by(outcome) && (outcome.error.is_none() || matches!(self, Expects::Commit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write that would be on one member only: the lead has committed it, and everybody else rolled it back.
    #[test]
    fn a_cancel_that_is_told_behind_the_commit_does_not_undo_it() {
        let outcome = |tags: &[&'static str], cancelled: bool| UnitOutcome {
            tags: tags.iter().map(|tag| Bytes::from_static(tag.as_bytes())).collect(),
            error: cancelled.then(|| (*b"57014", "canceling statement due to user request".to_owned())),
            ..UnitOutcome::plain()
        };
        let marked = ["INSERT 0 1", "COMMIT"];
        assert!(Expects::Commit.took_effect(&outcome(&marked, false)));
        assert!(Expects::Commit.took_effect(&outcome(&marked, true)));
        // Cancelled before it, or with a block that had failed.
        assert!(!Expects::Commit.took_effect(&outcome(&marked[..1], true)));
        assert!(!Expects::Commit.took_effect(&outcome(&["ROLLBACK"], false)));
        // Statements that commit by themselves: an error says that nothing was done.
        let whole = Expects::Statements(vec![Bytes::from_static(b"INSERT 0 1")]);
        assert!(whole.took_effect(&outcome(&["INSERT 0 1", "INSERT 0 1"], false)));
        assert!(!whole.took_effect(&outcome(&["INSERT 0 1", "INSERT 0 1"], true)));
    }
}

/// What the session has with one member.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that the next poll consumes, not a state")]
pub(crate) struct MemberSlot {
    pub(crate) link: Option<Link>,
    permit: Option<OwnedSemaphorePermit>,
    pub(crate) cursor: FollowerCursor,
    /// Units of the transcript that the follower owes answers to.
    pub(crate) units: VecDeque<SentUnit>,
    pub(crate) work: Option<Work>,
    /// The connection was lost and the member is being judged.
    pub(crate) lost: bool,
    /// It was the last member, which does not answer.
    pub(crate) last_down: bool,
    /// A new connection could not be made like the others of the session, and was given up.
    pub(crate) refused: Option<SqlError>,
    /// The lead's connection was lost under an open transaction, though the lead lives.
    pub(crate) lead_cut: bool,
    pub(crate) commit: CommitState,
    /// What the lead says of the transaction that is being decided.
    pub(crate) proof: Proof,
    /// The member has joined under the open transaction.
    pub(crate) newcomer: bool,
    /// The follower's answer is due.
    pub(crate) deadline: Option<Instant>,
    /// What runs is doomed since then.
    pub(crate) doomed_since: Option<Instant>,
    /// The follower waits for these before it goes on.
    pub(crate) settling: Option<Vec<Arc<Ticket>>>,
    /// The follower's pause before the next replay ends.
    pub(crate) settle_until: Option<Instant>,
    /// What the last differing answer was.
    pub(crate) difference: Option<UnitOutcome>,
    /// Index of the entry that differed.
    pub(crate) differed_at: usize,
    /// The connection was opened when the session had temporary objects: it has none of them, nor of those that come.
    pub(crate) lacks_temporary: bool,
    /// The session's cursors WITH HOLD stand on the connection.
    pub(crate) holds_cursors: bool,
    /// What the connection has of the session's advisory locks.
    pub(crate) locks: SlotLocks,
}

impl MemberSlot {
    /// Forgets everything (the member is out, or the connection replaced).
    pub(crate) fn reset(&mut self) {
        if let Some(link) = self.link.take() {
            abandon(link);
        }
        *self = MemberSlot::default();
    }

    /// Gives its connection up. The member is not to blame: what is open goes on over another one.
    pub(crate) fn give_up(&mut self) {
        if let Some(link) = self.link.take() {
            abandon(link);
        }
        self.locks = SlotLocks::default();
        self.permit = None;
        self.units.clear();
        self.deadline = None;
        if self.cursor.begun() && !self.commit_elsewhere() {
            self.cursor.reconnected();
        }
    }

    /// Whether the session's own connection has no part in the commit: it went by a line, or the member has answered. Whatever becomes
    /// of the connection does not concern it then. Above all the transcript is not sent again: the member may have committed it.
    pub(crate) fn commit_elsewhere(&self) -> bool {
        matches!(self.commit, CommitState::Sent { expects: Expects::Line(_) } | CommitState::Done { .. })
    }

    /// Whether the follower has something of a transaction.
    pub(crate) fn involved(&self) -> bool {
        self.cursor.begun()
    }
}

impl Session {
    pub(crate) fn slot(&mut self, member: MemberId) -> &mut MemberSlot {
        &mut self.slots[usize::from(member.0)]
    }

    pub(crate) fn link(&mut self, member: MemberId) -> Option<&mut Link> {
        self.slot(member).link.as_mut()
    }

    /// Opens what is missing of the connections to `members`, at the same time.
    ///
    /// # Errors
    /// 53300 at a limit, the member's own refusal, 57P03 if nobody is there. A member that fails is taken out and is no error.
    pub(crate) async fn ensure_links(&mut self, members: &[MemberId]) -> Result<(), Trouble> {
        if members.iter().all(|m| self.slots[usize::from(m.0)].link.is_some()) {
            return Ok(());
        }
        self.work_done(members).await?;
        let missing: Vec<MemberId> = members
            .iter()
            .copied()
            .filter(|m| self.view.is_enabled(*m) && self.slots[usize::from(m.0)].link.is_none())
            .collect();
        let opening: Vec<_> = missing.iter().map(|m| self.opening(*m)).collect::<Result<_, _>>()?;
        let opened = self.drive(futures::future::join_all(opening)).await;
        for (member, result) in missing.iter().copied().zip(opened) {
            match result {
                Ok(opened) => {
                    self.adopt_link(member, opened);
                }
                Err(error) => self.connect_failed(member, error).await?,
            }
        }
        self.settings_repeated(&missing).await
    }

    /// Waits while a lost connection's member is judged or its connection is being opened again: only one of us may open it.
    async fn work_done(&mut self, members: &[MemberId]) -> Result<(), Trouble> {
        std::future::poll_fn(|cx| {
            self.poll_background(cx);
            if let Err(trouble) = self.check_lead() {
                return Poll::Ready(Err(trouble));
            }
            let busy = |m: &MemberId| {
                let slot = &self.slots[usize::from(m.0)];
                self.view.is_enabled(*m) && slot.link.is_none() && (slot.work.is_some() || slot.lost)
            };
            if self.view.down || !members.iter().any(busy) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// The first connection, to the lead: what it reports is what the client is told.
    ///
    /// # Errors
    /// As [`Session::ensure_links`].
    pub(crate) async fn first_link(&mut self) -> Result<Reported, Trouble> {
        loop {
            if self.view.down {
                return Err(SqlError::no_member().into());
            }
            let lead = self.view.lead;
            let opening = self.opening(lead)?;
            match self.drive(opening).await {
                // It has left meanwhile: the next one.
                Ok(opened) if !self.view.is_enabled(lead) => drop(self.adopt_link(lead, opened)),
                Ok(opened) => {
                    let reported = self.adopt_link(lead, opened);
                    self.reported = reported.clone();
                    self.told = reported.clone();
                    // Another role than the proxy's own, or start-up options, may mean another search path.
                    let own = self.identity.login.is_some()
                        || self.identity.parameters.iter().any(|(name, _)| name == "options" || name == "search_path");
                    if own {
                        self.read_meaning_surely().await;
                    }
                    return Ok(reported);
                }
                Err(error) => self.connect_failed(lead, error).await?,
            }
        }
    }

    /// A future that opens a connection; it does not borrow the session.
    pub(crate) fn opening(
        &self,
        member: MemberId,
    ) -> Result<impl Future<Output = Result<Opened, ConnectError>> + Send + use<>, SqlError> {
        let database: Arc<VirtualDatabase> = self.database.clone();
        let Some(permit) = database.member(member).slot() else {
            let limit = database.member(member).connections_max();
            return Err(SqlError::new(
                "53300",
                format!(
                    "too many connections to member \"{}\": the limit is {limit}",
                    database.member(member).target.name
                ),
                "Close sessions, or raise max_connections_per_member and the member's max_connections.",
            ));
        };
        let login = self.identity.login.clone();
        let parameters = self.identity.parameters.clone();
        Ok(async move {
            let target = database.member(member);
            let login = login.as_ref().unwrap_or(&target.login);
            let within = database.settings.member_timeout;
            let (link, reported) = connect::connect(&target.target, login, &parameters, MEMBER_FRAMES, within).await?;
            database.faults.reach(FaultPoint::SessionConnected).await;
            Ok(Opened { link, permit, reported })
        })
    }

    /// Takes a new connection into use: it gets the session's settings first. Returns what the member reported.
    ///
    /// Whatever was open on an earlier connection is gone with it: the follower machine starts the transcript anew.
    pub(crate) fn adopt_link(&mut self, member: MemberId, opened: Opened) -> Reported {
        let Opened { mut link, permit, reported } = opened;
        if self.slot(member).link.is_some() || !self.view.is_enabled(member) {
            // There is one already; it may hold a transaction and stays. Or the member has left: when it is back, this one will
            // have been ended.
            tokio::spawn(link.close());
            return reported;
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.lead == member && open.lead_begun) {
            // Without its BEGIN. Whatever is sent here would be committed by itself, on this member alone.
            let error = || SqlError::retry("its connection to the lead was lost, and with it its locks");
            open.doomed.get_or_insert_with(error);
        }
        self.handle.add_pid(member, link.pid());
        for sql in self.settings.journal() {
            link.simple(&[sql], Owner::Repeated);
        }
        let lacks_temporary = self.new_link_lacks_temporary();
        let slot = self.slot(member);
        slot.lacks_temporary = lacks_temporary;
        slot.holds_cursors = false;
        slot.locks = SlotLocks::default();
        slot.refused = None;
        slot.link = Some(link);
        slot.permit = Some(permit);
        slot.units.clear();
        if slot.cursor.begun() && !slot.commit_elsewhere() {
            slot.cursor.reconnected();
        }
        slot.lost = false;
        slot.last_down = false;
        reported
    }

    async fn connect_failed(&mut self, member: MemberId, error: ConnectError) -> Result<(), Trouble> {
        if let ConnectError::Server { sqlstate, frame, .. } = &error
            && !matches!(sqlstate, [b'5', b'7', b'P', ..] | [b'5', b'8', ..] | [b'X', b'X', ..])
        {
            // Wrong password, unknown role, too many connections: the client's answer, not the member's fault.
            return Err(Trouble::Answer(Bytes::copy_from_slice(frame)));
        }
        let database = self.database.clone();
        let detail = format!("connecting for a session: {error}");
        let judged = self.drive(async move { database.suspect(member, detail).await }).await;
        match judged {
            FaultOutcome::Disabled | FaultOutcome::Leaving => {
                self.view_without(member).await;
                Ok(())
            }
            FaultOutcome::Last | FaultOutcome::WritesStopped => Err(SqlError::no_member().into()),
            FaultOutcome::Alive => Err(SqlError::new(
                "08001",
                format!("cannot connect to member \"{}\": {error}", self.database.member(member).target.name),
                "Try again; the member answers the proxy's own connection.",
            )
            .into()),
        }
    }

    /// Waits until the view has no `member` any more.
    pub(crate) async fn view_without(&mut self, member: MemberId) {
        std::future::poll_fn(|cx| {
            self.poll_background(cx);
            if self.view.is_enabled(member) { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
    }

    /// A link broke: drop it, and have the member judged.
    pub(crate) fn link_lost(&mut self, member: MemberId, detail: String) {
        let slot = self.slot(member);
        // In any case: who polls a broken link again and again gets nowhere.
        slot.link = None;
        slot.locks = SlotLocks::default();
        slot.permit = None;
        slot.units.clear();
        if slot.lost {
            return;
        }
        slot.deadline = None;
        let commit_unknown = matches!(slot.commit, CommitState::Sent { .. }) && !slot.commit_elsewhere();
        self.judge_loss(member, detail, commit_unknown);
    }

    /// Has a member judged to which a connection was lost.
    pub(crate) fn judge_loss(&mut self, member: MemberId, detail: String, commit_unknown: bool) {
        let database = self.database.clone();
        let slot = self.slot(member);
        slot.lost = true;
        slot.work = Some(Box::pin(async move {
            // Judged in a task of its own, so that a session that ends meanwhile does not stop it.
            let judge = tokio::spawn(async move {
                let outcome = database.suspect(member, detail.clone()).await;
                if commit_unknown && outcome == FaultOutcome::Alive {
                    // Whether its COMMIT took effect is unknown, so it cannot be counted on.
                    let reason = raidb_core::member::Reason::LostConnection;
                    return database.fault(member, reason, format!("{detail} during COMMIT")).await;
                }
                outcome
            });
            WorkDone::Judged(judge.await.unwrap_or(FaultOutcome::WritesStopped))
        }));
        // It begins when it is polled, and nothing else need come that would have the session polled.
        self.handle.wake();
    }

    /// The session ends: cancel what still runs (it would hold locks, perhaps for ever), close the rest.
    pub(crate) fn close_links(&mut self) {
        for slot in &mut self.slots {
            if let Some(link) = slot.link.take() {
                abandon(link);
            }
        }
    }
}

/// Gives a connection up. What still runs there is cancelled: it would hold its locks, perhaps for ever.
fn abandon(link: Link) {
    let cancel = link.busy().then(|| link.cancel_key());
    tokio::spawn(async move {
        if let Some(key) = cancel {
            cancel::cancel(key).await;
        }
        link.close().await;
    });
}
