//! `pgbench`, PostgreSQL's own load, as a client that knows nothing of us.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

const PGBENCH: &str = "/usr/lib/postgresql/15/bin/pgbench";
/// How much longer than its load pgbench may take before it counts as hung.
const HANG_LIMIT: Duration = Duration::from_secs(60);

/// Query protocol of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One Query message per statement.
    Simple,
    /// Parse, Bind, Execute per statement.
    Extended,
    /// Parse once, then Bind, Execute.
    Prepared,
}

impl Protocol {
    /// As pgbench's `-M` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// One run of pgbench.
#[derive(Clone, Debug)]
pub struct Load {
    /// Query protocol.
    pub protocol: Protocol,
    /// Concurrent clients.
    pub clients: usize,
    /// Length of the run.
    pub seconds: u64,
    /// Seed of pgbench's own chance.
    pub seed: u64,
    /// More arguments, such as `-S`.
    pub more: Vec<String>,
}

/// What pgbench said.
#[derive(Clone, Debug)]
pub struct Report {
    /// Transactions that pgbench was told are committed.
    pub acknowledged: u64,
    /// Transactions that failed.
    pub failed: u64,
    /// Transactions per second.
    pub tps: f64,
    /// Longest time that any one client went without a completed transaction.
    pub longest_pause: Duration,
    /// Transactions per second, second by second.
    pub per_second: Vec<f64>,
}

/// Makes and fills pgbench's tables (`-i -s scale`), foreign keys included if asked for.
///
/// # Errors
/// pgbench reports an error.
pub async fn initialize(endpoint: &Endpoint, scale: u32) -> Result<()> {
    let scale = scale.to_string();
    run_to_end(endpoint, &["-i", "-q", "-s", &scale], Duration::from_secs(300)).await.map(drop)
}

/// Runs the load; its transaction logs go into `folder`.
///
/// # Errors
/// A client was aborted, or pgbench hangs. What pgbench printed is shown.
pub async fn run(endpoint: &Endpoint, load: &Load, folder: &Path) -> Result<Report> {
    let prefix = folder.join(format!("pgbench-{}", load.protocol.name()));
    let prefix = prefix.to_string_lossy();
    let (clients, seconds, seed) = (load.clients.to_string(), load.seconds.to_string(), load.seed.to_string());
    let protocol = load.protocol.name();
    let threads = if load.clients >= 4 { "2" } else { "1" };
    let mut arguments = vec!["-n", "-M", protocol, "-c", &clients, "-j", threads, "-T", &seconds, "-P", "1"];
    arguments.extend(["--random-seed", &seed, "-l", "--log-prefix", &prefix]);
    arguments.extend(load.more.iter().map(String::as_str));
    let printed = run_to_end(endpoint, &arguments, Duration::from_secs(load.seconds) + HANG_LIMIT).await?;
    parse(&printed, longest_pause(folder, &prefix)?)
}

async fn run_to_end(endpoint: &Endpoint, arguments: &[&str], limit: Duration) -> Result<String> {
    let mut command = Command::new(PGBENCH);
    command.args(arguments).arg(endpoint.url()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(limit, command.output()).await;
    let output = output.map_err(|_| Failure::new(format!("pgbench hangs: no end within {limit:?}")))??;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || text.contains("error:") {
        let told = text.lines().filter(|line| !line.starts_with("progress:"));
        return fail(format!(
            "pgbench {}: {}\n{}",
            arguments.join(" "),
            output.status,
            told.collect::<Vec<_>>().join("\n")
        ));
    }
    Ok(text)
}

fn parse(printed: &str, longest_pause: Duration) -> Result<Report> {
    let number = |label: &str| -> Result<f64> {
        let rest = printed.lines().find_map(|line| line.strip_prefix(label));
        let digits = rest.and_then(|rest| rest.trim_start().split([' ', '/', '(']).next());
        digits
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| Failure::new(format!("pgbench did not print \"{label}\":\n{printed}")))
    };
    let per_second = printed.lines().filter_map(|line| {
        let rest = line.strip_prefix("progress: ")?;
        rest.split(", ").nth(1)?.strip_suffix(" tps")?.parse().ok()
    });
    // Counts are whole and far below 2^53.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count that pgbench printed")]
    let count = |value: f64| value as u64;
    Ok(Report {
        acknowledged: count(number("number of transactions actually processed: ")?),
        failed: count(number("number of failed transactions: ")?),
        tps: number("tps = ")?,
        longest_pause,
        per_second: per_second.collect(),
    })
}

/// Longest gap between two completions of the same client, from the per-transaction logs (`-l`).
fn longest_pause(folder: &Path, prefix: &str) -> Result<Duration> {
    let mut last: HashMap<u64, u64> = HashMap::new();
    let mut longest = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.to_string_lossy().starts_with(&format!("{prefix}.")) {
            continue;
        }
        for line in std::fs::read_to_string(&path)?.lines() {
            // client_id transaction_no time script_no time_epoch time_us
            let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().unwrap_or_default());
            let (client, took) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
            let end = fields.nth(1).unwrap_or_default() * 1_000_000 + fields.next().unwrap_or_default();
            let begin = last.insert(client, end).unwrap_or(end - took);
            longest = longest.max(end.saturating_sub(begin)).max(took);
        }
        std::fs::remove_file(&path)?;
    }
    Ok(Duration::from_micros(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_pgbench_prints() {
        let printed = "progress: 1.0 s, 512.5 tps, lat 1.9 ms stddev 0.2, 0 failed\n\
            number of transactions actually processed: 1234\nnumber of failed transactions: 0 (0.000%)\n\
            tps = 499.25 (without initial connection time)\n";
        let report = parse(printed, Duration::ZERO).unwrap();
        assert_eq!((report.acknowledged, report.failed), (1234, 0));
        assert!((report.tps - 499.25).abs() < 1e-9);
        assert_eq!(report.per_second, [512.5]);
    }

    #[test]
    fn a_pause_is_the_longest_gap_of_one_client() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("p");
        let log = "0 1 1000 0 100 0\n1 1 1000 0 100 500000\n0 2 700000 0 100 700000\n1 2 1000 0 100 900000\n";
        std::fs::write(folder.path().join("p.1"), log).unwrap();
        let pause = longest_pause(folder.path(), &prefix.to_string_lossy()).unwrap();
        assert_eq!(pause, Duration::from_millis(700));
    }
}
