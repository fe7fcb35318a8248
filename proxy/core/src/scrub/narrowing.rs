//! From "these tables differ" to the rows, without reading the rows that are alike.
//!
//! ```text
//! Checksums of the whole table ─ alike ─────────────────────────────▶ nothing
//!            │ differ
//!            ▼
//!   few rows? ── yes ──▶ Rows of the range, compared one by one
//!            │ no
//!            ▼
//!   Bounds that cut the range ─▶ Checksums of its parts ─▶ each part that differs: the same again
//! ```
//! Members that sort text differently cut ranges differently; rows that are told of twice because of that cancel out at
//! the end, and what does not is found by whoever compares the tables again after the repair.

use super::{Checksum, Difference, Row};

/// A key's values, as text.
pub type Key = Vec<String>;

/// Keys behind `after`, up to and with `up_to`; `None`: no such bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The lower bound, which is not in it.
    pub after: Option<Key>,
    /// The upper bound, which is.
    pub up_to: Option<Key>,
}

/// One of the two members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is right.
    Base,
    /// The one that is to become like it.
    Target,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To both: checksums of the parts into which `bounds` cut the range, one more than there are bounds.
    Checksums {
        /// What is looked at.
        range: KeyRange,
        /// Upper bounds of all parts but the last.
        bounds: Vec<Key>,
    },
    /// To one: every so-many-th key of the range, in order.
    Bounds {
        /// Who holds more there.
        side: Side,
        /// What is to be cut.
        range: KeyRange,
        /// How many rows a part is to have.
        every: u64,
    },
    /// To both: all rows of the range.
    Rows(KeyRange),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Checksums`].
    Checksums {
        /// Of the base, part by part.
        base: Vec<Checksum>,
        /// Of the target.
        target: Vec<Checksum>,
    },
    /// To [`Ask::Bounds`].
    Bounds(Vec<Key>),
    /// To [`Ask::Rows`].
    Rows {
        /// Of the base.
        base: Vec<Row>,
        /// Of the target.
        target: Vec<Row>,
    },
}

/// Why a difference is not narrowed to rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowingError {
    /// Copying everything costs less.
    #[error("more than {0} rows differ")]
    TooManyRows(usize),
    /// So many rows have one key (a table without a key, full of like rows).
    #[error("{0} rows cannot be told apart by key")]
    TooManyAlike(u64),
    /// Not what was asked for.
    #[error("an answer does not fit its question")]
    Unexpected,
}

/// What still has to be asked, with what is needed to go on from the answer.
#[derive(Debug)]
struct Pending {
    ask: Ask,
    /// Cuts that led here.
    depth: u32,
    /// Rows of the range on the member that holds more: known behind its checksum.
    rows: u64,
}

/// The plan for one table.
#[derive(Debug)]
pub struct Narrowing {
    pending: Vec<Pending>,
    base: Vec<Row>,
    target: Vec<Row>,
    differing_max: usize,
}

impl Narrowing {
    /// Ranges of at most this many rows are compared row by row.
    pub const CHUNK_ROWS: u64 = 1000;
    /// Parts into which a range is cut at once.
    pub const PARTS: u64 = 32;
    /// Most rows that are compared one by one because cutting does not help (one key, many rows).
    pub const ALIKE_ROWS_MAX: u64 = 100_000;
    /// A range that was cut so often is compared row by row.
    const DEPTH_MAX: u32 = 12;

    /// Compares a whole table; more than `differing_max` rows on both sides together are an error.
    #[must_use]
    pub fn new(differing_max: usize) -> Self {
        let ask = Ask::Checksums { range: KeyRange::default(), bounds: Vec::new() };
        let pending = vec![Pending { ask, depth: 0, rows: 0 }];
        Narrowing { pending, base: Vec::new(), target: Vec::new(), differing_max }
    }

    /// The next question; `None`: all is known.
    #[must_use]
    pub fn ask(&self) -> Option<&Ask> {
        self.pending.last().map(|pending| &pending.ask)
    }

    /// Takes the answer to [`Narrowing::ask`].
    ///
    /// # Errors
    /// [`NarrowingError`]; the plan is of no use then.
    pub fn answer(&mut self, answer: Answer) -> Result<(), NarrowingError> {
        let Some(Pending { ask, depth, rows }) = self.pending.pop() else {
            return Err(NarrowingError::Unexpected);
        };
        match (ask, answer) {
            (Ask::Checksums { range, bounds }, Answer::Checksums { base, target }) => {
                self.compare(cut(&range, bounds), &base, &target, depth)
            }
            (Ask::Bounds { range, .. }, Answer::Bounds(bounds)) => self.split(range, bounds, depth, rows),
            (Ask::Rows(_), Answer::Rows { base, target }) => self.collect(base, target),
            _ => Err(NarrowingError::Unexpected),
        }
    }

    /// What was found, once there is no question left.
    #[must_use]
    pub fn finish(self) -> Difference {
        // A row may have been told of in another range there than here.
        Difference::between(self.base, self.target)
    }

    fn compare(
        &mut self,
        parts: Vec<KeyRange>,
        base: &[Checksum],
        target: &[Checksum],
        depth: u32,
    ) -> Result<(), NarrowingError> {
        if base.len() != parts.len() || target.len() != parts.len() {
            return Err(NarrowingError::Unexpected);
        }
        for (range, (here, there)) in parts.into_iter().zip(base.iter().zip(target)) {
            if here == there {
                continue;
            }
            let rows = here.rows.max(there.rows);
            let ask = if rows <= Self::CHUNK_ROWS || depth >= Self::DEPTH_MAX {
                rows_of(range, rows)?
            } else {
                let side = if here.rows >= there.rows { Side::Base } else { Side::Target };
                Ask::Bounds { side, range, every: rows.div_ceil(Self::PARTS) }
            };
            self.pending.push(Pending { ask, depth, rows });
        }
        Ok(())
    }

    fn split(&mut self, range: KeyRange, mut bounds: Vec<Key>, depth: u32, rows: u64) -> Result<(), NarrowingError> {
        bounds.dedup();
        // The last key of a range that has an upper bound may be that bound; behind it there is nothing to look at.
        bounds.retain(|bound| Some(bound) != range.up_to.as_ref());
        let ask = if bounds.is_empty() { rows_of(range, rows)? } else { Ask::Checksums { range, bounds } };
        self.pending.push(Pending { ask, depth: depth + 1, rows });
        Ok(())
    }

    fn collect(&mut self, base: Vec<Row>, target: Vec<Row>) -> Result<(), NarrowingError> {
        let Difference { surplus, missing } = Difference::between(base, target);
        self.base.extend(missing);
        self.target.extend(surplus);
        if self.base.len() + self.target.len() > self.differing_max {
            return Err(NarrowingError::TooManyRows(self.differing_max));
        }
        Ok(())
    }
}

fn rows_of(range: KeyRange, rows: u64) -> Result<Ask, NarrowingError> {
    if rows > Narrowing::ALIKE_ROWS_MAX { Err(NarrowingError::TooManyAlike(rows)) } else { Ok(Ask::Rows(range)) }
}

/// The parts of a range, in order.
fn cut(range: &KeyRange, bounds: Vec<Key>) -> Vec<KeyRange> {
    let mut after = range.after.clone();
    let mut parts = Vec::with_capacity(bounds.len() + 1);
    for bound in bounds {
        parts.push(KeyRange { after: after.replace(bound.clone()), up_to: Some(bound) });
    }
    parts.push(KeyRange { after, up_to: range.up_to.clone() });
    parts
}
