//! The event loop: everything that could happen now is in one list, and the seed says what does.
//!
//! So everything is delayed and reordered that can be: only the messages of one connection keep their order, in each direction.

use raidb_core::ids::SessionId;
use raidb_core::transaction::cycles::find_cycle;

use crate::client::Client;
use crate::faults::Faults;
use crate::invariants;
use crate::member::ConnectionId;
use crate::planted::Planted;
use crate::proxy::in_flight::Member;
use crate::random::Random;
use crate::session::{Foreground, Session};
use crate::settings::{IDLE_MAX, STEPS_MAX, Settings};
use crate::trace::Trace;
use crate::world::World;

/// Something that could happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Foreground(usize),
    Background(usize, Member),
    Deliver(usize, Member),
    Serve(Member, ConnectionId),
    Disk,
    Notes,
    Cancel,
    Deadlock(Member),
    Leaving(usize),
    Rejoin,
    BeginRejoin(Member),
    LastBack,
    Start,
    Heartbeat(Member),
    Read,
    Fault,
}

/// Steps by which time moves if nothing happens.
const IDLE_STEP: u64 = 40;
/// Looks at which the same cycle of waits was there, with nothing else to do.
const CYCLE_LOOKS: u64 = 5;

/// One run.
#[derive(Debug)]
pub struct Simulation {
    pub world: World,
    pub sessions: Vec<Session>,
    /// Those whose sessions are gone, until the proxy serves again.
    pub clients: Vec<Client>,
    pub next_session: u64,
    pub faults: Faults,
    readers: crate::reader::Readers,
    actions: Vec<Action>,
    steps: u64,
    idle: u64,
    healing: bool,
}

impl Simulation {
    #[must_use]
    pub fn new(seed: u64, planted: Planted, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings::choose(&mut random);
        let mut world = World::new(random, settings, planted, trace);
        world.shared.serving = true;
        let mut simulation = Simulation {
            world,
            sessions: Vec::new(),
            clients: (0..settings.sessions).map(|_| Client::new(settings.transactions)).collect(),
            next_session: 1,
            faults: Faults::default(),
            readers: crate::reader::Readers::new(settings.reads),
            actions: Vec::new(),
            steps: 0,
            idle: 0,
            healing: false,
        };
        simulation.connect_clients();
        simulation
    }

    /// To its end, or to the first violation. The number of steps.
    pub fn run(&mut self) -> u64 {
        while self.world.violation.is_none() && !self.is_over() {
            self.step();
        }
        if self.world.violation.is_none() {
            self.world.check_end();
        }
        self.steps
    }

    fn is_over(&mut self) -> bool {
        let served = self.clients.is_empty() && self.sessions.iter().all(Session::is_over) && self.readers.is_over();
        if served && !self.healing && self.faults.proxy_down.is_none() {
            self.healing = true;
            self.faults.heal(&mut self.world);
        }
        self.healing && served && self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        let w = &self.world;
        let membership = &w.shared.membership;
        let members = 0..w.servers.len();
        w.shared.serving
            && !w.shared.writes_stopped
            && w.start.is_none()
            && w.leaving.is_empty()
            && w.rejoin.is_none()
            && w.last_back.is_none()
            && !membership.view.down
            && members.clone().all(|m| membership.view.is_enabled(m) && !membership.joining(m))
            && members.clone().all(|m| w.servers[m].connections().all(|(_, backend)| !backend.busy()))
    }

    /// Clients whose session is gone have a new one.
    pub fn connect_clients(&mut self) {
        for client in std::mem::take(&mut self.clients) {
            self.sessions.push(Session::new(self.next_session, client, &self.world));
            self.next_session += 1;
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        self.world.now += 1;
        if self.steps > STEPS_MAX {
            return self.world.violation("the run does not end".to_owned());
        }
        if self.faults.tick(&mut self.world) {
            self.crash_or_start();
        }
        if self.world.shared.serving && !self.clients.is_empty() {
            self.connect_clients();
        }
        self.collect();
        while !self.actions.is_empty() {
            let at = self.world.random.index(self.actions.len());
            let action = self.actions.swap_remove(at);
            if self.perform(action) {
                self.idle = 0;
                return;
            }
        }
        self.nothing_happens();
    }

    fn collect(&mut self) {
        let (actions, w) = (&mut self.actions, &self.world);
        actions.clear();
        for (s, session) in self.sessions.iter().enumerate() {
            actions.push(Action::Foreground(s));
            for (member, slot) in session.slots.iter().enumerate() {
                actions.push(Action::Background(s, member));
                if slot.connection.is_some() {
                    actions.push(Action::Deliver(s, member));
                }
            }
        }
        for (member, server) in w.servers.iter().enumerate() {
            let mut blocked = 0;
            for (id, backend) in server.connections() {
                blocked += usize::from(!backend.blocked_on().is_empty());
                if backend.busy() {
                    actions.push(Action::Serve(member, id));
                }
            }
            if blocked > 1 {
                actions.push(Action::Deadlock(member));
            }
            actions.push(Action::Heartbeat(member));
            if w.shared.serving && !w.shared.membership.states[member].is_enabled() {
                actions.push(Action::BeginRejoin(member));
            }
        }
        actions.extend((0..w.leaving.len()).map(Action::Leaving));
        actions.extend([Action::Disk, Action::Notes, Action::Rejoin, Action::LastBack, Action::Start, Action::Read]);
        if !w.cancels.is_empty() {
            actions.push(Action::Cancel);
        }
        if !self.healing {
            actions.push(Action::Fault);
        }
    }

    /// True if something happened.
    fn perform(&mut self, action: Action) -> bool {
        let w = &mut self.world;
        match action {
            Action::Foreground(s) => self.sessions[s].foreground(w),
            Action::Background(s, member) => self.sessions[s].background(member, w),
            Action::Deliver(s, member) => self.sessions[s].deliver(member, w),
            Action::Serve(member, id) => {
                let slow = w.servers[member].slow_per_mille;
                // Its turn passes: that is something, too.
                (slow > 0 && w.servers[member].answers() && w.random.chance(slow))
                    || w.servers[member].serve(id, &mut w.random)
            }
            Action::Disk => !self.faults.proxy_is_down() && w.disk.turn(),
            Action::Notes => w.shared.notes_written(&mut w.disk),
            Action::Cancel => {
                let at = w.random.index(w.cancels.len());
                let (member, connection) = w.cancels.swap_remove(at);
                w.cancel(member, connection);
                true
            }
            Action::Deadlock(member) => {
                let found = w.servers[member].answers() && w.servers[member].detect_deadlock(&mut w.random);
                w.counts.deadlocks += u64::from(found);
                found
            }
            Action::Leaving(n) => w.step_leaving(n),
            Action::Rejoin => w.step_rejoin(),
            Action::BeginRejoin(member) => w.random.chance(50) && w.begin_rejoin(member),
            Action::LastBack => w.shared.serving && w.step_last_back(),
            Action::Start => w.step_start(),
            Action::Heartbeat(member) => self.faults.heartbeat(member, w),
            Action::Read => self.readers.step(w),
            Action::Fault => {
                let happened = self.faults.strike(w, &mut self.sessions);
                if self.faults.crash_now {
                    self.crash_or_start();
                }
                happened
            }
        }
    }

    fn crash_or_start(&mut self) {
        if self.faults.crash_now {
            self.faults.crash_now = false;
            self.world.counts.restarts += 1;
            for session in std::mem::take(&mut self.sessions) {
                self.clients.push(session.lost(&mut self.world));
            }
            self.readers.lost(&mut self.world);
            self.faults.proxy_gone(&mut self.world);
        } else if let Err(wrong) = self.world.start() {
            self.world.violation(format!("the proxy cannot start: {wrong}"));
        }
    }

    /// Time passes. If everything is healthy, it must not pass for long.
    fn nothing_happens(&mut self) {
        let w = &mut self.world;
        w.now += IDLE_STEP;
        self.idle += 1;
        w.servers.iter_mut().for_each(crate::member::Server::reap);
        if self.idle == CYCLE_LOOKS && w.servers.iter().all(crate::member::Server::answers) {
            let draining = self.sessions.iter().any(|session| matches!(session.state, Foreground::Drain { .. }));
            if let Some(cycle) = invariants::cycle(&w.servers).filter(|_| !draining) {
                w.violation(format!("sessions wait for each other on several members: {cycle:?}"));
            }
        }
        if self.idle * IDLE_STEP > IDLE_MAX && w.now > w.last_fault + IDLE_MAX {
            let states: Vec<String> = self
                .sessions
                .iter()
                .filter(|session| !session.is_over())
                .map(|session| format!("session {} {:?}", session.id, session.state))
                .collect();
            w.violation(format!("nothing happens any more: {states:?}, leaving {:?}, {:?}", w.leaving, w.rejoin));
        }
    }
}

/// A cycle of waits over all members, found by the real search.
pub(crate) fn cycle_of(edges: &[(u64, u64)]) -> Option<Vec<SessionId>> {
    let edges: Vec<(SessionId, SessionId)> = edges.iter().map(|(a, b)| (SessionId(*a), SessionId(*b))).collect();
    find_cycle(&edges)
}
