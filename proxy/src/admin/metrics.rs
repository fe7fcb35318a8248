//! `/metrics`: the [`Status`] in the text format of Prometheus.
//!
//! Rendered from the status at each scrape, not counted a second time: one truth, and no registry that
//! three proxies in one process would share.

use std::fmt::{Display, Write};

use super::status::{MemberStatus, Role, Status, VirtualDatabaseStatus};

/// Content type of the text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric with one sample for each virtual database.
type PerDatabase = (&'static str, &'static str, &'static str, fn(&VirtualDatabaseStatus) -> u64);

/// A metric with one sample for each member.
type PerMember = (&'static str, &'static str, &'static str, fn(&MemberStatus) -> f64);

const PER_DATABASE: [PerDatabase; 17] = [
    ("raidb_sessions", "gauge", "Sessions at present.", |d| d.sessions),
    ("raidb_epoch", "gauge", "Epoch of the lead.", |d| d.epoch),
    ("raidb_commits_total", "counter", "Commits of writing transactions.", |d| d.counters.commits),
    ("raidb_transactions_aborted_total", "counter", "Transactions ended with 40xxx.", |d| {
        d.counters.transactions_aborted
    }),
    ("raidb_reads_total", "counter", "Statements that only read.", |d| d.counters.reads),
    ("raidb_writes_total", "counter", "Statements that wrote.", |d| d.counters.writes),
    ("raidb_combined_inserts_total", "counter", "Single INSERTs committed together with others'.", |d| {
        d.counters.combined
    }),
    ("raidb_replays_total", "counter", "Transcripts replayed to a follower.", |d| d.counters.replays),
    ("raidb_incidents_total", "counter", "Members disabled, left behind or repaired.", |d| d.counters.incidents),
    ("raidb_cycle_breaker_fired_total", "counter", "Waits across members broken; should be 0.", |d| {
        d.counters.cycle_breaker_fired
    }),
    ("raidb_lead_changes_total", "counter", "Changes of lead.", |d| d.counters.lead_changes),
    ("raidb_unproven_statements_total", "counter", "Statements run under unsafe_statement = \"warn\".", |d| {
        d.counters.unproven_statements
    }),
    ("raidb_log_bytes", "gauge", "Bytes of the recovery log.", |d| d.log.bytes),
    ("raidb_log_size_max_bytes", "gauge", "What log.size_max allows.", |d| d.log.size_max),
    ("raidb_log_over_size", "gauge", "1 while the log is larger and cannot be shortened.", |d| {
        u64::from(d.log.over_size)
    }),
    ("raidb_log_first_position", "gauge", "First position in the recovery log.", |d| d.log.first),
    ("raidb_log_last_position", "gauge", "Last position in the recovery log.", |d| d.log.last),
];

#[expect(clippy::cast_precision_loss, reason = "a gauge of connections or incidents stays far below 2^53")]
const PER_MEMBER: [PerMember; 7] = [
    ("raidb_member_enabled", "gauge", "1 if the member is enabled.", |m| f64::from(u8::from(m.is_enabled()))),
    ("raidb_member_lead", "gauge", "1 if the member is the lead.", |m| f64::from(u8::from(m.role == Some(Role::Lead)))),
    ("raidb_member_weight", "gauge", "Weight for reads.", |m| f64::from(m.weight)),
    ("raidb_member_connections", "gauge", "Connections at present.", |m| m.connections as f64),
    ("raidb_member_pending", "gauge", "Statements not answered yet.", |m| m.pending as f64),
    ("raidb_member_latency_seconds", "gauge", "Moving average of the time to answer.", |m| m.latency_ms / 1000.0),
    ("raidb_member_incidents_total", "counter", "Incidents of the member.", |m| m.incidents as f64),
];

/// Renders the status.
pub(super) fn render(status: &Status) -> String {
    let mut page = String::with_capacity(4096);
    head(&mut page, "raidb_build_info", "gauge", "Always 1; the version is a label.");
    sample(&mut page, "raidb_build_info", &[("version", &status.version)], 1);
    head(&mut page, "raidb_clients", "gauge", "Client connections at present.");
    sample(&mut page, "raidb_clients", &[], status.clients);
    for (name, kind, help, value) in PER_DATABASE {
        head(&mut page, name, kind, help);
        for database in &status.virtual_databases {
            sample(&mut page, name, &[("virtual_database", &database.name)], value(database));
        }
    }
    for (name, kind, help, value) in PER_MEMBER {
        head(&mut page, name, kind, help);
        for database in &status.virtual_databases {
            for member in &database.members {
                sample(&mut page, name, &labels_of(database, member), value(member));
            }
        }
    }
    let behind = "raidb_member_behind_positions";
    head(&mut page, behind, "gauge", "Positions of the log that the member lacks; none if it needs a rebuild.");
    for database in &status.virtual_databases {
        for member in &database.members {
            if let Some(positions) = member.behind {
                sample(&mut page, behind, &labels_of(database, member), positions);
            }
        }
    }
    page
}

fn labels_of<'s>(database: &'s VirtualDatabaseStatus, member: &'s MemberStatus) -> [(&'static str, &'s str); 2] {
    [("virtual_database", database.name.as_str()), ("member", member.name.as_str())]
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(page: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    page.push_str(name);
    for (index, (label, text)) in labels.iter().enumerate() {
        let open = if index == 0 { '{' } else { ',' };
        let _ = write!(page, "{open}{label}=\"{}\"", escape(text));
    }
    let close = if labels.is_empty() { "" } else { "}" };
    let _ = writeln!(page, "{close} {value}");
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::Counters;

    #[test]
    fn renders_one_sample_for_each_database_and_member() {
        let member = |name: &str, state: &str, role| MemberStatus {
            name: name.into(),
            state: state.into(),
            role,
            latency_ms: 1.5,
            ..MemberStatus::default()
        };
        let database = VirtualDatabaseStatus {
            name: "be\"nch".into(),
            members: vec![member("pg1", "enabled", Some(Role::Lead)), member("pg2", "disabled", None)],
            counters: Counters { commits: 42, ..Counters::default() },
            ..VirtualDatabaseStatus::default()
        };
        let status = Status { version: "1.0".into(), clients: 3, virtual_databases: vec![database] };
        let page = render(&status);
        for line in [
            "raidb_build_info{version=\"1.0\"} 1",
            "# TYPE raidb_clients gauge",
            "raidb_clients 3",
            "raidb_commits_total{virtual_database=\"be\\\"nch\"} 42",
            "raidb_cycle_breaker_fired_total{virtual_database=\"be\\\"nch\"} 0",
            "raidb_member_enabled{virtual_database=\"be\\\"nch\",member=\"pg1\"} 1",
            "raidb_member_enabled{virtual_database=\"be\\\"nch\",member=\"pg2\"} 0",
            "raidb_member_lead{virtual_database=\"be\\\"nch\",member=\"pg1\"} 1",
            "raidb_member_latency_seconds{virtual_database=\"be\\\"nch\",member=\"pg1\"} 0.0015",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in:\n{page}");
        }
        assert_eq!(page.matches("# TYPE raidb_member_enabled ").count(), 1);
    }
}
