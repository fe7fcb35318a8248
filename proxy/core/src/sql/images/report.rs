//! What the lead says of a transaction before and behind a statement: rows of `raidb.capture_begin` and `raidb.capture_end`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::text::quote_qualified;
use super::{Image, Operation};

/// Rows of six columns, in the client's encoding.
pub type Rows<'r> = [Vec<Option<&'r [u8]>>];

/// Whether images may be applied by the session's user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Permission {
    /// It may set `session_replication_role`.
    Ready,
    /// It may not; its name.
    Forbidden(String),
    /// Nothing can be written in this transaction.
    ReadOnly,
    /// The report does not say.
    #[default]
    Unsaid,
}

/// Rows written to one table by a transaction, by attempts, and what is known of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inserted, updated, deleted.
    pub rows: [i64; 3],
    /// Capture triggers that always fire.
    pub triggers: usize,
    /// `pg_class.relpersistence`.
    pub persistence: u8,
    /// The session's user may write every row of it.
    pub writable: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// See [`Permission`].
    pub permission: Permission,
    /// Tables written, system tables included.
    pub tables: BTreeMap<(String, String), Counts>,
    /// Sequences used, quoted, with what they have handed out last, if that is known.
    pub sequences: Vec<(String, Option<i64>)>,
    /// Rows of a table of users are locked.
    pub locks_rows: bool,
    /// Advisory locks that are held: key and mode.
    pub advisory: BTreeSet<String>,
    /// Sequences (quoted) that the transaction has for itself: altered, or set back with their table.
    pub resets: BTreeSet<String>,
    /// Tables that the transaction has for itself.
    pub alone: BTreeSet<(String, String)>,
    /// Rows written are not counted (`track_counts` is off).
    pub blind: bool,
    /// Settings that say what statements mean.
    pub settings: Vec<String>,
    /// Cursors WITH HOLD of the session, and when they were made.
    pub held_cursors: BTreeSet<(String, String)>,
    /// Images, in the order in which they were taken.
    pub images: Vec<Image>,
}

impl Report {
    /// Reads the rows. `None`: they are not such a report.
    #[must_use]
    pub fn of(rows: &Rows<'_>) -> Option<Self> {
        let mut report = Report::default();
        for row in rows {
            report.add(row)?;
        }
        Some(report)
    }

    fn add(&mut self, row: &[Option<&[u8]>]) -> Option<()> {
        let [Some(kind), rest @ ..] = row else { return None };
        let text = |at: usize| Some(String::from_utf8_lossy((*rest.get(at)?)?).into_owned());
        match *kind {
            b"ready" => self.permission = Permission::Ready,
            b"forbidden" => self.permission = Permission::Forbidden(text(0)?),
            b"read only" => self.permission = Permission::ReadOnly,
            b"settings" => self.settings = (0..rest.len()).map(|at| text(at).unwrap_or_default()).collect(),
            b"held cursor" => _ = self.held_cursors.insert((text(0)?, text(1)?)),
            b"advisory" => _ = self.advisory.insert(text(0)?),
            b"reset" => _ = self.resets.insert(quote_qualified(&text(0)?, &text(1)?)),
            b"alone" => _ = self.alone.insert((text(0)?, text(1)?)),
            b"blind" => self.blind = true,
            b"row lock" => self.locks_rows = true,
            b"sequence" => {
                let value = text(2).and_then(|value| value.parse().ok());
                self.sequences.push((quote_qualified(&text(0)?, &text(1)?), value));
            }
            b"table" => {
                let numbers = text(2)?;
                let mut numbers = numbers.split(' ').map(|n| n.parse::<i64>().ok());
                let rows = [numbers.next()??, numbers.next()??, numbers.next()??];
                let facts = text(4)?;
                let counts = Counts {
                    rows,
                    triggers: text(3)?.parse().ok()?,
                    persistence: *facts.as_bytes().first()?,
                    writable: facts.ends_with('w'),
                };
                self.tables.insert((text(0)?, text(1)?), counts);
            }
            b"image" => {
                let value = |at: usize| rest.get(at).copied().flatten().map(<[u8]>::to_vec);
                let truncate = text(0)? == "T";
                let operation =
                    if truncate { Operation::Truncate { relations: text(4)?.parse().ok()? } } else { Operation::Row };
                let (old, new) = if truncate { (None, None) } else { (value(3), value(4)) };
                self.images.push(Image { operation, table: (text(1)?, text(2)?), old, new });
            }
            _ => return None,
        }
        Some(())
    }
}
