//! Runs pgbench and reads its answer.

use crate::load::Load;
use crate::members::DATABASE;
use crate::sample::{Measured, median};
use scenarios::{Failure, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Part of the transactions whose latency is logged: enough for a p99, too few to slow the load.
const SAMPLING_RATE: &str = "0.2";

/// Everything that stays the same from load to load.
#[derive(Debug)]
pub(crate) struct Pgbench {
    pub(crate) program: PathBuf,
    pub(crate) seconds: u32,
    pub(crate) dir: PathBuf,
}

/// A pgbench that runs now.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    logs: PathBuf,
}

impl Pgbench {
    /// Starts a load on a port; several can run at the same time.
    pub(crate) fn start(&self, load: Load, clients: u32, port: u16) -> Result<Running> {
        let logs = self.dir.join(format!("latency-{port}"));
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir(&logs)?;
        let child = Command::new(&self.program)
            .args(["-n", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
            .args(["-T", &self.seconds.to_string(), "-c", &clients.to_string()])
            .args(["-j", &clients.min(2).to_string()])
            .args(["-l", "--sampling-rate", SAMPLING_RATE, "--log-prefix", "tx"])
            .args(load.arguments(&self.dir)?)
            .arg(DATABASE)
            .current_dir(&logs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Running { child, logs })
    }
}

impl Running {
    /// Waits for the end of the load.
    pub(crate) fn finish(self) -> Result<Measured> {
        let output = self.child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let first = errors.lines().find(|line| line.contains("error")).unwrap_or("no reason given");
            return Err(Failure::new(format!("pgbench ended with {}: {first}", output.status)));
        }
        let (tps, failed) = read_report(&said).ok_or_else(|| Failure::new(format!("cannot read: {said}")))?;
        let mut latencies = read_latencies(&self.logs)?;
        latencies.sort_by(f64::total_cmp);
        let p99_ms = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(f64::NAN);
        let p50_ms = median(latencies).unwrap_or(f64::NAN);
        Ok(Measured { tps, failed, p50_ms, p99_ms })
    }
}

/// Rate and number of failed transactions.
fn read_report(text: &str) -> Option<(f64, u64)> {
    let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let tps = after("tps = ")?.split_whitespace().next()?.parse().ok()?;
    let failed = after("number of failed transactions: ")
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    Some((tps, failed))
}

/// Latencies in milliseconds: the third field of every line of pgbench's transaction logs.
fn read_latencies(logs: &Path) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(logs)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok());
        all.extend(micros.map(|micros| micros / 1000.0));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_of_version_15() {
        let text = "transaction type: <builtin: TPC-B (sort of)>\n\
                    number of failed transactions: 3 (0.001%)\n\
                    latency average = 1.1 ms\n\
                    tps = 913.254100 (without initial connection time)\n";
        assert_eq!(read_report(text), Some((913.2541, 3)));
        assert_eq!(read_report("nothing"), None);
    }
}
