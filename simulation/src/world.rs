//! Everything but the sessions: members, disk, what the proxy's sessions share, and what the checker knows.

use raidb_core::log::{Intent, Membership, Outcome, Position, RecordKind};
use raidb_core::member::MemberState;

use crate::disk::Disk;
use crate::invariants::Oracle;
use crate::member::{ConnectionId, Server};
use crate::planted::Planted;
use crate::proxy::applier::origin;
use crate::proxy::in_flight::Member;
use crate::proxy::leaving::Leaving;
use crate::proxy::recovery::Start;
use crate::proxy::rejoin::{LastBack, Rejoin};
use crate::proxy::{Journal, Shared};
use crate::random::Random;
use crate::session::Told;
use crate::settings::{MEMBER_TIMEOUT, Settings};
use crate::trace::Trace;

/// How often what happened: a simulation in which nothing happens finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub commits: u64,
    pub entries: u64,
    pub failed: u64,
    pub replays: u64,
    pub deadlocks: u64,
    pub disabled: u64,
    pub rejoined: u64,
    pub redone: u64,
    pub restarts: u64,
    pub unknown: u64,
    pub aborted: u64,
    pub reads: u64,
}

impl Counts {
    /// Those of another run on top.
    pub fn add(&mut self, other: &Counts) {
        self.commits += other.commits;
        self.entries += other.entries;
        self.failed += other.failed;
        self.replays += other.replays;
        self.deadlocks += other.deadlocks;
        self.disabled += other.disabled;
        self.rejoined += other.rejoined;
        self.redone += other.redone;
        self.restarts += other.restarts;
        self.unknown += other.unknown;
        self.aborted += other.aborted;
        self.reads += other.reads;
    }
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub now: u64,
    pub random: Random,
    pub settings: Settings,
    pub planted: Planted,
    pub trace: Trace,
    pub servers: Vec<Server>,
    pub disk: Disk,
    pub shared: Shared,
    pub leaving: Vec<Leaving>,
    pub rejoin: Option<Rejoin>,
    pub last_back: Option<LastBack>,
    pub start: Option<Start>,
    pub oracle: Oracle,
    pub counts: Counts,
    /// What the durable log says of members.
    pub durable: Membership,
    read_to: Position,
    next_connection: ConnectionId,
    /// Cancel requests on their way.
    pub cancels: Vec<(Member, ConnectionId)>,
    /// The last fault, or the end of one.
    pub last_fault: u64,
    /// What is wrong, first of all.
    pub violation: Option<String>,
}

/// Name of a member.
#[must_use]
pub fn name(member: Member) -> String {
    format!("pg{member}")
}

impl World {
    #[must_use]
    pub fn new(random: Random, settings: Settings, planted: Planted, trace: Trace) -> Self {
        let mut servers = vec![Server::default(); settings.members];
        let states = vec![MemberState::Enabled; settings.members];
        let mut random = random;
        for server in &mut servers {
            server.slow_per_mille = if random.chance(400) { settings.slow_per_mille } else { 0 };
        }
        let shared = Shared::new(states, Journal::default(), raidb_core::token::Tokens::new(0));
        World {
            now: 1,
            random,
            settings,
            planted,
            trace,
            servers,
            disk: Disk::default(),
            shared,
            leaving: Vec::new(),
            rejoin: None,
            last_back: None,
            start: None,
            oracle: Oracle::default(),
            counts: Counts::default(),
            durable: Membership::default(),
            read_to: Position::START,
            next_connection: 0,
            cancels: Vec::new(),
            last_fault: 0,
            violation: None,
        }
    }

    /// Something is wrong. The first of them counts.
    pub fn violation(&mut self, what: String) {
        if self.violation.is_none() {
            self.trace.add(self.now, "VIOLATION", [0, 0, 0], || what.clone());
            self.violation = Some(what);
        }
    }

    /// A new connection; `None`: the member cannot be reached.
    pub fn connect(&mut self, member: Member, session: u64) -> Option<ConnectionId> {
        self.next_connection += 1;
        let id = self.next_connection;
        self.servers[member].connect(id, session).then_some(id)
    }

    #[must_use]
    pub fn next_connection(&self) -> ConnectionId {
        self.next_connection
    }

    /// Gives a connection up. What still runs there is cancelled: it would hold its locks, perhaps for ever.
    pub fn abandon(&mut self, member: Member, connection: ConnectionId) {
        if let Some(backend) = self.servers[member].backend(connection) {
            backend.client_gone = true;
            if !backend.ended {
                self.cancels.push((member, connection));
            }
        }
    }

    /// A cancel request arrives.
    pub fn cancel(&mut self, member: Member, connection: ConnectionId) {
        self.trace.add(self.now, "cancel", [member as u64, u64::from(connection), 0], String::new);
        if self.servers[member].answers() {
            self.servers[member].cancel(connection);
        }
    }

    /// The log failed: nobody writes any more until the proxy starts again.
    pub fn stop_writes(&mut self) {
        self.trace.add(self.now, "writes stop", [0, 0, 0], String::new);
        self.shared.writes_stopped = true;
    }

    /// A member did not answer in time. Nobody is slow for so long unless something was done to it.
    pub fn timed_out(&mut self, member: Member, what: &str) {
        self.trace.add(self.now, "timed out", [member as u64, 0, 0], || what.to_owned());
        if self.now > self.last_fault + 2 * MEMBER_TIMEOUT {
            self.violation(format!("member {member}, which is healthy, has not answered {what} in time"));
        }
    }

    /// Reads what has become durable since the last look, as anybody else could.
    pub fn read_durable(&mut self) {
        let mut wrong = None;
        for record in self.disk.read(self.read_to.next()) {
            self.read_to = record.position;
            if let Err(kind) = self.durable.apply(record) {
                wrong = Some(kind.to_string());
            }
            match record.kind {
                RecordKind::Intent => match Intent::decode(&record.payload) {
                    Ok(intent) => self.oracle.intent(origin(&intent), record.position),
                    Err(kind) => wrong = Some(kind.to_string()),
                },
                RecordKind::Outcome => match Outcome::decode(&record.payload) {
                    Ok(outcome) => self.oracle.outcome(outcome.aborted),
                    Err(kind) => wrong = Some(kind.to_string()),
                },
                _ => {}
            }
        }
        if let Some(wrong) = wrong {
            self.violation(wrong);
        }
    }

    /// The proxy has begun anew: what was torn is not there any more.
    pub fn reread_durable(&mut self) {
        self.durable = Membership::default();
        self.read_to = Position::START;
        self.oracle.forget_log();
        self.read_durable();
    }

    /// A commit is about to be acknowledged: all conditions must hold.
    pub fn check_acknowledged(&mut self, origin: u32) {
        self.read_durable();
        if !self.oracle.decided(origin) {
            return self.violation(format!("transaction {origin} is acknowledged, and its intent is not durable"));
        }
        for member in 0..self.servers.len() {
            let enabled = self.shared.membership.view.is_enabled(member);
            let here = self.servers[member].commits.get(&origin).copied().unwrap_or(0);
            if enabled && !self.shared.membership.joining(member) && here != 1 {
                let times = format!("{here} times on member {member}");
                return self.violation(format!("transaction {origin} is acknowledged, and committed {times}"));
            }
            let out = self.durable.of(&name(member)).is_some_and(|change| !change.change.is_enabled());
            if !enabled && !out && !self.is_known_stale(member) && here != 1 {
                let text =
                    format!("transaction {origin} is acknowledged without member {member}, which is not durably out");
                return self.violation(text);
            }
        }
    }

    /// Somebody who is enabled knows a newer epoch than that member does. On its way back its record as enabled is durable before it is
    /// told the epoch and joins: a commit that is acknowledged in between is in the log, from which a start redoes it
    /// there; and where the log is lost, a member of an older epoch is not adopted as it is.
    fn is_known_stale(&self, member: Member) -> bool {
        let own = self.servers[member].epoch;
        self.shared.membership.view.members().any(|other| self.servers[other].epoch > own)
    }

    /// A client has lost its connection. If it had not asked for COMMIT, its transaction must be nowhere.
    pub fn lost(&mut self, origin: u32, asked_to_commit: bool) {
        self.trace.add(self.now, "client lost", [u64::from(origin), u64::from(asked_to_commit), 0], String::new);
        let told = if asked_to_commit { Told::Unknown } else { Told::Aborted };
        if self.oracle.what_was_told(origin).is_none()
            && let Err(contradiction) = self.oracle.told(origin, told)
        {
            self.violation(contradiction);
        }
    }

    /// A client is told what became of its transaction.
    pub fn tell(&mut self, session: u64, origin: u32, told: Told) {
        self.trace.add(self.now, "told", [session, u64::from(origin), told as u64], || format!("{told:?}"));
        match told {
            Told::Committed => {}
            Told::Aborted => {
                self.counts.aborted += 1;
                if let Some(member) = self.servers.iter().position(|server| server.commits.contains_key(&origin)) {
                    self.violation(format!("transaction {origin} is told aborted, and member {member} has it"));
                }
            }
            Told::Unknown => {
                self.counts.unknown += 1;
                let view = &self.shared.membership.view;
                if !(view.down || self.shared.writes_stopped || self.disk.failed) {
                    self.violation(format!("transaction {origin} is told unknown without need"));
                }
            }
        }
        if let Err(contradiction) = self.oracle.told(origin, told) {
            self.violation(contradiction);
        }
    }
}
