//! Texts that mean the present time when they are read as a date or time: each member would read its own clock.
//!
//! The analysis sees those in a statement's text; values that come apart from it, by Bind or COPY, are looked at here.
//! Which column a value goes to is not always known, so a value is suspected if it is nothing but such words, and the
//! statement is refused only where it could reach a column that may hold a time.

use raidb_core::sql::catalog::Table;
use raidb_core::sql::may_mean_now;

use super::statement::Bound;
use super::trouble::SqlError;
use crate::wire::decode;

/// Built-in types that never read a text as a time: boolean, bytea, "char", name, integers, text, oid, json, xml, money,
/// network addresses, char(n), varchar, bit strings, floats, numeric, uuid, jsonb, interval, geometric types.
const TIMELESS: [u32; 33] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774, 790, 829, 869,
    1042, 1043, 1186, 1560, 1562, 1700, 2950, 3802,
];

/// Words that stand beside one of the four in a date or time.
const COMPANIONS: [&[u8]; 12] =
    [b"now", b"today", b"tomorrow", b"yesterday", b"allballs", b"infinity", b"utc", b"z", b"am", b"pm", b"at", b"null"];

/// Whether a text is nothing but words of the present time.
fn is_present_time(text: &[u8]) -> bool {
    let companion = |word: &[u8]| COMPANIONS.iter().any(|known| word.eq_ignore_ascii_case(known));
    may_mean_now(text) && text.split(|b| !b.is_ascii_alphabetic()).filter(|word| !word.is_empty()).all(companion)
}

/// Whether a value could become a time in this table.
fn may_hold_time(table: &Table) -> bool {
    table.columns.iter().any(|column| !TIMELESS.contains(&column.type_oid))
}

/// Refuses text parameters of open type that mean the present time.
///
/// # Errors
/// 0A000.
pub(crate) fn refuse_parameters(table: &Table, bound: &Bound) -> Result<(), SqlError> {
    let casts = bound.prepared.text.windows(2).any(|pair| pair == b"::");
    if !casts && !may_hold_time(table) {
        return Ok(());
    }
    refuse_any_present_time(bound)
}

/// The same, where it is not known what becomes of the parameters.
///
/// # Errors
/// 0A000.
pub(crate) fn refuse_any_present_time(bound: &Bound) -> Result<(), SqlError> {
    let types = &bound.prepared.types;
    for (index, parameter) in decode::bind_parameters(&bound.tail).iter().enumerate() {
        let oid = types.get(2 + 4 * index..6 + 4 * index).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        if !parameter.binary && !TIMELESS.contains(&oid) && parameter.value.is_some_and(is_present_time) {
            let what = format!(
                "parameter ${} may mean the present time, which each member would read by its own clock",
                index + 1
            );
            return Err(SqlError::refused(
                what,
                "Write now() or CURRENT_DATE in the statement, or send the time itself.",
            ));
        }
    }
    Ok(())
}

/// Looks through the rows of a COPY in text or CSV format.
#[derive(Debug)]
pub(crate) struct RowScan {
    active: bool,
    /// Beginning of a field whose end has not come yet.
    begun: Vec<u8>,
}

/// A field longer than this is no time.
const FIELD_BYTES_MAX: usize = 160;

impl RowScan {
    /// For a COPY into `table`; binary rows hold no such texts.
    pub(crate) fn new(table: &Table, copy: &[u8]) -> Self {
        let binary = copy.windows(6).any(|word| word.eq_ignore_ascii_case(b"binary"));
        RowScan { active: !binary && may_hold_time(table), begun: Vec::new() }
    }

    /// Takes the body of a CopyData message (or, with nothing, the end). True if a field means the present time.
    pub(crate) fn finds(&mut self, rows: &[u8]) -> bool {
        if !self.active {
            return false;
        }
        let ends = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | b',' | b';' | b'|' | b'"');
        let mut found = rows.is_empty() && is_present_time(&self.begun);
        let mut fields = rows.split(ends).peekable();
        while let Some(field) = fields.next() {
            if self.begun.len() <= FIELD_BYTES_MAX {
                let rest = FIELD_BYTES_MAX + 1 - self.begun.len();
                self.begun.extend_from_slice(&field[..field.len().min(rest)]);
            }
            if fields.peek().is_some() {
                found |= is_present_time(&self.begun);
                self.begun.clear();
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_not_the_present_time() {
        for text in ["now", "'NOW'", "{now}", "[now,infinity)", "today 12:00", "Yesterday allballs UTC"] {
            assert!(is_present_time(text.as_bytes()), "{text}");
        }
        for text in ["buy now", "nowhere", "", "2026-01-01", "know", "now is the time"] {
            assert!(!is_present_time(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn fields_are_put_together_over_messages() {
        let mut scan = RowScan { active: true, begun: Vec::new() };
        assert!(!scan.finds(b"1\tn"));
        assert!(!scan.finds(b"o"));
        assert!(scan.finds(b"w\n2\tx\n"));
        assert!(!scan.finds(b"3\tnow"));
        assert!(scan.finds(b""));
    }
}
