//! `raidb status`: the answer of `GET /status`, as JSON or as tables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use super::{http_get, table};
use crate::admin::{MemberStatus, Role, Status, VirtualDatabaseStatus};
use crate::time;

/// Incidents shown for each virtual database; `--json` has all.
const INCIDENTS_SHOWN: usize = 5;

/// Asks the proxy at `admin` and prints its answer.
pub(super) async fn status(admin: &str, json: bool) -> ExitCode {
    match text(admin, json).await {
        Ok(text) => {
            // A reader that has gone away (`raidb status | head`) is no failure.
            let _ = std::io::stdout().write_all(&text);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("raidb: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn text(admin: &str, json: bool) -> Result<Vec<u8>, String> {
    let got = http_get::get(admin, "/status").await;
    let mut body = got.map_err(|error| http_get::no_answer("status", admin, &error))?;
    let status: Status =
        serde_json::from_slice(&body).map_err(|error| format!("the status of {admin} cannot be read: {error}"))?;
    if json {
        body.push(b'\n');
        return Ok(body);
    }
    Ok(human(&status).into_bytes())
}

fn human(status: &Status) -> String {
    let mut text = format!("raidb {}, {} clients\n", status.version, status.clients);
    for database in &status.virtual_databases {
        text.push('\n');
        text.push_str(&human_database(database));
    }
    text
}

fn human_database(database: &VirtualDatabaseStatus) -> String {
    let VirtualDatabaseStatus { name, level, epoch, sessions, counters, .. } = database;
    let lead = database.lead.as_deref().unwrap_or("none");
    let mut text = format!("{name}: {level}, lead {lead}, epoch {epoch}, {sessions} sessions\n");
    if let Some(starting) = &database.starting {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "not serving yet: {starting}");
    }
    let head = ["MEMBER", "STATE", "ROLE", "CONNECTIONS", "PENDING", "LATENCY", "BEHIND", "INCIDENTS", "REASON"];
    let rows: Vec<Vec<String>> = database.members.iter().map(row).collect();
    text.push_str(&table::render(&head, &rows));
    let _ = writeln!(
        text,
        "{} commits, {} aborted, {} reads, {} writes, {} replays, {} incidents, {} lead changes",
        counters.commits,
        counters.transactions_aborted,
        counters.reads,
        counters.writes,
        counters.replays,
        counters.incidents,
        counters.lead_changes,
    );
    let log = &database.log;
    let over = if log.over_size { "; larger than log.size_max, and cannot be shortened now" } else { "" };
    let (bytes, size_max) = (log.bytes >> 20, log.size_max >> 20);
    let _ = writeln!(text, "log: {bytes} of {size_max} MiB, positions {} to {}{over}", log.first, log.last);
    for incident in database.incidents.iter().take(INCIDENTS_SHOWN) {
        let when = time::utc(incident.when_unix_ms);
        let _ = writeln!(text, "{when} {} {} at {}", incident.member, incident.reason, incident.position);
        if let Some(statement) = &incident.statement {
            let _ = writeln!(text, "  statement: {statement}");
        }
        for answer in &incident.answers {
            let _ = writeln!(text, "  {}: {}", answer.member, answer.answer);
        }
        let _ = writeln!(text, "  what to do: {}", incident.what_to_do);
    }
    text
}

fn row(member: &MemberStatus) -> Vec<String> {
    let role = match member.role {
        Some(Role::Lead) => "lead",
        Some(Role::Follower) => "follower",
        None => "-",
    };
    vec![
        member.name.clone(),
        member.state.clone(),
        role.to_owned(),
        member.connections.to_string(),
        member.pending.to_string(),
        format!("{:.1} ms", member.latency_ms),
        member.behind.map_or_else(|| "-".to_owned(), |behind| behind.to_string()),
        member.incidents.to_string(),
        member.reason.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use raidb_core::log::Position;
    use raidb_core::member::{Incident, Reason};

    #[test]
    fn shows_members_and_incidents() {
        let member = |name: &str, state: &str, role, reason: Option<&str>| MemberStatus {
            name: name.into(),
            state: state.into(),
            role,
            reason: reason.map(str::to_owned),
            ..MemberStatus::default()
        };
        let incident = Incident::new(0, "pg2", Reason::TimedOut, Position(7)).with_answers([("pg1", "UPDATE, 1 rows")]);
        let database = VirtualDatabaseStatus {
            name: "bench".into(),
            level: "raidb-1".into(),
            lead: Some("pg1".into()),
            members: vec![
                member("pg1", "enabled", Some(Role::Lead), None),
                member("pg2", "disabled", None, Some("timed_out")),
            ],
            incidents: vec![incident],
            ..VirtualDatabaseStatus::default()
        };
        let text = human(&Status { version: "1".into(), clients: 3, virtual_databases: vec![database] });
        for line in [
            "raidb 1, 3 clients",
            "bench: raidb-1, lead pg1, epoch 0, 0 sessions",
            "pg1     enabled   lead  0            0        0.0 ms   -       0",
            "pg2     disabled  -     0            0        0.0 ms   -       0          timed_out",
            "1970-01-01T00:00:00Z pg2 timed_out at position 7",
            "  pg1: UPDATE, 1 rows",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in:\n{text}");
        }
    }
}
