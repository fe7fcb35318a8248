//! Everything that is needed to understand a cycle that failed, taken while the processes still are as they failed.

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use super::watch::Watch;
use crate::checkers::hang_report;
use crate::cluster::{Cluster, is_alive};

/// Last lines of the proxy's log that are shown.
const PROXY_LINES: usize = 60;
/// Last lines of each member's log that are shown.
const MEMBER_LINES: usize = 8;

/// States since the fault, processes, activity, `/status`, ends of all logs. Keeps the run's folder.
pub(super) async fn explain(cluster: &mut Cluster, watch: &Watch, since: Instant) -> String {
    cluster.keep();
    let mut text = format!("-- the run's folder is kept: {}\n", cluster.home().display());
    let _ = write!(text, "-- states after the fault:\n{}", watch.timeline(since));
    if let Some(proxy) = &mut cluster.proxy {
        let running = proxy.is_running().unwrap_or_default();
        let _ = writeln!(text, "-- the proxy {}", if running { "runs" } else { "has ended" });
    }
    for member in &cluster.members {
        let running = member.pid().is_some_and(is_alive);
        let log = fs::read(member.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(MEMBER_LINES)..].join("\n   ");
        let _ = writeln!(
            text,
            "-- {} {}, port {}, its log ends with:\n   {tail}",
            member.name(),
            if running { "runs" } else { "has ended" },
            member.port()
        );
    }
    text.push_str(&hang_report(cluster).await);
    if let Some(proxy) = &cluster.proxy {
        let _ = writeln!(text, "-- the proxy's log ends with:\n{}", proxy.log_tail(PROXY_LINES));
    }
    text
}
