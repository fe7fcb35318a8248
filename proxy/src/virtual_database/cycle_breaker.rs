//! The last resort: a wait cycle that spans members and that no server can see.
//!
//! By the rules of DESIGN.md §3 there is none; if this ever fires it is a bug, and it says so. It looks only while some
//! session has waited for long, asks every member who blocks whom, and puts the answers together.

use std::sync::Arc;
use std::time::Duration;

use raidb_core::ids::{MemberId, SessionId};
use raidb_core::transaction::cycles::{find_cycle, youngest};

use super::VirtualDatabase;
use crate::members::pg::maintenance::Maintenance;

/// How often waits are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Only backends that have waited this long are looked at: a server's own detector (1 s by default) comes first.
const WAITED_MIN: &str = "1500 milliseconds";

/// Runs until the process ends.
pub async fn run(database: Arc<VirtualDatabase>) {
    let mut connections: Vec<Option<Maintenance>> = Vec::new();
    let mut suspected: Option<Vec<SessionId>> = None;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let edges = edges(&database, &mut connections).await;
        let cycle = find_cycle(&edges);
        // Seen twice in a row: a snapshot of several servers is not one of a moment.
        match (cycle, suspected.take()) {
            (Some(cycle), Some(before)) if cycle == before => break_cycle(&database, &cycle),
            (Some(cycle), _) => suspected = Some(cycle),
            (None, _) => {}
        }
    }
}

fn break_cycle(database: &VirtualDatabase, cycle: &[SessionId]) {
    let Some(victim) = youngest(cycle, |session| session.0) else { return };
    tracing::error!(?cycle, %victim, "wait cycle across members: this is a bug, please report it; aborting the youngest");
    if let Some(session) = database.sessions.all().into_iter().find(|s| s.id == victim) {
        session.break_cycle();
    }
}

async fn edges(database: &VirtualDatabase, connections: &mut Vec<Option<Maintenance>>) -> Vec<(SessionId, SessionId)> {
    let sql = format!(
        "SELECT a.pid, b.blocker FROM pg_catalog.pg_stat_activity a, \
         LATERAL unnest(pg_catalog.pg_blocking_pids(a.pid)) AS b(blocker) \
         WHERE a.wait_event_type = 'Lock' AND a.query_start < now() - interval '{WAITED_MIN}'"
    );
    let within = database.settings.member_timeout;
    let mut edges = Vec::new();
    if database.sessions.len() < 2 {
        return edges;
    }
    let view = database.view();
    connections.resize_with(database.members.len(), || None);
    for member in view.members() {
        let target = database.member(member);
        let slot = &mut connections[usize::from(member.0)];
        if slot.is_none() {
            *slot = Maintenance::connect(&target.target, &target.login, within).await.ok();
        }
        let Some(connection) = slot else { continue };
        match connection.query(&[&sql], within).await {
            Ok(results) => edges.extend(results.iter().flatten().filter_map(|row| edge(database, member, row))),
            Err(_) => *slot = None,
        }
    }
    edges
}

fn edge(database: &VirtualDatabase, member: MemberId, row: &[Option<String>]) -> Option<(SessionId, SessionId)> {
    let pid = |n: usize| row.get(n)?.as_deref()?.parse::<u32>().ok();
    let session = |pid: u32| database.sessions.all().into_iter().find(|s| s.has_pid(member, pid)).map(|s| s.id);
    let (waiting, blocking) = (session(pid(0)?)?, session(pid(1)?)?);
    (waiting != blocking).then_some((waiting, blocking))
}
