//! What the clients were told: keys by outcome for all of the run, and the figures of the cycle that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use crate::workloads::Ended;
use crate::workloads::unique_inserts::Journal;

/// Unknown outcomes and unexpected answers of one cycle whose text is kept.
const TEXTS_KEPT: usize = 20;

/// What a writer writes; each kind has a table with one key per transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Kind {
    /// One row by one statement without a transaction.
    Insert,
    /// TPC-B: three balances and a line of history.
    Transfer,
    /// An order with its lines: sequence, foreign key, savepoint, and now and then a rollback.
    Order,
}

impl Kind {
    pub(in super::super) const ALL: [Self; 3] = [Self::Insert, Self::Transfer, Self::Order];

    /// The kind of that writer.
    pub(in super::super) fn of(writer: usize) -> Self {
        Self::ALL[writer % Self::ALL.len()]
    }

    /// The table, and in it the column with the key.
    pub(in super::super) fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Insert => ("unique_inserts", "key"),
            Self::Transfer => ("chaos_history", "key"),
            Self::Order => ("chaos_order", "key"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert => "insert",
            Self::Transfer => "transfer",
            Self::Order => "order",
        })
    }
}

/// What the clients were told in one cycle.
#[derive(Debug, Default)]
pub(in super::super) struct CycleLog {
    /// By writer, the moments of acknowledged writes.
    pub acknowledged: Vec<Vec<Instant>>,
    /// Transactions that ended in an error that says they are not done, by SQLSTATE (`lost` = connection lost before
    /// COMMIT was sent).
    pub aborted: BTreeMap<String, u64>,
    /// Transactions whose outcome is open.
    pub unknown: u64,
    /// The first of their errors.
    pub unknown_texts: Vec<String>,
    /// Answers that no single database would have given, at any time.
    pub unexpected: Vec<String>,
    /// Errors that ended the lock holder's transaction.
    pub holder_losses: Vec<String>,
}

/// Keys by outcome, and the log of the cycle.
#[derive(Debug, Default)]
pub(in super::super) struct Ledger {
    journals: BTreeMap<Kind, Journal>,
    cycle: CycleLog,
    progress: Vec<u64>,
}

impl Ledger {
    pub(super) fn new(clients: usize) -> Self {
        let journals = Kind::ALL.into_iter().map(|kind| (kind, Journal::default())).collect();
        Self { journals, cycle: CycleLog::of(clients), progress: vec![0; clients] }
    }

    /// Acknowledged writes of each client.
    pub(super) fn progress(&self) -> &[u64] {
        &self.progress
    }

    pub(super) fn take_cycle(&mut self) -> CycleLog {
        std::mem::replace(&mut self.cycle, CycleLog::of(self.progress.len()))
    }

    /// Books the end of one transaction.
    pub(super) fn record(&mut self, client: usize, kind: Kind, key: i64, ended: Ended) {
        let journal = self.journals.entry(kind).or_default();
        match ended {
            Ended::Done => {
                journal.acknowledged.insert(key);
                self.progress[client] += 1;
                self.cycle.acknowledged[client].push(Instant::now());
            }
            Ended::RolledBack => drop(journal.refused.insert(key)),
            Ended::NotDone(code) => {
                journal.refused.insert(key);
                *self.cycle.aborted.entry(code).or_default() += 1;
            }
            Ended::Unknown(text) => {
                journal.unknown.insert(key);
                self.cycle.unknown += 1;
                keep(&mut self.cycle.unknown_texts, format!("client {client}, {kind} {key}: {text}"));
            }
            Ended::Unexpected(text) => {
                journal.unknown.insert(key);
                keep(&mut self.cycle.unexpected, format!("client {client}, {kind} {key}: {text}"));
            }
        }
    }

    /// Books a sign of life of the lock holder.
    pub(super) fn holder_lives(&mut self, client: usize) {
        self.progress[client] += 1;
    }

    /// Books the end of the lock holder's transaction.
    pub(super) fn holder_lost(&mut self, text: String) {
        if text.contains("keep-alive changed") {
            keep(&mut self.cycle.unexpected, format!("lock holder: {text}"));
        } else {
            keep(&mut self.cycle.holder_losses, text);
        }
    }

    /// The keys of a kind by outcome.
    pub(in super::super) fn journal(&self, kind: Kind) -> Journal {
        self.journals.get(&kind).cloned().unwrap_or_default()
    }

    /// How many keys are remembered.
    pub(in super::super) fn len(&self) -> usize {
        self.journals.values().map(|journal| journal.acknowledged.len()).sum()
    }

    /// Books what became of keys with an open outcome: from now on they must stay so.
    pub(in super::super) fn settle(&mut self, kind: Kind, found: &BTreeSet<i64>) {
        let journal = self.journals.entry(kind).or_default();
        for key in std::mem::take(&mut journal.unknown) {
            let side = if found.contains(&key) { &mut journal.acknowledged } else { &mut journal.refused };
            side.insert(key);
        }
    }

    /// Forgets the keys whose rows were removed. Those that were refused must still never appear.
    pub(in super::super) fn forget_rows(&mut self) {
        for journal in self.journals.values_mut() {
            let gone = std::mem::take(&mut journal.acknowledged);
            // A removed row that comes back is as wrong as one that was never acknowledged.
            journal.refused.extend(gone);
        }
    }
}

impl CycleLog {
    fn of(clients: usize) -> Self {
        Self { acknowledged: vec![Vec::new(); clients], ..Self::default() }
    }

    /// Acknowledged writes of all writers.
    pub(in super::super) fn writes(&self) -> u64 {
        self.acknowledged.iter().map(|moments| moments.len() as u64).sum()
    }
}

fn keep(texts: &mut Vec<String>, text: String) {
    if texts.len() < TEXTS_KEPT {
        texts.push(text);
    }
}
