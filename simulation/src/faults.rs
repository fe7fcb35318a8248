//! What goes wrong, and when it ends.

use raidb_core::member::Reason;
use raidb_core::token::{Asked, Token};

use crate::proxy::in_flight::Member;
use crate::session::{Session, Told, Trouble};
use crate::settings::MEMBER_TIMEOUT;
use crate::world::World;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    done: u32,
    /// When each member that is down or frozen is back.
    back: Vec<(Member, u64)>,
    /// The proxy starts again then.
    pub proxy_down: Option<u64>,
    /// The proxy ends in this step.
    pub crash_now: bool,
    /// A log that has failed is noticed by an operator then.
    operator: Option<u64>,
}

impl Faults {
    #[must_use]
    pub fn proxy_is_down(&self) -> bool {
        self.proxy_down.is_some()
    }

    /// What ends by itself. True if the proxy is to crash or to start now.
    pub fn tick(&mut self, w: &mut World) -> bool {
        let now = w.now;
        for n in (0..self.back.len()).rev() {
            let (member, at) = self.back[n];
            if at <= now {
                self.back.swap_remove(n);
                w.trace.add(now, "member runs again", [member as u64, 0, 0], String::new);
                let server = &mut w.servers[member];
                (server.down_since, server.frozen_since) = (None, None);
                w.last_fault = now;
            }
        }
        if w.shared.writes_stopped && self.proxy_down.is_none() {
            let at = *self.operator.get_or_insert(now + 200);
            if at <= now {
                self.operator = None;
                self.crash_now = true;
                return true;
            }
        }
        if self.proxy_down.is_some_and(|at| at <= now) {
            self.proxy_down = None;
            w.last_fault = now;
            return true;
        }
        false
    }

    /// The proxy's process is gone; its connections go after it.
    pub fn proxy_gone(&mut self, w: &mut World) {
        w.trace.add(w.now, "proxy crashes", [0, 0, 0], String::new);
        self.proxy_down = Some(w.now + 1 + u64::from(w.random.below(100)));
        w.shared.serving = false;
        w.leaving.clear();
        (w.rejoin, w.last_back, w.start) = (None, None, None);
        w.last_fault = w.now;
        w.servers.iter_mut().for_each(crate::member::Server::clients_gone);
    }

    /// Everything is mended, and nothing happens any more.
    pub fn heal(&mut self, w: &mut World) {
        self.back.iter_mut().for_each(|(_, at)| *at = w.now);
        w.last_fault = w.now;
        (w.disk.full, w.disk.fails_next) = (false, false);
        w.servers.iter_mut().for_each(|server| server.slow_per_mille = 0);
    }

    /// Whether the member lives, as the proxy's own connection sees it. True if it is taken out.
    pub fn heartbeat(&self, member: Member, w: &mut World) -> bool {
        let view = &w.shared.membership.view;
        if !w.shared.serving || !view.is_enabled(member) || view.down {
            return false;
        }
        if w.leaving.iter().any(|leaving| leaving.member == member) {
            return false;
        }
        let server = &w.servers[member];
        let since = |at: Option<u64>, limit: u64| at.is_some_and(|at| w.now >= at + limit);
        if since(server.down_since, 100) {
            w.disable(member, Reason::LostConnection);
            return true;
        }
        if since(server.frozen_since, MEMBER_TIMEOUT) {
            w.disable(member, Reason::TimedOut);
            return true;
        }
        false
    }

    /// Perhaps something goes wrong now.
    pub fn strike(&mut self, w: &mut World, sessions: &mut [Session]) -> bool {
        let due = self.done < w.settings.faults && w.random.below(10_000) < w.settings.fault_rate;
        if !due {
            return false;
        }
        let kind = w.random.below(8);
        if w.settings.fault_kinds & (1 << kind) == 0 {
            return false;
        }
        let happened = self.inflict(kind, w, sessions);
        self.done += u32::from(happened);
        if happened {
            w.last_fault = w.now;
        }
        happened
    }

    fn inflict(&mut self, kind: u32, w: &mut World, sessions: &mut [Session]) -> bool {
        let member = if w.random.chance(500) { w.shared.membership.view.lead } else { w.random.index(w.servers.len()) };
        let runs = w.servers[member].answers();
        match kind {
            0 if runs => {
                w.trace.add(w.now, "member crashes", [member as u64, 0, 0], String::new);
                let (now, random) = (w.now, &mut w.random);
                w.servers[member].crash(now, random);
                let at = now + 50 + u64::from(w.random.below(2000));
                self.back.push((member, at));
            }
            1 if runs => {
                w.trace.add(w.now, "member stands still", [member as u64, 0, 0], String::new);
                w.servers[member].frozen_since = Some(w.now);
                let long = w.random.chance(500);
                let at = w.now + u64::from(w.random.below(if long { 12_000 } else { 600 }));
                self.back.push((member, at));
            }
            2 | 3 => return cut(kind == 3, member, w, sessions),
            4 if self.proxy_down.is_none() => self.crash_now = true,
            5 => w.disk.fails_next = true,
            6 => w.disk.full = true,
            7 => return ask(w, sessions),
            _ => return false,
        }
        true
    }
}

/// A session's connection is cut in the middle, or its backend is ended.
fn cut(ends_backend: bool, member: Member, w: &mut World, sessions: &mut [Session]) -> bool {
    if sessions.is_empty() {
        return false;
    }
    let at = w.random.index(sessions.len());
    let session = &mut sessions[at];
    let Some(connection) = session.slots[member].connection else { return false };
    w.trace.add(w.now, "cut", [session.id, member as u64, u64::from(ends_backend)], String::new);
    if ends_backend {
        w.servers[member].terminate(connection);
    } else {
        session.cut(member, w);
    }
    true
}

/// Somebody asks, on another connection, what became of a transaction.
fn ask(w: &mut World, sessions: &mut [Session]) -> bool {
    if sessions.is_empty() || !w.shared.serving {
        return false;
    }
    let at = w.random.index(sessions.len());
    let Some(open) = &sessions[at].open else { return false };
    let (origin, Some(token)) = (open.origin, open.token.clone()) else { return false };
    let newest = raidb_core::ids::SessionId(sessions.iter().map(|session| session.id).max().unwrap_or(0));
    let oldest = || sessions.iter().map(|session| raidb_core::ids::SessionId(session.id)).min();
    let asked = w.shared.tokens.ask(&token, w.now, newest, oldest);
    w.trace.add(w.now, "asked", [u64::from(origin), 0, 0], || format!("{asked:?}"));
    match asked {
        Asked::Aborted { ended } => {
            if let Err(wrong) = w.oracle.told(origin, Told::Aborted) {
                w.violation(wrong);
            }
            if let Some(session) = ended.and_then(|id| sessions.iter_mut().find(|session| session.id == id.0)) {
                session.doom(Trouble::Sql(raidb_core::verdict::SqlState::SERIALIZATION_FAILURE));
            }
        }
        Asked::Committed | Asked::Wait | Asked::Unknown { .. } | Asked::Full => {}
    }
    true
}

/// What the registry says of a transaction that has ended long ago.
pub fn ask_later(w: &mut World, origin: u32) -> Asked {
    match Token::new(format!("t{origin}").as_bytes()) {
        Some(token) => w.shared.tokens.ask(&token, w.now, raidb_core::ids::SessionId(u64::MAX), || None),
        None => Asked::Full,
    }
}
