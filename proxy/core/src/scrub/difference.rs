//! Rows that only one of two members holds, counted: the same row may be there several times.

use std::collections::{BTreeMap, BTreeSet};

/// One row, as a member tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it lies on that member.
    pub place: String,
    /// Its key as text; of a table without one, the beginning of the row.
    pub key: String,
    /// Two hashes of everything in it.
    pub hashes: [i64; 2],
}

/// What has to change on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows of the target that the base does not have.
    pub surplus: Vec<Row>,
    /// Rows of the base that the target does not have.
    pub missing: Vec<Row>,
}

impl Difference {
    /// Compares two lists of rows, whatever their order.
    #[must_use]
    pub fn between(base: Vec<Row>, target: Vec<Row>) -> Self {
        let mut found: BTreeMap<(String, [i64; 2]), Vec<Row>> = BTreeMap::new();
        for row in base {
            found.entry((row.key.clone(), row.hashes)).or_default().push(row);
        }
        let mut surplus = Vec::new();
        for row in target {
            // Which one of several like rows is taken does not matter.
            if found.get_mut(&(row.key.clone(), row.hashes)).and_then(Vec::pop).is_none() {
                surplus.push(row);
            }
        }
        Difference { surplus, missing: found.into_values().flatten().collect() }
    }

    /// Rows on one side or the other.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.surplus.len() + self.missing.len()
    }

    /// Both lists are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Keys that both have, with different rows.
    #[must_use]
    pub fn changed(&self) -> BTreeSet<&str> {
        let surplus: BTreeSet<&str> = self.surplus.iter().map(|row| row.key.as_str()).collect();
        self.missing.iter().map(|row| row.key.as_str()).filter(|key| surplus.contains(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: u32, key: &str, hash: i64) -> Row {
        Row { place: place.to_string(), key: key.to_owned(), hashes: [hash, -hash] }
    }

    #[test]
    fn counts_like_rows_and_pairs_changed_ones() {
        let base = vec![row(1, "a", 1), row(2, "a", 1), row(3, "b", 2), row(4, "d", 4)];
        let target = vec![row(9, "c", 3), row(8, "a", 1), row(7, "b", 5)];
        let difference = Difference::between(base, target);
        let places = |rows: &[Row]| rows.iter().map(|r| r.place.clone()).collect::<Vec<_>>();
        assert_eq!(places(&difference.surplus), ["9", "7"]);
        assert_eq!(places(&difference.missing), ["1", "3", "4"]);
        assert_eq!(difference.changed().into_iter().collect::<Vec<_>>(), ["b"]);
        assert_eq!(difference.rows(), 5);
        assert!(Difference::between(vec![row(1, "a", 1)], vec![row(2, "a", 1)]).is_empty());
    }

    #[test]
    fn both_hashes_count() {
        let mut other = row(2, "a", 1);
        other.hashes[1] = 7;
        assert_eq!(Difference::between(vec![row(1, "a", 1)], vec![other]).rows(), 2);
    }
}
