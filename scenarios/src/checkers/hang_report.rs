//! Who waits for whom on every member: shown when a run did not end in time.

use std::fmt::Write as _;

use crate::cluster::Cluster;

const ACTIVITY: &str = "select pid, state, coalesce(wait_event, '-'), pg_blocking_pids(pid)::text, \
    extract(epoch from now() - query_start)::int, left(query, 90) \
    from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend' and state <> 'idle' \
    order by query_start";

/// Activity of all members and the proxy's status, as text.
pub async fn hang_report(cluster: &Cluster) -> String {
    let mut text = String::new();
    for member in &cluster.members {
        let _ = writeln!(text, "-- {}: pid, state, wait, blocked by, seconds, query", member.name());
        match member.endpoint().rows(ACTIVITY).await {
            Ok(rows) => {
                for row in rows {
                    let row: Vec<_> = row.iter().map(|value| value.as_deref().unwrap_or("")).collect();
                    let _ = writeln!(text, "   {}", row.join(" | "));
                }
            }
            Err(error) => {
                let _ = writeln!(text, "   {error}");
            }
        }
    }
    if let Some(proxy) = &cluster.proxy {
        match proxy.status().await {
            Ok(status) => drop(writeln!(text, "-- status: {status}")),
            Err(error) => drop(writeln!(text, "-- status: {error}")),
        }
    }
    text
}
