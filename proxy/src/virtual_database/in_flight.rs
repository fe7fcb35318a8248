//! Commits that were sent to members and are not finished on all of them.
//!
//! Two rules read this (DESIGN.md §3 rule 2, §6): a follower's statement waits there for the commits that had been
//! sent before the lead answered it and that touch the same rows; a strict read waits on its member for the commits
//! that touch what it reads.
//!
//! **Order.** A ticket is registered *before* COMMIT leaves for any member. So whoever sees an effect of a commit on one
//! member (the lead's answer to a statement that waited for its lock, a row read) finds the ticket here, or all members
//! have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use raidb_core::ids::{CommitSeq, MemberId};
use raidb_core::sql::footprint::Footprint;

use super::handles::SessionHandle;

/// One commit in flight.
#[derive(Debug)]
pub struct Ticket {
    /// Its number.
    pub seq: CommitSeq,
    footprint: Footprint,
    /// Bit n: not finished on member n.
    pending: AtomicU32,
    /// Sessions to wake when a bit is cleared.
    waiters: Mutex<Vec<Arc<SessionHandle>>>,
}

impl Ticket {
    /// Whether it is unfinished on `member`.
    #[must_use]
    pub fn pending_on(&self, member: MemberId) -> bool {
        self.pending.load(Ordering::Acquire) & (1 << member.0) != 0
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

/// All commits in flight of one virtual database.
#[derive(Debug, Default)]
pub struct InFlight {
    tickets: Mutex<Vec<Arc<Ticket>>>,
    next: AtomicU64,
}

impl InFlight {
    /// Registers a commit; call before the first COMMIT is written to any socket.
    #[must_use]
    pub fn register(&self, footprint: Footprint, members: u32) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket {
            seq: CommitSeq(self.next.fetch_add(1, Ordering::Relaxed)),
            footprint,
            pending: AtomicU32::new(members),
            waiters: Mutex::new(Vec::new()),
        });
        self.tickets.lock().push(ticket.clone());
        ticket
    }

    /// The commit is finished on `member`.
    pub fn finished(&self, ticket: &Ticket, member: MemberId) {
        if ticket.clear(1 << member.0) {
            self.tickets.lock().retain(|t| t.seq != ticket.seq);
        }
    }

    /// The commit is over, whatever came of it (its session ends): nobody waits for it any more.
    pub fn abandon(&self, ticket: &Ticket) {
        ticket.clear(u32::MAX);
        self.tickets.lock().retain(|t| t.seq != ticket.seq);
    }

    /// A member is out: nobody waits for commits there.
    pub fn member_gone(&self, member: MemberId) {
        let tickets: Vec<_> = self.tickets.lock().clone();
        for ticket in tickets {
            self.finished(&ticket, member);
        }
    }

    /// Commits in flight that may touch what `footprint` touches, on whatever member.
    #[must_use]
    pub fn conflicting(&self, footprint: &Footprint) -> Vec<Arc<Ticket>> {
        self.tickets.lock().iter().filter(|t| t.footprint.conflicts(footprint)).cloned().collect()
    }

    /// All commits in flight on `member`.
    #[must_use]
    pub fn all_on(&self, member: MemberId) -> Vec<Arc<Ticket>> {
        self.tickets.lock().iter().filter(|t| t.pending_on(member)).cloned().collect()
    }
}
