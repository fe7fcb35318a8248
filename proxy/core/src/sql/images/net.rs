//! What a statement left behind, from the images of all that it did.
//!
//! Images come in the order in which triggers fired, which is not the order of the changes: a trigger may write to the very
//! table before the row that fired it has its image. So they are not repeated one by one. A table is a multiset of rows; each
//! image takes one row out of it and puts another one in; and sums do not depend on an order. What is left over is what
//! followers do. Only TRUNCATE has a place in the order, and PostgreSQL does not execute it while images are due.

use std::collections::HashMap;

use super::{Image, Operation};

/// What was done to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableChange {
    /// Schema and name.
    pub table: (String, String),
    /// It was emptied first.
    pub truncated: bool,
    /// Some row was changed and set back: nothing is left of it but a lock.
    pub unchanged: bool,
    /// Rows that are not there any more, as text.
    pub removed: Vec<Vec<u8>>,
    /// Rows that are new.
    pub added: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Sum {
    truncated: bool,
    /// Row text → how often it is there more (or less) than before; rows in the order of their first appearance.
    rows: HashMap<Vec<u8>, (usize, i64)>,
}

impl Sum {
    fn count(&mut self, row: Option<&Vec<u8>>, by: i64) {
        let Some(row) = row else { return };
        let place = self.rows.len();
        self.rows.entry(row.clone()).or_insert((place, 0)).1 += by;
    }
}

/// Adds up the images. Tables come in the order of their first image; one whose rows are as before is named too, without rows.
#[must_use]
pub fn net(images: &[Image]) -> Vec<TableChange> {
    let mut order: Vec<(String, String)> = Vec::new();
    let mut sums: HashMap<(String, String), Sum> = HashMap::new();
    for image in images {
        if !sums.contains_key(&image.table) {
            order.push(image.table.clone());
        }
        let sum = sums.entry(image.table.clone()).or_default();
        match image.operation {
            Operation::Truncate { .. } => *sum = Sum { truncated: true, rows: HashMap::new() },
            Operation::Row => {
                sum.count(image.old.as_ref(), -1);
                sum.count(image.new.as_ref(), 1);
            }
        }
    }
    order.into_iter().map(|table| change(sums.remove(&table).unwrap_or_default(), table)).collect()
}

fn change(sum: Sum, table: (String, String)) -> TableChange {
    let mut rows: Vec<(usize, i64, Vec<u8>)> = sum.rows.into_iter().map(|(row, (at, by))| (at, by, row)).collect();
    rows.sort_unstable();
    let unchanged = rows.iter().any(|(_, by, _)| *by == 0);
    let mut change = TableChange { table, truncated: sum.truncated, unchanged, ..TableChange::default() };
    for (_, by, row) in rows {
        let times = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let to = if by < 0 { &mut change.removed } else { &mut change.added };
        to.extend(std::iter::repeat_n(row, times));
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(table: &str, old: &str, new: &str) -> Image {
        let text = |t: &str| (!t.is_empty()).then(|| t.as_bytes().to_vec());
        Image { operation: Operation::Row, table: ("s".into(), table.into()), old: text(old), new: text(new) }
    }

    fn truncate(table: &str) -> Image {
        Image { operation: Operation::Truncate { relations: 2 }, ..row(table, "", "") }
    }

    fn told(images: &[Image]) -> String {
        let list = |rows: &[Vec<u8>]| rows.iter().map(|r| String::from_utf8_lossy(r).into_owned()).collect::<String>();
        let line = |c: &TableChange| {
            format!("{}{} -{} +{}", c.table.1, if c.truncated { "!" } else { "" }, list(&c.removed), list(&c.added))
        };
        net(images).iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn the_order_of_images_does_not_matter() {
        // 1 → 2 by the statement, 2 → 3 by a trigger that fired before the statement's own image was taken.
        assert_eq!(told(&[row("t", "2", "3"), row("t", "1", "2")]), "t -1 +3");
        assert_eq!(told(&[row("t", "1", "2"), row("t", "2", "3")]), "t -1 +3");
        // Inserted and deleted, or set back.
        assert_eq!(told(&[row("t", "", "1"), row("t", "1", "")]), "t - +");
        assert_eq!(told(&[row("t", "a", "b"), row("t", "b", "a"), row("u", "", "x")]), "t - +; u - +x");
        // Equal rows of a table without a key.
        assert_eq!(told(&[row("t", "", "x"), row("t", "", "x"), row("t", "y", "")]), "t -y +xx");
    }

    #[test]
    fn what_was_before_a_truncate_does_not_count() {
        assert_eq!(told(&[row("t", "1", "2"), truncate("t"), row("t", "", "3")]), "t! - +3");
        assert_eq!(told(&[row("t", "", "3"), truncate("t")]), "t! - +");
    }
}
