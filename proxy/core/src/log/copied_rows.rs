//! Up to where the log may be forgotten though rows of COPY stand apart from the intents that name them.
//!
//! The records of a COPY's rows are written while its transaction is open; the intent that names them comes later. Whoever
//! needs the intent needs the rows, so a truncation before the intent must not pass the first of them.

use std::collections::BTreeMap;

use super::{Intent, IntentStatement, Position};

/// Transactions with rows of COPY in the log.
#[derive(Clone, Debug, Default)]
pub struct CopiedRows {
    next: u64,
    /// No record of the transaction stands before the first; none behind the second, `None`: it is open.
    spans: BTreeMap<u64, (Position, Option<Position>)>,
}

impl CopiedRows {
    /// A transaction is about to write its first rows; the log's last record is `end`.
    pub fn open(&mut self, end: Position) -> u64 {
        self.next += 1;
        self.spans.insert(self.next, (end.next(), None));
        self.next
    }

    /// The transaction has ended; its intent, if there is one, is not behind `end`.
    pub fn close(&mut self, transaction: u64, end: Position) {
        if let Some(span) = self.spans.get_mut(&transaction) {
            span.1 = Some(end);
        }
    }

    /// An intent was found in the log.
    pub fn found(&mut self, position: Position, intent: &Intent) {
        let rows = intent.entries.iter().filter_map(|entry| match &entry.statement {
            IntentStatement::Copy { rows, .. } => rows.iter().min(),
            IntentStatement::Simple(_) | IntentStatement::Extended { .. } => None,
        });
        if let Some(first) = rows.min() {
            self.next += 1;
            self.spans.insert(self.next, (*first, Some(position)));
        }
    }

    /// The first rows that are needed if nobody needs an intent before `before`.
    pub fn held(&self, before: Position) -> Option<Position> {
        let needed = self.spans.values().filter(|(_, end)| end.is_none_or(|end| end >= before));
        needed.map(|(first, _)| *first).min()
    }

    /// Everything before `before` was forgotten.
    pub fn forget(&mut self, before: Position) {
        self.spans.retain(|_, (_, end)| end.is_none_or(|end| end >= before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Context, IntentEntry};

    #[test]
    fn rows_are_kept_as_long_as_their_intent() {
        let mut rows = CopiedRows::default();
        assert_eq!(rows.held(Position(100)), None);
        let first = rows.open(Position(9));
        let second = rows.open(Position(20));
        assert_eq!(rows.held(Position(100)), Some(Position(10)), "open: whatever is forgotten");
        rows.close(first, Position(50));
        assert_eq!(rows.held(Position(50)), Some(Position(10)), "its intent may be the one at 50");
        assert_eq!(rows.held(Position(51)), Some(Position(21)));
        rows.close(second, Position(60));
        rows.forget(Position(51));
        assert_eq!(rows.held(Position::START), Some(Position(21)));
        assert_eq!(rows.held(Position(61)), None);
    }

    #[test]
    fn intents_of_an_earlier_time_name_their_rows() {
        let entry = |statement| IntentEntry { statement, tag: None, alone: false };
        let copy = |rows: &[u64]| {
            entry(IntentStatement::Copy { text: Vec::new(), rows: rows.iter().copied().map(Position).collect() })
        };
        let intent = |entries| Intent { context: Context::default(), entries, ..Intent::default() };
        let mut rows = CopiedRows::default();
        rows.found(Position(5), &intent(vec![entry(IntentStatement::Simple(Vec::new()))]));
        assert_eq!(rows.held(Position::START), None);
        rows.found(Position(30), &intent(vec![copy(&[]), copy(&[14, 15]), copy(&[12])]));
        assert_eq!((rows.held(Position(30)), rows.held(Position(31))), (Some(Position(12)), None));
    }
}
