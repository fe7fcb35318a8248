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
//! **Nobody is decided out of order.** [`InFlight::register`] looks whether a commit on the same rows was registered since the
//! lead answered this transaction ([`raidb_core::transaction::overtaking`]), and waits for intents on the same rows that
//! stand in the log already and may still be withdrawn: a member that has carried out the later one would get the earlier
//! one on top of it from the log, the others below it.
//!
//! **All readers see one order.** Two commits on different rows reach members in different orders, and two reads of both, each on a
//! member of its own, could each see the one that the other does not (a long fork). So commits *leave* one behind the other
//! ([`InFlight::leave`]) as long as somebody reads who may see both: what he sees is then all that left before some moment. He
//! is a reader from the moment at which he looks whom he has to wait for ([`InFlight::reads`]), so whatever left before is there
//! when he is sent.
//!
//! **A member that comes back** gets what it missed from the log ([`crate::rejoin`]). While it is *followed*
//! ([`InFlight::follow`]), every new ticket is pending on it too, though its session does not commit there: the bit is
//! cleared when the log has been applied up to the ticket's position. So statements and reads that reach the member wait
//! for what it still misses, like for any commit in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use raidb_core::ids::{CommitSeq, MemberId};
use raidb_core::log::Position;
use raidb_core::sql::footprint::Footprint;
use raidb_core::transaction::overtaking::{Order, Registered, Seen};

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
    closed: AtomicBool,
    /// Its COMMIT is on its way to members, or about to be.
    left: AtomicBool,
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

/// An intent that is written, or being written, and does not count yet: see [`InFlight::begin_provisional`].
#[derive(Debug)]
struct Provisional {
    id: ProvisionalId,
    footprint: Footprint,
}

/// Number of an intent that does not count yet, in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProvisionalId(u64);

/// A statement that reads on a member, and may not have its snapshot yet.
#[derive(Debug)]
struct Reader {
    id: ReaderId,
    member: MemberId,
    footprint: Footprint,
    /// It has waited for commits before this one.
    from: CommitSeq,
}

/// Number of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderId(u64);

#[derive(Debug, Default)]
struct Inner {
    tickets: Vec<Arc<Ticket>>,
    registered: Registered,
    followed: Vec<Followed>,
    provisional: Vec<Provisional>,
    next_provisional: u64,
    /// Commits that are registered, and may still turn out to have lost their locks before.
    unproven: Vec<(CommitSeq, Footprint)>,
    readers: Vec<Reader>,
    next_reader: u64,
    /// Sessions that wait for one of either kind to end.
    waiting: Vec<Arc<SessionHandle>>,
}

/// All commits in flight of one virtual database.
#[derive(Debug, Default)]
pub struct InFlight {
    inner: Mutex<Inner>,
}

/// A transaction that is about to be decided.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// What it writes.
    pub footprint: Footprint,
    /// What it has seen.
    pub seen: &'a Seen,
    /// Bit n: its session commits on member n.
    pub members: u32,
    /// Its own intent, if that stands in the log already.
    pub provisional: Option<ProvisionalId>,
    /// The lead may still refuse its COMMIT.
    pub certified: bool,
}

/// See [`InFlight::doubts`].
#[derive(Debug)]
pub struct Doubts {
    commits: Vec<CommitSeq>,
    early: Vec<ProvisionalId>,
}

/// What came of a registration.
#[derive(Debug)]
pub enum Registration {
    /// It is in flight.
    Registered {
        /// The commit.
        ticket: Arc<Ticket>,
        /// That nobody has overtaken it is certain; otherwise the lead has to be asked, behind this.
        order_kept: bool,
    },
    /// The session's view is not the present one.
    OldView,
    /// An intent on the same rows may still be withdrawn: the session is woken when one was.
    Waits,
    /// Somebody has got its rows since the lead answered: its locks are lost.
    Overtaken,
}

impl InFlight {
    /// Registers a commit; call before the first COMMIT is written to any socket. `current` says, under the lock that a change
    /// of members takes too, whether the session's view is the present one.
    #[must_use]
    pub fn register(
        &self,
        candidate: Candidate<'_>,
        session: &Arc<SessionHandle>,
        current: impl FnOnce() -> bool,
    ) -> Registration {
        let Candidate { footprint, seen, members, provisional, certified } = candidate;
        let mut inner = self.inner.lock();
        if !current() {
            return Registration::OldView;
        }
        // Ids order these waits, so no two wait for each other; and who stands in the log waits for nobody who is not
        // registered, except for a lock on a follower: then one of the two has lost its connection to the lead, and is
        // about to be rolled back.
        let before = |other: &Provisional| provisional.is_none_or(|own| other.id < own);
        if inner.provisional.iter().any(|other| before(other) && other.footprint.conflicts(&footprint)) {
            if !inner.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, session)) {
                inner.waiting.push(session.clone());
            }
            return Registration::Waits;
        }
        let order = inner.registered.order(seen);
        if order == Order::Overtaken {
            return Registration::Overtaken;
        }
        let followed = inner.followed.iter().fold(0, |mask, f| mask | 1 << f.member.0);
        let ticket = Arc::new(Ticket {
            seq: inner.registered.add(footprint.clone(), seen.is_exact()),
            footprint,
            own: members,
            pending: AtomicU32::new(members | followed),
            done: AtomicU32::new(0),
            position: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            left: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
        });
        inner.tickets.push(ticket.clone());
        if certified || order != Order::Kept {
            inner.unproven.push((ticket.seq, ticket.footprint.clone()));
        }
        // From here on the ticket stands for its intent: whoever gets its rows has it in his barrier.
        if let Some(own) = provisional {
            end_provisional(&mut inner, own);
        }
        Registration::Registered { ticket, order_kept: order == Order::Kept }
    }

    /// An intent is about to be written before its transaction is agreed on. `None`: not now, and it is written when it is.
    ///
    /// Such an intent may still be withdrawn, and its session may wait for a member meanwhile. So there is none while the log
    /// is applied to a member that comes back: nobody is waited for ([`InFlight::follow`]) whom that holds up, and
    /// nothing is redone on the last member that may still be withdrawn. And there is none unless it is certain that nobody has
    /// overtaken the transaction. `current`: as for [`InFlight::register`].
    #[must_use]
    pub fn begin_provisional(
        &self,
        footprint: Footprint,
        seen: &Seen,
        current: impl FnOnce() -> bool,
    ) -> Option<ProvisionalId> {
        let mut inner = self.inner.lock();
        if !inner.followed.is_empty() || !current() || inner.registered.order(seen) != Order::Kept {
            return None;
        }
        let id = ProvisionalId(inner.next_provisional);
        inner.next_provisional += 1;
        inner.provisional.push(Provisional { id, footprint });
        Some(id)
    }

    /// It is certain that the commit's locks were held when it was registered; or it was withdrawn, durably.
    pub fn proved(&self, ticket: &Ticket) {
        let mut inner = self.inner.lock();
        let before = inner.unproven.len();
        inner.unproven.retain(|(seq, _)| *seq != ticket.seq);
        if inner.unproven.len() != before {
            inner.waiting.drain(..).for_each(|session| session.wake());
        }
    }

    /// For whom a COMMIT has to wait: intents on the same rows that may still be withdrawn, whose sessions have perhaps lost their
    /// locks to this one. (In the log they may stand before this one, so a member that has carried out this one would get
    /// them on top, behind a crash.) Call once, when its own intent is durable: whoever comes later stands behind it in the
    /// log. No two wait for each other: to be proved takes an answer of the lead alone. Of two that the lead certifies by
    /// its COMMIT the later one waits.
    #[must_use]
    pub fn doubts(&self, ticket: &Ticket) -> Doubts {
        let inner = self.inner.lock();
        let own = inner.unproven.iter().any(|(seq, _)| *seq == ticket.seq);
        let meets = |(seq, footprint): &&(CommitSeq, Footprint)| {
            *seq != ticket.seq && (!own || *seq < ticket.seq) && footprint.conflicts(&ticket.footprint)
        };
        let commits = inner.unproven.iter().filter(meets).map(|(seq, _)| *seq).collect();
        let early = inner.provisional.iter().filter(|other| other.footprint.conflicts(&ticket.footprint));
        Doubts { commits, early: early.map(|other| other.id).collect() }
    }

    /// Whether they are settled; if not, the session is woken when one is.
    #[must_use]
    pub fn settled(&self, doubts: &mut Doubts, session: &Arc<SessionHandle>) -> bool {
        if doubts.commits.is_empty() && doubts.early.is_empty() {
            return true;
        }
        let mut inner = self.inner.lock();
        doubts.commits.retain(|seq| inner.unproven.iter().any(|(other, _)| other == seq));
        doubts.early.retain(|id| inner.provisional.iter().any(|other| other.id == *id));
        let settled = doubts.commits.is_empty() && doubts.early.is_empty();
        if !settled && !inner.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, session)) {
            inner.waiting.push(session.clone());
        }
        settled
    }

    /// It was withdrawn, durably.
    pub fn end_provisional(&self, id: ProvisionalId) {
        end_provisional(&mut self.inner.lock(), id);
    }

    /// Whether an intent in the log may still be withdrawn. Once no it stays so as long as a member is followed, or none
    /// answers.
    #[must_use]
    pub fn any_provisional(&self) -> bool {
        !self.inner.lock().provisional.is_empty()
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

    /// The commit is over without effect, for certain.
    pub fn void(&self, ticket: &Ticket) {
        self.inner.lock().registered.forget(ticket.seq);
        self.proved(ticket);
        self.abandon(ticket);
    }

    /// The commit is over, and nobody knows with what effect: nobody waits for it any more.
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

    /// As [`InFlight::conflicting`], with the number of the next commit.
    #[must_use]
    pub fn barrier(&self, footprint: &Footprint) -> (Vec<Arc<Ticket>>, CommitSeq) {
        let inner = self.inner.lock();
        let tickets = inner.tickets.iter().filter(|t| t.footprint.conflicts(footprint)).cloned().collect();
        (tickets, inner.registered.next())
    }

    /// Commits in flight that may touch what `footprint` touches, on whatever member.
    #[must_use]
    pub fn conflicting(&self, footprint: &Footprint) -> Vec<Arc<Ticket>> {
        self.inner.lock().tickets.iter().filter(|t| t.footprint.conflicts(footprint)).cloned().collect()
    }

    /// A statement is about to read on `member`: the commits that it must wait for there, and its number. Up to
    /// [`InFlight::has_read`] commits that it could see leave in one order.
    #[must_use]
    pub fn reads(&self, member: MemberId, footprint: &Footprint) -> (Vec<Arc<Ticket>>, ReaderId) {
        let mut inner = self.inner.lock();
        let meets = |t: &&Arc<Ticket>| t.pending_on(member) && t.footprint.conflicts(footprint);
        let tickets = inner.tickets.iter().filter(meets).cloned().collect();
        let id = ReaderId(inner.next_reader);
        inner.next_reader += 1;
        let from = inner.registered.next();
        inner.readers.push(Reader { id, member, footprint: footprint.clone(), from });
        (tickets, id)
    }

    /// It has its snapshot, or is over.
    pub fn has_read(&self, id: ReaderId) {
        self.inner.lock().readers.retain(|reader| reader.id != id);
    }

    /// Whether the commit's turn has come to leave for the members: nobody reads who could see it, and not one that left before it.
    /// If not, the session is woken when one of those is finished on a member. Call when it is decided and nothing but this
    /// keeps it back: who has left waits for nobody but the members. `alone`: there is but one member, which shows one order.
    #[must_use]
    pub fn leave(&self, ticket: &Ticket, session: &Arc<SessionHandle>, alone: bool) -> bool {
        let inner = self.inner.lock();
        let mut free = true;
        let sees = |reader: &Reader, ticket: &Ticket| {
            reader.from <= ticket.seq
                && ticket.pending_on(reader.member)
                && reader.footprint.conflicts(&ticket.footprint)
        };
        for reader in inner.readers.iter().filter(|reader| !alone && sees(reader, ticket)) {
            for other in &inner.tickets {
                let before = other.seq != ticket.seq && other.left.load(Ordering::Acquire);
                if before && sees(reader, other) {
                    other.watch(session);
                    // It may have been finished in between, and wake nobody any more.
                    free &= !other.pending_on(reader.member);
                }
            }
        }
        if free {
            ticket.left.store(true, Ordering::Release);
        }
        free
    }

    /// All commits in flight on `member`.
    #[must_use]
    pub fn all_on(&self, member: MemberId) -> Vec<Arc<Ticket>> {
        self.inner.lock().tickets.iter().filter(|t| t.pending_on(member)).cloned().collect()
    }
}

fn end_provisional(inner: &mut Inner, id: ProvisionalId) {
    inner.provisional.retain(|other| other.id != id);
    inner.waiting.drain(..).for_each(|session| session.wake());
}

#[cfg(test)]
#[path = "in_flight_test.rs"]
mod tests;
