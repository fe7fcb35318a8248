//! What was found, as Markdown: totals by topic, reasons of refusal, differences in full.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::answer::Answer;
use super::outcome::{Compared, MemberDifference, Outcome};
use super::refusals::{Refusals, without_names};
use crate::Result;

/// Differences that are shown in full.
const DIFFERENCES_SHOWN: usize = 50;
/// Lines of each side of a difference that are shown.
const LINES_SHOWN: usize = 12;
/// Bytes of a line or statement that are shown.
const WIDTH_SHOWN: usize = 600;

/// Everything of a run.
#[derive(Debug)]
pub(super) struct Report {
    compared: Vec<Compared>,
    members: Vec<MemberDifference>,
    refusals: Refusals,
    /// Refusals whose reason is not in the list.
    unlisted: Vec<Compared>,
    /// Statements that came behind one that spoilt the environment.
    not_run: usize,
}

/// How often each outcome was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) statements: u64,
    pub(super) identical: u64,
    /// Of those, errors.
    pub(super) errors: u64,
    pub(super) refused: u64,
    pub(super) different: u64,
    pub(super) known: u64,
    pub(super) mended: u64,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        self.statements += 1;
        match outcome {
            Outcome::Identical { error } => {
                self.identical += 1;
                self.errors += u64::from(*error);
            }
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Different { .. } => self.different += 1,
            Outcome::Known(_) => self.known += 1,
            Outcome::Mended(_) => {
                self.identical += 1;
                self.mended += 1;
            }
        }
    }
}

impl Report {
    pub(super) fn new(refusals: Refusals) -> Self {
        Self { compared: Vec::new(), members: Vec::new(), refusals, unlisted: Vec::new(), not_run: 0 }
    }

    pub(super) fn add(&mut self, compared: Vec<Compared>, not_run: usize) {
        self.not_run += not_run;
        for one in compared {
            if let Outcome::Refused(reason) = &one.outcome
                && !self.refusals.allow(reason)
            {
                self.unlisted.push(one.clone());
            }
            self.compared.push(one);
        }
    }

    pub(super) fn add_member_difference(&mut self, difference: MemberDifference) {
        self.members.push(difference);
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.compared.iter().for_each(|one| counts.add(&one.outcome));
        counts
    }

    pub(super) fn not_run(&self) -> usize {
        self.not_run
    }

    pub(super) fn member_differences(&self) -> usize {
        self.members.len()
    }

    /// Whether everything that was found is allowed.
    pub(super) fn passed(&self) -> bool {
        self.counts().different == 0 && self.not_run == 0 && self.members.is_empty() && self.unlisted.is_empty()
    }

    /// What must not be: unlisted refusals, differences, member differences.
    pub(super) fn findings(&self) -> String {
        let mut text = String::new();
        for difference in &self.members {
            let MemberDifference { topic, protocol, found, culprit } = difference;
            let culprit = culprit.as_deref().unwrap_or("(it did not come again when compared behind each statement)");
            let _ = writeln!(text, "members, {topic}, {}, behind:\n{}\n{found}\n", protocol.name(), cut(culprit));
        }
        for one in &self.unlisted {
            if let Outcome::Refused(reason) = &one.outcome {
                let _ = writeln!(
                    text,
                    "refused, not in the list, {}:\n  {}\n  {reason}\n",
                    place(one),
                    cut(&one.statement.text)
                );
            }
        }
        let different = self.compared.iter().filter_map(|one| match &one.outcome {
            Outcome::Different { proxied, bare } => Some((one, proxied, bare)),
            _ => None,
        });
        for (one, proxied, bare) in different.take(DIFFERENCES_SHOWN) {
            let _ = writeln!(text, "different, {}:\n  {}", place(one), cut(&one.statement.text));
            side(&mut text, "proxy", proxied, bare);
            side(&mut text, "bare ", bare, proxied);
            text.push('\n');
        }
        text
    }

    /// Writes all into `file`.
    pub(super) fn write(&self, file: &Path, heading: &str) -> Result<()> {
        let mut text = format!("# Differential test: {heading}\n\n{}\n## Refused\n\n{}", self.table(), self.reasons());
        let stale = self.refusals.stale();
        if !stale.is_empty() {
            let _ = writeln!(text, "\nLines of `refused.txt` for which nothing was refused: {}", stale.join("; "));
        }
        let _ = write!(text, "\n## Known bugs\n\n{}", self.known());
        let findings = self.findings();
        let _ = writeln!(text, "\n## Findings\n\n{}", if findings.is_empty() { "None." } else { "" });
        if !findings.is_empty() {
            let _ = writeln!(text, "```text\n{findings}```");
        }
        Ok(std::fs::write(file, text)?)
    }

    /// Totals by topic and protocol.
    pub(super) fn table(&self) -> String {
        let mut rows: BTreeMap<(&str, &str), Counts> = BTreeMap::new();
        for one in &self.compared {
            rows.entry((one.topic.as_str(), one.protocol.name())).or_default().add(&one.outcome);
        }
        let mut text =
            "| topic | protocol | statements | identical | of them errors | refused | different | known bugs |\n\
                        |---|---|---:|---:|---:|---:|---:|---:|\n"
                .to_owned();
        let total = (("all", "both"), self.counts());
        for ((topic, protocol), counts) in rows.into_iter().chain([total]) {
            let Counts { statements, identical, errors, refused, different, known, .. } = counts;
            let _ = writeln!(
                text,
                "| {topic} | {protocol} | {statements} | {identical} | {errors} | {refused} | {different} | {known} |"
            );
        }
        text
    }

    /// Reasons of refusal, how often, one example each.
    pub(super) fn reasons(&self) -> String {
        let mut reasons: BTreeMap<String, (u64, &Compared)> = BTreeMap::new();
        for one in &self.compared {
            if let Outcome::Refused(reason) = &one.outcome {
                reasons.entry(without_names(reason)).or_insert((0, one)).0 += 1;
            }
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let mut text = "| times | reason | one of the statements |\n|---:|---|---|\n".to_owned();
        for (reason, (count, one)) in reasons {
            let _ = writeln!(text, "| {count} | {} | {} |", cell(&reason), cell(&one.statement.text));
        }
        text
    }

    /// Known bugs, and those that are none any more.
    fn known(&self) -> String {
        let mut bugs: BTreeMap<(&str, &str), (u64, &Compared)> = BTreeMap::new();
        for one in &self.compared {
            let (state, why) = match &one.outcome {
                Outcome::Known(why) => ("open", why),
                Outcome::Mended(why) => ("identical now: take the mark out", why),
                _ => continue,
            };
            bugs.entry((why, state)).or_insert((0, one)).0 += 1;
        }
        let mut text = "| times | state | bug | one of the statements |\n|---:|---|---|---|\n".to_owned();
        for ((why, state), (count, one)) in bugs {
            let _ = writeln!(text, "| {count} | {state} | {} | {} |", cell(why), cell(&one.statement.text));
        }
        text
    }
}

fn place(one: &Compared) -> String {
    format!("{}:{}, {}", one.topic, one.statement.line, one.protocol.name())
}

/// The lines of `here` from the first one that is not the same on the other side.
fn side(text: &mut String, name: &str, here: &Answer, there: &Answer) {
    let same = here.lines.iter().zip(&there.lines).take_while(|(here, there)| here == there).count();
    for line in here.lines.iter().skip(same).take(LINES_SHOWN) {
        let _ = writeln!(text, "  {name} | {}", cut(line));
    }
    let more = here.lines.len().saturating_sub(same + LINES_SHOWN);
    if more > 0 {
        let _ = writeln!(text, "  {name} | and {more} more");
    }
}

fn cut(text: &str) -> String {
    let end = text.char_indices().map(|(index, _)| index).find(|index| *index > WIDTH_SHOWN);
    end.map_or_else(|| text.to_owned(), |end| format!("{} …", &text[..end]))
}

/// A text for one cell of a table.
fn cell(text: &str) -> String {
    cut(text).replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}
