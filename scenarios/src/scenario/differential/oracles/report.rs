//! What the oracles saw.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::session::Verdict;
use crate::scenario::differential::corpus::{Statement, Topic};
use crate::{Failure, Summary};

/// Findings that are shown in full.
const FINDINGS_SHOWN: usize = 50;
/// Bytes of a statement that are shown.
const WIDTH_SHOWN: usize = 500;

/// Everything of a run.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By kind: how many held, and how many of them ended with an error.
    held: BTreeMap<&'static str, (u64, u64)>,
    passed: u64,
    not_run: u64,
    lost: Vec<String>,
    findings: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, topic: &Topic, statement: &Statement, verdict: Verdict) {
        match verdict {
            Verdict::Holds(kind, failed) => {
                let (held, errors) = self.held.entry(kind).or_default();
                *held += 1;
                *errors += u64::from(failed);
            }
            Verdict::Passed => self.passed += 1,
            Verdict::NotRun => self.not_run += 1,
            Verdict::Finding(what) => self.findings.push(shown(topic, statement, &what)),
        }
    }

    /// A connection that a statement ended.
    pub(super) fn lost(&mut self, topic: &Topic, statement: &Statement, failure: &Failure) {
        self.lost.push(shown(topic, statement, &failure.to_string()));
    }

    /// How many of which kind.
    pub(super) fn table(&self) -> String {
        let mut text = String::from("| kind | held | of them errors |\n|---|---:|---:|\n");
        for (kind, (held, errors)) in &self.held {
            let _ = writeln!(text, "| {kind} | {held} | {errors} |");
        }
        for lost in &self.lost {
            let _ = writeln!(text, "lost: {lost}");
        }
        text
    }

    pub(super) fn summary(&self) -> Summary {
        let held: u64 = self.held.values().map(|(held, _)| held).sum();
        let of = |kind: &str| self.held.get(kind).map_or(0, |(held, _)| *held);
        let (proven, refused) = (of("proven"), of("refused probes"));
        Summary::default()
            .with("held", held)
            .with("proven", proven)
            .with("replicated", held - proven - refused - of("probed"))
            .with("not_looked_at", self.passed)
            .with("not_run", self.not_run)
            .with("lost", self.lost.len())
            .with("findings", self.findings.len())
    }

    /// Kinds without which a run says nothing.
    pub(super) fn is_vacuous(&self) -> bool {
        let kinds = [
            "proven",
            "probed",
            "refused probes",
            "keyed",
            "captured",
            "locked",
            "imaged",
            "copy",
            "utility",
            "sequences",
        ];
        kinds.iter().any(|kind| !self.held.contains_key(kind))
    }

    /// What must not be.
    pub(super) fn findings(&self) -> String {
        self.findings.iter().take(FINDINGS_SHOWN).map(|finding| format!("{finding}\n")).collect()
    }
}

fn shown(topic: &Topic, statement: &Statement, what: &str) -> String {
    let text: String = statement.text.chars().take(WIDTH_SHOWN).collect();
    format!("{}:{}: {what}\n  {text}", topic.name, statement.line)
}
