//! The table: one line for each fault.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::checks::Findings;
use super::faults::Fault;
use super::load::CycleLog;
use crate::Result;

const HEADINGS: [&str; 13] = [
    "fault",
    "cycles",
    "acknowledged",
    "lost",
    "aborted but present",
    "member differences",
    "unknown",
    "told aborted",
    "pause p50 ms",
    "pause p99 ms",
    "pause max ms",
    "to all enabled p50 ms",
    "to all enabled max ms",
];

/// What was measured for one fault, over all its cycles.
#[derive(Debug)]
struct Line {
    fault: Fault,
    cycles: u64,
    acknowledged: u64,
    found: Findings,
    unknown: u64,
    aborted: u64,
    pauses: Vec<Duration>,
    enabled: Vec<Duration>,
}

/// All lines.
#[derive(Debug)]
pub(super) struct Report(Vec<Line>);

impl Report {
    pub(super) fn new(faults: &[Fault]) -> Self {
        let line = |fault: &Fault| Line {
            fault: *fault,
            cycles: 0,
            acknowledged: 0,
            found: Findings::default(),
            unknown: 0,
            aborted: 0,
            pauses: Vec::new(),
            enabled: Vec::new(),
        };
        Self(faults.iter().map(line).collect())
    }

    /// Adds a cycle in which all members came back, whatever was found then.
    pub(super) fn add(&mut self, fault: Fault, log: &CycleLog, times: (Instant, Duration), found: &Findings) {
        let Some(line) = self.0.iter_mut().find(|line| line.fault == fault) else {
            return;
        };
        let (fault_at, to_enabled) = times;
        line.cycles += 1;
        line.acknowledged += log.writes();
        line.found.lost += found.lost;
        line.found.present += found.present;
        line.found.differences += found.differences;
        line.unknown += log.unknown;
        line.aborted += log.aborted.values().sum::<u64>();
        line.pauses.extend(pauses(log, fault_at));
        line.enabled.push(to_enabled);
    }

    /// Sum over all faults of acknowledged writes and of unknown outcomes.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.0.iter().fold((0, 0), |(writes, unknown), line| (writes + line.acknowledged, unknown + line.unknown))
    }

    /// As a Markdown table whose columns are aligned, to be read as it is as well.
    pub(super) fn markdown(&self) -> String {
        let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
        rows.extend(self.0.iter().map(Line::cells));
        let widths: Vec<usize> = (0..HEADINGS.len())
            .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default())
            .collect();
        let mut text = String::new();
        for (index, row) in rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _ = if column == 0 { write!(text, "| {cell:<width$} ") } else { write!(text, "| {cell:>width$} ") };
            }
            text.push_str("|\n");
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let _ = write!(text, "|{}{}", "-".repeat(width + 1), if column == 0 { "-" } else { ":" });
                }
                text.push_str("|\n");
            }
        }
        text
    }

    /// Writes the table and what it means into `file`.
    pub(super) fn write(&self, file: &Path, heading: &str) -> Result<()> {
        let text = format!(
            "# Chaos: {heading}\n\n{}\n\
             *Pause*: the longest time that one client went without an acknowledged write in one cycle, one figure for \
             each client and cycle.\n*To all enabled*: from the start of the last process that was killed (its own \
             recovery included), or from SIGCONT, until `/status` shows all members enabled.\n*Unknown*: the connection \
             was lost while the commit was under way; never counted as done or not done.\n*Told aborted*: the client was \
             told, or could tell, that its transaction is not done.\n",
            self.markdown()
        );
        Ok(std::fs::write(file, text)?)
    }
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let millis = |time: Duration| time.as_millis().to_string();
        vec![
            self.fault.name().to_owned(),
            self.cycles.to_string(),
            self.acknowledged.to_string(),
            self.found.lost.to_string(),
            self.found.present.to_string(),
            self.found.differences.to_string(),
            self.unknown.to_string(),
            self.aborted.to_string(),
            millis(percentile(&self.pauses, 50)),
            millis(percentile(&self.pauses, 99)),
            millis(percentile(&self.pauses, 100)),
            millis(percentile(&self.enabled, 50)),
            millis(percentile(&self.enabled, 100)),
        ]
    }
}

/// The longest pause of each writer: between two acknowledged writes, at least the second of which was after the fault.
pub(super) fn pauses(log: &CycleLog, fault_at: Instant) -> Vec<Duration> {
    let of_one = |moments: &Vec<Instant>| {
        let gaps = moments.windows(2).filter(|pair| pair[1] > fault_at).map(|pair| pair[1].duration_since(pair[0]));
        // A writer whose first acknowledged write in this cycle came after the fault had nothing since before it.
        let first = moments.first().map(|first| first.saturating_duration_since(fault_at));
        gaps.chain(first).max()
    };
    log.acknowledged.iter().filter_map(of_one).collect()
}

/// The value below or at which `percent` of all are.
pub(in super::super) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times, 100), Duration::from_millis(200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn a_pause_before_the_fault_does_not_count() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let acknowledged = vec![vec![at(0), at(500), at(590), at(700), at(750)], vec![at(900)]];
        let log = CycleLog { acknowledged, ..CycleLog::default() };
        assert_eq!(pauses(&log, at(600)), [Duration::from_millis(110), Duration::from_millis(300)]);
    }
}
