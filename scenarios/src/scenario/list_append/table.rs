//! The table: one line for each level and side.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkers::isolation::{Ending, Kept, Level, Verdict};
use crate::workloads::list_append::Told;
use crate::{Result, Summary};

const HEADINGS: [&str; 13] = [
    "level",
    "side",
    "transactions",
    "committed",
    "aborted",
    "40001",
    "40P01",
    "unknown",
    "unknown appends there / not",
    "faults",
    "seconds",
    "anomalies that the level permits",
    "that it forbids",
];

/// What one run at one level came to.
#[derive(Debug)]
pub(super) struct Line {
    name: &'static str,
    level: Level,
    committed: usize,
    aborted: usize,
    codes: BTreeMap<String, u64>,
    unknown: usize,
    kept: Kept,
    faults: u64,
    seconds: f64,
    verdict: Verdict,
}

impl Line {
    pub(super) fn new(
        name: &'static str,
        level: Level,
        told: &Told,
        (seconds, faults): (f64, u64),
        kept: Kept,
        verdict: Verdict,
    ) -> Self {
        let count = |ending| told.count(ending);
        Self {
            name,
            level,
            committed: count(Ending::Committed),
            aborted: count(Ending::Aborted),
            codes: told.aborted.clone(),
            unknown: count(Ending::Unknown),
            kept,
            faults,
            seconds,
            verdict,
        }
    }

    fn transactions(&self) -> usize {
        self.committed + self.aborted + self.unknown
    }

    fn cells(&self) -> Vec<String> {
        let code = |code: &str| self.codes.get(code).copied().unwrap_or_default().to_string();
        let permitted = self.verdict.permitted.iter().map(|(kind, count)| format!("{count} {kind}"));
        let forbidden = self.verdict.forbidden.iter().map(|(kind, (count, _))| format!("{count} {kind}"));
        let undecided = self.verdict.undecided.iter().map(|_| "no verdict".to_owned());
        let wrong: Vec<_> = forbidden.chain(undecided).collect();
        vec![
            self.level.sql().to_owned(),
            self.name.to_owned(),
            self.transactions().to_string(),
            self.committed.to_string(),
            self.aborted.to_string(),
            code("40001"),
            code("40P01"),
            self.unknown.to_string(),
            format!("{} / {}", self.kept.unknown_there, self.kept.unknown_gone),
            self.faults.to_string(),
            format!("{:.0}", self.seconds),
            permitted.collect::<Vec<_>>().join(", "),
            if wrong.is_empty() { "0".to_owned() } else { wrong.join(", ") },
        ]
    }
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Line>);

impl Table {
    /// Adds a line; returns its verdict.
    pub(super) fn add(&mut self, line: Line) -> Verdict {
        let verdict = line.verdict.clone();
        self.0.push(line);
        verdict
    }

    /// As a Markdown table.
    pub(super) fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = row(&HEADINGS.map(str::to_owned));
        text.push_str(&row(&HEADINGS.map(|_| "---".to_owned())));
        text.extend(self.0.iter().map(|line| row(&line.cells())));
        text
    }

    /// Writes the table and what it means into `file`.
    pub(super) fn write(&self, file: &Path, heading: &str) -> Result<()> {
        let text = format!(
            "# list-append: {heading}\n\n{}\n\
             *Control*: one bare PostgreSQL, the same seed, the same checker.\n*Aborted*: the client was told so, or rolled \
             back by its own wish; 40001 and 40P01 are parts of it.\n*Unknown*: the connection was lost while the commit was \
             under way; their appends are either there or not, and none by halves.\n*Anomalies*: a kind of cycle is counted \
             once in each connected component of the graph, lost updates and the like one by one. A kind that a weaker \
             one found before implies is not looked for. After each level members were compared with each other and with \
             what was acknowledged.\n",
            self.markdown()
        );
        Ok(std::fs::write(file, text)?)
    }

    pub(super) fn summary(&self) -> Summary {
        let sum = |of: fn(&Line) -> usize| self.0.iter().map(of).sum::<usize>();
        Summary::default()
            .with("transactions", sum(Line::transactions))
            .with("committed", sum(|line| line.committed))
            .with("unknown", sum(|line| line.unknown))
            .with("faults", self.0.iter().map(|line| line.faults).sum::<u64>())
            .with("forbidden", 0)
    }
}
