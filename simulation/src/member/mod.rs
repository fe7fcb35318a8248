//! A simulated PostgreSQL server: backends, each with a connection, that share rows, locks and markers.
//!
//! What is kept of PostgreSQL: READ COMMITTED, row locks with waits, unique and foreign keys, deadlock detection, savepoints,
//! implicit transactions, cancel requests that come late, a backend that carries out what was sent though nobody listens.

mod backend;
mod execution;
mod locks;
#[cfg(test)]
mod member_test;
mod protocol;
mod rows;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};

use raidb_core::log::{Applied, Position};

pub use backend::Backend;
pub use protocol::{Answer, Command, Tag};
use rows::Rows;
use transactions::TxId;

use crate::random::Random;

/// A connection.
pub type ConnectionId = u32;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// What is stored.
    pub rows: Rows,
    backends: BTreeMap<ConnectionId, Backend>,
    next_tx: TxId,
    floor: Position,
    markers: BTreeSet<Position>,
    /// Its own table: the newest epoch that it was told.
    pub epoch: u64,
    /// How often each client's transaction was committed here (the checker's knowledge).
    pub commits: BTreeMap<u32, u32>,
    /// Since when it does not run.
    pub down_since: Option<u64>,
    /// Since when it stands still.
    pub frozen_since: Option<u64>,
    /// In so many of 1,000 cases it lets its turn pass.
    pub slow_per_mille: u32,
}

impl Server {
    /// A new connection; `None`: it cannot be reached now.
    pub fn connect(&mut self, id: ConnectionId, session: u64) -> bool {
        let up = self.answers();
        if up {
            self.backends.insert(id, Backend::new(session));
        }
        up
    }

    /// Whether it runs.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.down_since.is_none() && self.frozen_since.is_none()
    }

    /// The backend of a connection.
    pub fn backend(&mut self, id: ConnectionId) -> Option<&mut Backend> {
        self.backends.get_mut(&id)
    }

    /// All connections.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Backend)> {
        self.backends.iter().map(|(id, backend)| (*id, backend))
    }

    /// What its marker tables say.
    #[must_use]
    pub fn applied(&self) -> Applied {
        Applied::new(self.floor, self.markers.iter().copied())
    }

    /// Everything up to here is on it.
    pub fn raise_floor(&mut self, floor: Position) {
        self.floor = self.floor.max(floor);
        let floor = self.floor;
        self.markers.retain(|position| *position > floor);
    }

    /// The process dies: what is not committed is gone. Answers that have left may still arrive, up to a point.
    pub fn crash(&mut self, now: u64, random: &mut Random) {
        self.down_since = Some(now);
        self.frozen_since = None;
        self.rows.crash();
        self.backends.values_mut().for_each(|backend| backend.die(random));
    }

    /// The backend of a connection is ended, as by `pg_terminate_backend`.
    pub fn terminate(&mut self, id: ConnectionId) {
        if let Some(backend) = self.backends.get_mut(&id) {
            backend.end(&mut self.rows);
        }
    }

    /// A cancel request arrives.
    pub fn cancel(&mut self, id: ConnectionId) {
        if let Some(backend) = self.backends.get_mut(&id) {
            backend.cancel(&mut self.rows);
        }
    }

    /// All backends of sessions are ended, and gone.
    pub fn fence(&mut self) {
        self.backends.values_mut().for_each(|backend| backend.end(&mut self.rows));
    }

    /// The proxy is gone; what it had sent is carried out.
    pub fn clients_gone(&mut self) {
        self.backends.values_mut().for_each(|backend| backend.client_gone = true);
    }

    /// Connections that neither side knows any more.
    pub fn reap(&mut self) {
        self.backends.retain(|_, backend| !(backend.ended && backend.client_gone));
    }

    /// Who waits for whom here, by session.
    pub fn waits(&self, edges: &mut Vec<(u64, u64)>) {
        let waiting = self.backends.values().filter(|backend| !backend.blocked_on().is_empty());
        for waiter in waiting {
            for blocker in waiter.blocked_on() {
                let holder = self.backends.values().find(|b| b.transaction() == Some(*blocker));
                edges.extend(holder.filter(|h| h.session != waiter.session).map(|h| (waiter.session, h.session)));
            }
        }
    }

    /// The server's own deadlock detector: one of those in a cycle gets 40P01. True if there was one.
    pub fn detect_deadlock(&mut self, random: &mut Random) -> bool {
        let Some(cycle) = self.cycle() else { return false };
        let victim = cycle[random.index(cycle.len())];
        if let Some(backend) = self.backends.get_mut(&victim) {
            backend.deadlock(&mut self.rows);
        }
        true
    }

    fn cycle(&self) -> Option<Vec<ConnectionId>> {
        let blocked: Vec<(ConnectionId, &Backend)> =
            self.connections().filter(|(_, backend)| !backend.blocked_on().is_empty()).collect();
        if blocked.len() < 2 {
            return None;
        }
        let of = |tx: &TxId| blocked.iter().position(|(_, backend)| backend.transaction() == Some(*tx));
        for start in 0..blocked.len() {
            // Whoever reaches himself is in a cycle; a handful of backends, so the simplest search does.
            let mut reached: Vec<usize> = Vec::new();
            let mut from: Vec<usize> = vec![start];
            while let Some(at) = from.pop() {
                for next in blocked[at].1.blocked_on().iter().filter_map(of) {
                    if !reached.contains(&next) {
                        reached.push(next);
                        from.push(next);
                    }
                }
            }
            if reached.contains(&start) {
                let in_cycle = |n: &usize| *n == start || self.reaches(&blocked, *n, start);
                return Some(reached.iter().filter(|n| in_cycle(n)).map(|n| blocked[*n].0).collect());
            }
        }
        None
    }

    fn reaches(&self, blocked: &[(ConnectionId, &Backend)], from: usize, to: usize) -> bool {
        let mut reached = vec![from];
        let mut at = 0;
        while at < reached.len() {
            for tx in blocked[reached[at]].1.blocked_on() {
                let next = blocked.iter().position(|(_, backend)| backend.transaction() == Some(*tx));
                if next == Some(to) {
                    return true;
                }
                if let Some(next) = next.filter(|next| !reached.contains(next)) {
                    reached.push(next);
                }
            }
            at += 1;
        }
        false
    }

    /// The backend's turn. True if something happened.
    pub fn serve(&mut self, id: ConnectionId, random: &mut Random) -> bool {
        if !self.answers() {
            return false;
        }
        let Some(mut backend) = self.backends.remove(&id) else { return false };
        let happened = backend.serve(self, random);
        self.backends.insert(id, backend);
        happened
    }

    fn new_tx(&mut self) -> TxId {
        self.next_tx += 1;
        self.next_tx
    }
}
