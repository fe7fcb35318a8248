//! Commits in flight: mirrors `proxy/src/virtual_database/in_flight.rs`, without its locks and wake-ups. Whether somebody was
//! overtaken, and which footprints meet, the real `raidb-core` says.

use raidb_core::ids::CommitSeq;
use raidb_core::sql::footprint::Footprint;
use raidb_core::transaction::overtaking::{Order, Registered, Seen};

/// A member, as a number.
pub type Member = usize;

/// One commit in flight.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub footprint: Footprint,
    /// Bit n: its session commits on member n.
    pub own: u32,
    pending: u32,
    done: u32,
    position: u64,
    pub closed: bool,
    left: bool,
}

/// A member that gets from the log what it missed.
#[derive(Clone, Copy, Debug)]
struct Followed {
    member: Member,
    applied: u64,
}

/// A statement that reads.
#[derive(Clone, Debug)]
struct Reader {
    id: u64,
    member: Member,
    footprint: Footprint,
    from: CommitSeq,
}

/// See the module. Tickets are numbered from 0 and stay, so that a number is always good.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    tickets: Vec<Ticket>,
    /// Those that are not finished everywhere.
    active: Vec<CommitSeq>,
    registered: Registered,
    followed: Vec<Followed>,
    provisional: Vec<(u64, Footprint)>,
    next_id: u64,
    unproven: Vec<(CommitSeq, Footprint)>,
    readers: Vec<Reader>,
}

/// A transaction that is about to be decided.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub footprint: Footprint,
    pub seen: &'a Seen,
    pub members: u32,
    pub provisional: Option<u64>,
}

/// What came of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Registered { ticket: CommitSeq, order_kept: bool },
    OldView,
    Waits,
    Overtaken,
}

/// For whom a COMMIT has to wait.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    commits: Vec<CommitSeq>,
    early: Vec<u64>,
}

fn place(seq: CommitSeq) -> usize {
    usize::try_from(seq.0).unwrap_or(usize::MAX)
}

impl InFlight {
    fn get(&self, seq: CommitSeq) -> &Ticket {
        &self.tickets[place(seq)]
    }

    fn followed_mask(&self) -> u32 {
        self.followed.iter().fold(0, |mask, followed| mask | 1 << followed.member)
    }

    pub fn pending_on(&self, seq: CommitSeq, member: Member) -> bool {
        self.get(seq).pending & (1 << member) != 0
    }

    pub fn done_on(&self, seq: CommitSeq, member: Member) -> bool {
        self.get(seq).done & (1 << member) != 0
    }

    pub fn commits_on(&self, seq: CommitSeq, member: Member) -> bool {
        self.get(seq).own & (1 << member) != 0
    }

    pub fn is_closed(&self, seq: CommitSeq) -> bool {
        self.get(seq).closed
    }

    /// Whether none is unfinished on the member.
    pub fn clear_on(&self, barrier: &[CommitSeq], member: Member) -> bool {
        barrier.iter().all(|seq| !self.pending_on(*seq, member))
    }

    /// Clears bits; forgets it if none is left.
    fn clear(&mut self, seq: CommitSeq, mask: u32) {
        self.tickets[place(seq)].pending &= !mask;
    }

    fn sweep(&mut self, gone: impl Fn(&Ticket) -> bool) {
        let tickets = &self.tickets;
        self.active.retain(|seq| !gone(&tickets[place(*seq)]));
    }

    pub fn register(&mut self, candidate: Candidate<'_>, current: bool) -> Registration {
        let Candidate { footprint, seen, members, provisional } = candidate;
        if !current {
            return Registration::OldView;
        }
        let before = |id: u64| provisional.is_none_or(|own| id < own);
        if self.provisional.iter().any(|(id, other)| before(*id) && other.conflicts(&footprint)) {
            return Registration::Waits;
        }
        let order = self.registered.order(seen);
        if order == Order::Overtaken {
            return Registration::Overtaken;
        }
        let pending = members | self.followed_mask();
        let ticket = self.registered.add(footprint.clone(), seen.is_exact());
        self.tickets.push(Ticket {
            footprint: footprint.clone(),
            own: members,
            pending,
            done: 0,
            position: 0,
            closed: false,
            left: false,
        });
        self.active.push(ticket);
        if order != Order::Kept {
            self.unproven.push((ticket, footprint));
        }
        if let Some(own) = provisional {
            self.end_provisional(own);
        }
        Registration::Registered { ticket, order_kept: order == Order::Kept }
    }

    pub fn begin_provisional(&mut self, footprint: Footprint, seen: &Seen, current: bool) -> Option<u64> {
        if !self.followed.is_empty() || !current || self.registered.order(seen) != Order::Kept {
            return None;
        }
        self.next_id += 1;
        self.provisional.push((self.next_id, footprint));
        Some(self.next_id)
    }

    pub fn end_provisional(&mut self, id: u64) {
        self.provisional.retain(|(other, _)| *other != id);
    }

    pub fn any_provisional(&self) -> bool {
        !self.provisional.is_empty()
    }

    pub fn proved(&mut self, seq: CommitSeq) {
        self.unproven.retain(|(other, _)| *other != seq);
    }

    pub fn doubts(&self, seq: CommitSeq) -> Doubts {
        let own = self.unproven.iter().any(|(other, _)| *other == seq);
        let footprint = &self.get(seq).footprint;
        let meets = |(other, theirs): &&(CommitSeq, Footprint)| {
            *other != seq && (!own || *other < seq) && theirs.conflicts(footprint)
        };
        let commits = self.unproven.iter().filter(meets).map(|(other, _)| *other).collect();
        let early = self.provisional.iter().filter(|(_, theirs)| theirs.conflicts(footprint));
        Doubts { commits, early: early.map(|(id, _)| *id).collect() }
    }

    pub fn settled(&self, doubts: &mut Doubts) -> bool {
        doubts.commits.retain(|seq| self.unproven.iter().any(|(other, _)| other == seq));
        doubts.early.retain(|id| self.provisional.iter().any(|(other, _)| other == id));
        doubts.commits.is_empty() && doubts.early.is_empty()
    }

    pub fn positioned(&mut self, seq: CommitSeq, position: u64) {
        let ticket = &mut self.tickets[place(seq)];
        ticket.position = position;
        for followed in self.followed.iter().filter(|f| position <= f.applied && ticket.own & (1 << f.member) == 0) {
            ticket.pending &= !(1 << followed.member);
        }
    }

    pub fn finished(&mut self, seq: CommitSeq, member: Member) {
        self.tickets[place(seq)].done |= 1 << member;
        self.clear(seq, 1 << member);
        self.sweep(|ticket| ticket.pending == 0);
    }

    pub fn committed(&mut self, seq: CommitSeq) {
        let followed = self.followed_mask();
        let ticket = &mut self.tickets[place(seq)];
        ticket.closed = true;
        let missing = if ticket.position == 0 { 0 } else { followed & !ticket.own };
        ticket.pending &= missing;
        self.sweep(|ticket| ticket.pending == 0);
    }

    pub fn void(&mut self, seq: CommitSeq) {
        self.registered.forget(seq);
        self.proved(seq);
        self.abandon(seq);
    }

    pub fn abandon(&mut self, seq: CommitSeq) {
        let ticket = &mut self.tickets[place(seq)];
        ticket.closed = true;
        ticket.pending = 0;
        self.active.retain(|other| *other != seq);
    }

    /// A member is out; the view without it is published in the same moment.
    pub fn member_gone(&mut self, member: Member) {
        self.followed.retain(|f| f.member != member);
        self.tickets.iter_mut().for_each(|ticket| ticket.pending &= !(1 << member));
        self.sweep(|ticket| ticket.pending == 0 && ticket.closed);
    }

    pub fn follow(&mut self, member: Member) -> Vec<CommitSeq> {
        self.followed.retain(|f| f.member != member);
        self.followed.push(Followed { member, applied: 0 });
        self.active.clone()
    }

    /// The member is part of the view from this moment on.
    pub fn join(&self, member: Member) -> Vec<CommitSeq> {
        self.active.iter().copied().filter(|seq| !self.commits_on(*seq, member)).collect()
    }

    pub fn applied(&mut self, member: Member, position: u64) {
        for followed in self.followed.iter_mut().filter(|f| f.member == member) {
            followed.applied = position;
        }
        for ticket in &mut self.tickets {
            if ticket.position != 0 && ticket.position <= position && ticket.own & (1 << member) == 0 {
                ticket.pending &= !(1 << member);
            }
        }
        self.sweep(|ticket| ticket.pending == 0 && ticket.closed);
    }

    pub fn caught_up(&mut self, member: Member) {
        self.followed.retain(|f| f.member != member);
        for ticket in &mut self.tickets {
            if ticket.own & (1 << member) == 0 {
                ticket.pending &= !(1 << member);
            }
        }
        self.sweep(|ticket| ticket.pending == 0 && ticket.closed);
    }

    /// Commits in flight that meet it, and the number of the next one.
    pub fn barrier(&self, footprint: &Footprint) -> (Vec<CommitSeq>, CommitSeq) {
        let meets = self.active.iter().copied().filter(|seq| self.get(*seq).footprint.conflicts(footprint));
        (meets.collect(), self.registered.next())
    }

    pub fn active(&self) -> &[CommitSeq] {
        &self.active
    }

    pub fn all_on(&self, member: Member) -> Vec<CommitSeq> {
        self.active.iter().copied().filter(|seq| self.pending_on(*seq, member)).collect()
    }

    /// A statement is about to read on a member: whom it waits for there, and its number.
    pub fn reads(&mut self, member: Member, footprint: &Footprint) -> (Vec<CommitSeq>, u64) {
        let mut tickets = self.barrier(footprint).0;
        tickets.retain(|seq| self.pending_on(*seq, member));
        self.next_id += 1;
        let (id, from) = (self.next_id, self.registered.next());
        self.readers.push(Reader { id, member, footprint: footprint.clone(), from });
        (tickets, id)
    }

    pub fn has_read(&mut self, id: u64) {
        self.readers.retain(|reader| reader.id != id);
    }

    /// Whether its turn has come to leave for the members.
    pub fn leave(&mut self, seq: CommitSeq, alone: bool) -> bool {
        let sees = |reader: &Reader, seq: CommitSeq| {
            reader.from <= seq
                && self.pending_on(seq, reader.member)
                && reader.footprint.conflicts(&self.get(seq).footprint)
        };
        let held = self.readers.iter().filter(|reader| !alone && sees(reader, seq)).any(|reader| {
            let before = |other: &&CommitSeq| **other != seq && self.get(**other).left;
            self.active.iter().filter(before).any(|other| sees(reader, *other))
        });
        if !held {
            self.tickets[place(seq)].left = true;
        }
        !held
    }
}
