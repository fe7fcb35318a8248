//! Reads of a whole table outside transactions, on any member: each must see all that was acknowledged before it, and all of them
//! one order of commits (docs/adr/0012). Mirrors `session/looking.rs`.

use std::collections::BTreeSet;

use raidb_core::ids::CommitSeq;

use crate::proxy::in_flight::Member;
use crate::statement::Table;
use crate::world::World;

/// A read that is on its way.
#[derive(Clone, Debug)]
struct Read {
    member: Member,
    joins: u32,
    id: u64,
    barrier: Vec<CommitSeq>,
    /// What was acknowledged when it began.
    known: BTreeSet<u32>,
    sent: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Readers {
    left: u32,
    reads: Vec<Read>,
    /// What earlier reads have seen.
    seen: Vec<BTreeSet<u32>>,
}

/// Reads at a time.
const AT_ONCE: usize = 3;

impl Readers {
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Readers { left: if wanted { 40 } else { 0 }, reads: Vec::new(), seen: Vec::new() }
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reads.is_empty()
    }

    /// The proxy is gone, and their connections with it.
    pub fn lost(&mut self, _w: &mut World) {
        self.reads.clear();
    }

    /// True if something happened.
    pub fn step(&mut self, w: &mut World) -> bool {
        if !w.shared.serving || w.shared.membership.view.down {
            // Whoever reads is told that nobody is there.
            let any = !self.reads.is_empty();
            self.reads.drain(..).for_each(|read| w.shared.in_flight.has_read(read.id));
            return any;
        }
        let new = self.left > 0 && self.reads.len() < AT_ONCE && w.random.chance(30);
        if new {
            self.left -= 1;
            let member = w.random.index(w.servers.len());
            let view = &w.shared.membership.view;
            if !view.is_enabled(member) {
                return false;
            }
            let joins = view.joins[member];
            let (barrier, id) = w.shared.in_flight.reads(member, &footprint());
            let known = w.oracle.acknowledged();
            self.reads.push(Read { member, joins, id, barrier, known, sent: false });
            return true;
        }
        if self.reads.is_empty() {
            return false;
        }
        let at = w.random.index(self.reads.len());
        let read = &mut self.reads[at];
        let view = &w.shared.membership.view;
        if !view.is_enabled(read.member) || view.joins[read.member] != read.joins {
            // It is retried on another one.
            let read = self.reads.swap_remove(at);
            w.shared.in_flight.has_read(read.id);
            return true;
        }
        if !read.sent {
            read.sent = w.shared.in_flight.clear_on(&read.barrier, read.member);
            return read.sent;
        }
        if !w.servers[read.member].answers() {
            return false;
        }
        let read = self.reads.swap_remove(at);
        self.result(&read, w);
        true
    }

    fn result(&mut self, read: &Read, w: &mut World) {
        w.shared.in_flight.has_read(read.id);
        w.counts.reads += 1;
        let seen: BTreeSet<u32> = w.servers[read.member].commits.keys().copied().collect();
        w.trace.add(w.now, "read", [read.member as u64, seen.len() as u64, 0], || format!("{seen:?}"));
        let wrote: Vec<u32> = read.known.iter().copied().filter(|origin| w.oracle.decided(*origin)).collect();
        if let Some(missing) = wrote.iter().find(|origin| !seen.contains(origin)) {
            w.violation(format!("a read on member {} misses transaction {missing}, acknowledged before", read.member));
        }
        if let Some(other) = self.seen.iter().find(|other| !other.is_subset(&seen) && !seen.is_subset(other)) {
            let only = |a: &BTreeSet<u32>, b: &BTreeSet<u32>| a.difference(b).copied().collect::<Vec<_>>();
            let (mine, theirs) = (only(&seen, other), only(other, &seen));
            w.violation(format!("two reads saw {mine:?} and {theirs:?} in different orders"));
        }
        self.seen.push(seen);
    }
}

/// Everything that there is.
fn footprint() -> raidb_core::sql::footprint::Footprint {
    use crate::statement::Op;
    let mut all = Op::Scan(Table::Item, 0).footprint();
    all.absorb(Op::Scan(Table::Parent, 0).footprint());
    all.absorb(raidb_core::sql::footprint::Footprint::one(
        raidb_core::ids::ConflictGroup(3),
        raidb_core::sql::footprint::Rows::All,
    ));
    all
}
