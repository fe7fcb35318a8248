//! Histories of list-append transactions, judged: which anomalies they hold, and which of these their isolation level forbids.
//!
//! Transactions append elements that are unique to lists and read whole lists. A list that is read names the order of all
//! appends before it, so which transaction depends on which follows from the answers alone; a cycle of dependencies is an
//! anomaly. The search is that of the crate `adya`; the tests here show that it finds every kind that a level forbids.

mod history;
mod kept;
mod level;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use adya::model::prohibited_by;
use adya::{Opts, Workload};

pub use history::{Ending, Operation, Transaction};
pub use kept::{Kept, kept};
pub use level::Level;

/// Longest search for a kind of cycle in one component of the graph; beyond it the history is not judged, which is a failure.
const SEARCH_LIMIT: Duration = Duration::from_secs(120);
/// The strongest model, which all kinds of anomalies violate: so those that a level permits are counted as well.
const STRONGEST: &str = "strict-serializable";
/// Kinds by which `adya` says that it could not judge.
const UNDECIDED: [&str; 4] =
    ["cycle-search-timeout", "empty-transaction-graph", "duplicate-appends", "unexpected-txn-micro-op-types"];
/// Letters of an explanation that are kept.
const EXPLANATION_LIMIT: usize = 4000;

/// What a history holds, by kind of anomaly.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Kinds that the level forbids, how often each was found, and how the first one came about.
    pub forbidden: BTreeMap<String, (usize, String)>,
    /// Kinds that the level permits, and how often each was found (cycles: once in each component of the graph).
    pub permitted: BTreeMap<String, usize>,
    /// Why there is no verdict.
    pub undecided: Vec<String>,
}

impl Verdict {
    /// True if the history was judged and holds nothing that its level forbids.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.forbidden.is_empty() && self.undecided.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undecided = self.undecided.iter().map(|why| format!("no verdict: {why}"));
        let forbidden =
            self.forbidden.iter().map(|(kind, (count, first))| format!("{count} {kind}, the first:\n{first}"));
        f.write_str(&undecided.chain(forbidden).collect::<Vec<_>>().join("\n"))
    }
}

/// Judges a history by what `level` forbids.
#[must_use]
pub fn judge(transactions: &[Transaction], level: Level) -> Verdict {
    let options = Opts { models: vec![STRONGEST.to_owned()], timeout: SEARCH_LIMIT, ..Opts::default() };
    let report = adya::check(&history::history(transactions), Workload::ListAppend, &options);
    let forbidden = prohibited_by(level.models());
    let mut verdict = Verdict::default();
    for (kind, found) in report.anomalies {
        let first = found.first().map_or("", |anomaly| &anomaly.explanation);
        let first: String = first.chars().take(EXPLANATION_LIMIT).collect();
        if UNDECIDED.contains(&kind.as_str()) {
            verdict.undecided.push(format!("{kind}: {first}"));
        } else if forbidden.contains(&kind) {
            verdict.forbidden.insert(kind, (found.len(), first));
        } else {
            verdict.permitted.insert(kind, found.len());
        }
    }
    verdict
}
