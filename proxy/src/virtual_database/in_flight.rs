//! Commits that were sent to members and are not finished on all of them.
//!
//! Two rules read this (DESIGN.md §3 rule 2, §6): a follower's statement waits there for the commits that had been
//! sent before the lead answered it and that touch the same rows; a strict read waits on its member for the commits
//! that touch what it reads.
//!
//! **Order.** A ticket is registered *before* COMMIT leaves for any member. So whoever sees an effect of a commit on one
//! member (the lead's answer to a statement that waited for its lock, a row read) finds the ticket here, or all members
//! have it.
//!
//! **A member that comes back** gets what it missed from the log ([`crate::rejoin`]). While it is *followed*
//! ([`InFlight::follow`]), every new ticket is pending on it too, though its session does not commit there: the bit is
//! cleared when the log has been applied up to the ticket's position. So statements and reads that reach the member wait
//! for what it still misses, like for any commit in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use raidb_core::ids::{CommitSeq, MemberId};
use raidb_core::log::Position;
use raidb_core::sql::footprint::Footprint;

use super::handles::SessionHandle;

/// One commit in flight.
#[derive(Debug)]
pub struct Ticket {
    /// Its number.
    pub seq: CommitSeq,
    footprint: Footprint,
    /// Bit n: its session commits on member n.
    own: u32,
    /// Bit n: not finished on member n.
    pending: AtomicU32,
    /// Bit n: member n has answered that it committed.
    done: AtomicU32,
    /// Position of its intent; 0 as long as that is not known.
    position: AtomicU64,
    /// Its session has done its part.
    closed: std::sync::atomic::AtomicBool,
    /// Sessions to wake when a bit is cleared.
    waiters: Mutex<Vec<Arc<SessionHandle>>>,
}

impl Ticket {
    /// Whether it is unfinished on `member`.
    #[must_use]
    pub fn pending_on(&self, member: MemberId) -> bool {
        self.pending.load(Ordering::Acquire) & (1 << member.0) != 0
    }

    /// Whether `member` has answered that it committed.
    #[must_use]
    pub fn done_on(&self, member: MemberId) -> bool {
        self.done.load(Ordering::Acquire) & (1 << member.0) != 0
    }

    /// Whether its session commits on `member`.
    #[must_use]
    pub fn commits_on(&self, member: MemberId) -> bool {
        self.own & (1 << member.0) != 0
    }

    /// Whether its session has done its part, whatever came of it.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Position of its intent, if there is one.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position(self.position.load(Ordering::Acquire))).filter(|p| *p != Position::START)
    }

    /// Has the session woken at the next change. Check [`Ticket::pending_on`] again behind this call.
    pub fn watch(&self, session: &Arc<SessionHandle>) {
        let mut waiters = self.waiters.lock();
        if !waiters.iter().any(|w| Arc::ptr_eq(w, session)) {
            waiters.push(session.clone());
        }
    }

    /// Clears bits; true if none is left.
    fn clear(&self, mask: u32) -> bool {
        let left = self.pending.fetch_and(!mask, Ordering::AcqRel) & !mask;
        for waiter in self.waiters.lock().drain(..) {
            waiter.wake();
        }
        left == 0
    }
}

/// A member that gets from the log what it missed.
#[derive(Clone, Copy, Debug)]
struct Followed {
    member: MemberId,
    /// Everything up to here is on it, except what sessions commit there themselves.
    applied: Position,
}

#[derive(Debug, Default)]
struct Inner {
    tickets: Vec<Arc<Ticket>>,
    followed: Vec<Followed>,
    /// Intents that are written, or being written, and do not count yet: see [`InFlight::begin_provisional`].
    provisional: usize,
}

/// All commits in flight of one virtual database.
#[derive(Debug, Default)]
pub struct InFlight {
    inner: Mutex<Inner>,
    next: AtomicU64,
}

impl InFlight {
    /// Registers a commit on `members`; call before the first COMMIT is written to any socket. `None`: `current` says,
    /// under the lock that a change of members takes too, that the session's view is not the present one.
    #[must_use]
    pub fn register(&self, footprint: Footprint, members: u32, current: impl FnOnce() -> bool) -> Option<Arc<Ticket>> {
        let mut inner = self.inner.lock();
        if !current() {
            return None;
        }
        let followed = inner.followed.iter().fold(0, |mask, f| mask | 1 << f.member.0);
        let ticket = Arc::new(Ticket {
            seq: CommitSeq(self.next.fetch_add(1, Ordering::Relaxed)),
            footprint,
            own: members,
            pending: AtomicU32::new(members | followed),
            done: AtomicU32::new(0),
            position: AtomicU64::new(0),
            closed: std::sync::atomic::AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
        });
        inner.tickets.push(ticket.clone());
        Some(ticket)
    }

    /// An intent is about to be written before its transaction is agreed on. False: not now, and it is written when it is.
    ///
    /// Such an intent may still be withdrawn, and its session may wait for a member meanwhile. So there is none while the log
    /// is applied to a member that comes back: nobody is waited for ([`InFlight::follow`]) whom that holds up, and
    /// nothing is redone on the last member that may still be withdrawn. `current`: as for [`InFlight::register`].
    #[must_use]
    pub fn begin_provisional(&self, current: impl FnOnce() -> bool) -> bool {
        let mut inner = self.inner.lock();
        let may = inner.followed.is_empty() && current();
        inner.provisional += usize::from(may);
        may
    }

    /// It counts, with a ticket that is registered; or it is withdrawn, durably.
    pub fn end_provisional(&self) {
        let mut inner = self.inner.lock();
        inner.provisional = inner.provisional.saturating_sub(1);
    }

    /// Whether an intent in the log may still be withdrawn. Once no it stays so as long as a member is followed, or none
    /// answers.
    #[must_use]
    pub fn any_provisional(&self) -> bool {
        self.inner.lock().provisional > 0
    }

    /// The intent is durable, at this position.
    pub fn positioned(&self, ticket: &Ticket, position: Position) {
        let inner = self.inner.lock();
        ticket.position.store(position.0, Ordering::Release);
        for followed in inner.followed.iter().filter(|f| position <= f.applied && !ticket.commits_on(f.member)) {
            ticket.clear(1 << followed.member.0);
        }
    }

    /// The commit is finished on `member`.
    pub fn finished(&self, ticket: &Ticket, member: MemberId) {
        ticket.done.fetch_or(1 << member.0, Ordering::AcqRel);
        if ticket.clear(1 << member.0) {
            self.inner.lock().tickets.retain(|t| t.seq != ticket.seq);
        }
    }

    /// The commit took effect on all members that its session commits on.
    pub fn committed(&self, ticket: &Ticket) {
        let mut inner = self.inner.lock();
        ticket.closed.store(true, Ordering::Release);
        let followed = inner.followed.iter().fold(0, |mask, f| mask | 1 << f.member.0);
        let missing = if ticket.position().is_some() { followed & !ticket.own } else { 0 };
        if ticket.clear(!missing) {
            inner.tickets.retain(|t| t.seq != ticket.seq);
        }
    }

    /// The commit is over without effect, or its session ends: nobody waits for it any more.
    pub fn abandon(&self, ticket: &Ticket) {
        let mut inner = self.inner.lock();
        ticket.closed.store(true, Ordering::Release);
        ticket.clear(u32::MAX);
        inner.tickets.retain(|t| t.seq != ticket.seq);
    }

    /// A member is out: nobody waits for commits there. `change` takes it out of the view, under the same lock as
    /// [`InFlight::register`], so that no later ticket waits for it.
    pub fn member_gone<R>(&self, member: MemberId, change: impl FnOnce() -> R) -> R {
        let mut inner = self.inner.lock();
        let result = change();
        inner.followed.retain(|f| f.member != member);
        inner.tickets.retain(|ticket| !(ticket.clear(1 << member.0) && ticket.closed()));
        result
    }

    /// From now on every new ticket is pending on `member` too. Returns those that are not.
    #[must_use]
    pub fn follow(&self, member: MemberId) -> Vec<Arc<Ticket>> {
        let mut inner = self.inner.lock();
        inner.followed.retain(|f| f.member != member);
        inner.followed.push(Followed { member, applied: Position::START });
        inner.tickets.clone()
    }

    /// All commits in flight.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Ticket>> {
        self.inner.lock().tickets.clone()
    }

    /// A followed member becomes part of the view: `change` publishes that, under the same lock as
    /// [`InFlight::register`]. Returns the tickets whose sessions do not commit on it.
    #[must_use]
    pub fn join(&self, member: MemberId, change: impl FnOnce()) -> Vec<Arc<Ticket>> {
        let inner = self.inner.lock();
        change();
        inner.tickets.iter().filter(|t| !t.commits_on(member)).cloned().collect()
    }

    /// The log was applied on a followed member up to here.
    pub fn applied(&self, member: MemberId, position: Position) {
        let mut inner = self.inner.lock();
        for followed in inner.followed.iter_mut().filter(|f| f.member == member) {
            followed.applied = position;
        }
        inner.tickets.retain(|ticket| {
            let done = ticket.position().is_some_and(|p| p <= position) && !ticket.commits_on(member);
            !(done && ticket.clear(1 << member.0) && ticket.closed())
        });
    }

    /// The member holds everything: it is a member like the others.
    pub fn caught_up(&self, member: MemberId) {
        let mut inner = self.inner.lock();
        inner.followed.retain(|f| f.member != member);
        inner.tickets.retain(|ticket| !(!ticket.commits_on(member) && ticket.clear(1 << member.0) && ticket.closed()));
    }

    /// Commits in flight that may touch what `footprint` touches, on whatever member.
    #[must_use]
    pub fn conflicting(&self, footprint: &Footprint) -> Vec<Arc<Ticket>> {
        self.inner.lock().tickets.iter().filter(|t| t.footprint.conflicts(footprint)).cloned().collect()
    }

    /// All commits in flight on `member`.
    #[must_use]
    pub fn all_on(&self, member: MemberId) -> Vec<Arc<Ticket>> {
        self.inner.lock().tickets.iter().filter(|t| t.pending_on(member)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK: MemberId = MemberId(2);

    fn register(commits: &InFlight, members: u32) -> Arc<Ticket> {
        commits.register(Footprint::Everything, members, || true).unwrap()
    }

    /// A session that decides by an old view would commit without the member that has just joined.
    #[test]
    fn a_stale_view_registers_nothing() {
        let commits = InFlight::default();
        assert!(commits.register(Footprint::Everything, 0b011, || false).is_none());
        assert!(commits.all().is_empty());
    }

    /// What the log still has to bring to a member holds up what conflicts with it there, also behind its own session.
    #[test]
    fn a_commit_without_a_followed_member_is_pending_there_until_the_log_brings_it() {
        let commits = InFlight::default();
        let before = register(&commits, 0b011);
        assert_eq!(commits.follow(BACK).len(), 1);
        assert!(!before.pending_on(BACK), "it was registered before: it is waited for");
        let during = register(&commits, 0b011);
        commits.positioned(&during, Position(7));
        commits.committed(&during);
        assert!(during.closed() && during.pending_on(BACK));
        assert_eq!(commits.conflicting(&Footprint::Everything).len(), 2);
        commits.applied(BACK, Position(6));
        assert!(during.pending_on(BACK));
        commits.applied(BACK, Position(7));
        assert!(!during.pending_on(BACK));
        assert_eq!(commits.all().len(), 1, "only the one that is still open");
    }

    /// The log may bring an intent before its own session knows its position.
    #[test]
    fn applied_before_its_position_is_known() {
        let commits = InFlight::default();
        let _none = commits.follow(BACK);
        let ticket = register(&commits, 0b011);
        commits.applied(BACK, Position(9));
        assert!(ticket.pending_on(BACK));
        commits.positioned(&ticket, Position(9));
        assert!(!ticket.pending_on(BACK));
    }

    /// Behind the join a session commits on the member itself: the log's progress says nothing about that.
    #[test]
    fn the_log_does_not_finish_what_a_session_brings() {
        let commits = InFlight::default();
        let _none = commits.follow(BACK);
        let other = register(&commits, 0b011);
        assert_eq!(commits.join(BACK, || ()).len(), 1);
        let own = register(&commits, 0b111);
        commits.positioned(&own, Position(4));
        commits.applied(BACK, Position(5));
        commits.caught_up(BACK);
        assert!(own.pending_on(BACK), "its COMMIT there has not been answered");
        assert!(!other.pending_on(BACK));
        commits.finished(&own, BACK);
        assert!(!own.pending_on(BACK));
    }

    #[test]
    fn nothing_provisional_while_a_member_is_followed_or_the_view_is_old() {
        let commits = InFlight::default();
        assert!(!commits.begin_provisional(|| false));
        assert!(!commits.any_provisional());
        assert!(commits.begin_provisional(|| true));
        let _none = commits.follow(BACK);
        assert!(commits.any_provisional(), "it is waited for");
        assert!(!commits.begin_provisional(|| true));
        commits.end_provisional();
        assert!(!commits.any_provisional());
        commits.caught_up(BACK);
        assert!(commits.begin_provisional(|| true));
    }

    #[test]
    fn a_member_that_is_gone_is_waited_for_by_nobody() {
        let commits = InFlight::default();
        let _none = commits.follow(BACK);
        let ticket = register(&commits, 0b011);
        commits.positioned(&ticket, Position(3));
        commits.committed(&ticket);
        commits.member_gone(BACK, || ());
        assert!(commits.all().is_empty());
        commits.abandon(&register(&commits, 0b111));
        assert!(commits.all().is_empty());
    }
}
