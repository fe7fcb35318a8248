//! From a pinned key and the parameters to a footprint: equal keys always get equal hashes.
//!
//! That is the only direction that safety needs: two different keys with one hash merely wait for each other, but two
//! spellings of one key (`5`, `' 05 '`, a binary int8) with different hashes would let a follower overtake. So every
//! value is brought to a canonical form by its column's type, and whatever is not understood widens the footprint to
//! the whole group.

use super::analysis::{FootprintHint, KeyValue, PinnedKey};
use super::catalog::{Column, Table};
use super::footprint::{FOOTPRINT_KEYS_MAX, Footprint, Rows};
use super::literals::Literals;

/// Types whose values have a canonical form here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// int2, int4, int8.
    Integer,
    /// text, varchar with a deterministic collation.
    Text,
    /// uuid.
    Uuid,
    /// Any other.
    Other,
}

const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const UNKNOWN: u32 = 705;

/// The kind of a column.
pub(crate) fn key_type(column: &Column) -> KeyType {
    match column.type_oid {
        INT2 | INT4 | INT8 => KeyType::Integer,
        TEXT | VARCHAR if column.collation_deterministic => KeyType::Text,
        UUID => KeyType::Uuid,
        _ => KeyType::Other,
    }
}

/// A bound parameter that is not NULL.
#[derive(Clone, Copy, Debug)]
pub struct ParamValue<'p> {
    /// Its type's oid as declared by Parse, or 0 where the server chose.
    pub type_oid: u32,
    /// Binary format.
    pub binary: bool,
    /// Its bytes.
    pub bytes: &'p [u8],
}

/// What a statement with this hint touches. `literals` are those of its text; `params` gives the bound parameters
/// (1-based), `None` for NULL.
#[must_use]
pub fn footprint_of<'p>(
    hint: &FootprintHint,
    table: &Table,
    literals: &Literals<'_>,
    params: &dyn Fn(u16) -> Option<ParamValue<'p>>,
) -> Footprint {
    let rows = match hint {
        FootprintHint::Group => Rows::All,
        FootprintHint::Append => Rows::Append,
        FootprintHint::Keys(keys) if keys.len() > FOOTPRINT_KEYS_MAX => Rows::All,
        FootprintHint::Keys(keys) => keys
            .iter()
            .map(|key| hash_key(key, table, literals, params))
            .collect::<Option<Vec<_>>>()
            .map_or(Rows::All, Rows::Keys),
    };
    Footprint::one(table.group, rows)
}

fn hash_key<'p>(
    key: &PinnedKey,
    table: &Table,
    literals: &Literals<'_>,
    params: &dyn Fn(u16) -> Option<ParamValue<'p>>,
) -> Option<u64> {
    let mut hash = Fnv::new();
    for (column, value) in &key.values {
        let column = table.columns.get(*column)?;
        let canonical = match value {
            KeyValue::Literal(at) => canonical_text(key_type(column), &literals.value(*at)?)?,
            KeyValue::Parameter(n) => canonical_param(key_type(column), params(*n)?)?,
        };
        hash.write(&canonical);
    }
    Some(hash.finish())
}

fn canonical_param(kind: KeyType, param: ParamValue<'_>) -> Option<Vec<u8>> {
    match (kind, param.type_oid, param.binary) {
        (KeyType::Integer, 0 | INT2 | INT4 | INT8 | NUMERIC | UNKNOWN, false)
        | (KeyType::Text, 0 | TEXT | VARCHAR | BPCHAR | UNKNOWN, _)
        | (KeyType::Uuid, 0 | UUID | UNKNOWN, false) => canonical_text(kind, param.bytes),
        (KeyType::Integer, 0 | INT2 | INT4 | INT8, true) => {
            let number = match *param.bytes {
                [a, b] => i64::from(i16::from_be_bytes([a, b])),
                [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
                [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
                _ => return None,
            };
            Some(number.to_be_bytes().to_vec())
        }
        (KeyType::Uuid, 0 | UUID, true) if param.bytes.len() == 16 => Some(param.bytes.to_vec()),
        _ => None,
    }
}

fn canonical_text(kind: KeyType, text: &[u8]) -> Option<Vec<u8>> {
    match kind {
        KeyType::Integer => integer(text).map(|n| n.to_be_bytes().to_vec()),
        // Trailing blanks: text keeps them, varchar(n) may cut them, char(n) does not keep them. Other bytes than ASCII: they
        // depend on the session's encoding.
        KeyType::Text if text.is_ascii() && !text.ends_with(b" ") => Some(text.to_vec()),
        KeyType::Uuid => uuid(text),
        KeyType::Text | KeyType::Other => None,
    }
}

/// A decimal integer as PostgreSQL reads it: blanks around, a sign.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    text.parse().ok()
}

/// 32 hex digits, with hyphens and braces anywhere.
fn uuid(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|b| !b"-{} ".contains(b)).collect();
    if digits.len() != 32 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    digits.chunks(2).map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()).collect()
}

/// FNV-1a with the length of each part, finished by a mixing step.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::super::analysis::LiteralAt;
    use super::super::testing::{table, with_key};
    use super::*;

    fn table_of(kind: &str) -> Table {
        with_key(table(1, "t", &[&format!("k {kind}"), "v int"]), &[0])
    }

    fn literal(kind: &str, text: &str) -> Footprint {
        let key = PinnedKey { values: vec![(0, KeyValue::Literal(LiteralAt { token: 0, negative: false }))] };
        let text = format!("'{}'", text.replace('\'', "''"));
        footprint_of(&FootprintHint::Keys(vec![key]), &table_of(kind), &Literals::new(text.as_bytes(), true), &|_| None)
    }

    fn param(kind: &str, type_oid: u32, binary: bool, bytes: &[u8]) -> Footprint {
        let key = PinnedKey { values: vec![(0, KeyValue::Parameter(1))] };
        let value = |n| (n == 1).then_some(ParamValue { type_oid, binary, bytes });
        footprint_of(&FootprintHint::Keys(vec![key]), &table_of(kind), &Literals::none(), &value)
    }

    fn all() -> Footprint {
        Footprint::one(table_of("int").group, Rows::All)
    }

    #[test]
    fn spellings_of_one_key_are_one() {
        let five = literal("bigint", "5");
        assert_ne!(five, all());
        for same in [
            literal("int", " +05 "),
            param("bigint", 0, false, b"5"),
            param("bigint", INT8, true, &5_i64.to_be_bytes()),
            param("bigint", INT4, true, &5_i32.to_be_bytes()),
            param("bigint", INT2, true, &5_i16.to_be_bytes()),
        ] {
            assert_eq!(five, same);
        }
        assert_eq!(literal("int", "-7"), param("int", 0, true, &(-7_i32).to_be_bytes()));
        assert_ne!(five, literal("bigint", "6"));
        assert_eq!(literal("varchar", "ab"), param("text", VARCHAR, true, b"ab"));
        assert_eq!(
            literal("uuid", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"),
            param("uuid", UUID, true, b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11")
        );
    }

    #[test]
    fn what_is_not_understood_is_everything() {
        for wide in [
            literal("int", "5.0"),
            literal("int", "1e3"),
            literal("int", "0x10"),
            literal("text", "\u{e9}"),
            literal("varchar", "ab "),
            literal("numeric", "5"),
            literal("bpchar", "5"),
            param("int", NUMERIC, true, &5_i64.to_be_bytes()),
            param("int", 701, false, b"5"),
            param("int", INT4, true, b"abc"),
            param("text", INT4, false, b"5"),
            footprint_of(&FootprintHint::Group, &table_of("int"), &Literals::none(), &|_| None),
        ] {
            assert_eq!(wide, all());
        }
        // NULL pins no row, and is no key.
        let key = PinnedKey { values: vec![(0, KeyValue::Parameter(2))] };
        assert_eq!(
            footprint_of(&FootprintHint::Keys(vec![key]), &table_of("int"), &Literals::none(), &|_| None),
            all()
        );
    }
}
