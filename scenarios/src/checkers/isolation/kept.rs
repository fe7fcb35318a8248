//! Is everything that was acknowledged in the lists in the end, and nothing that was refused or that nobody appended?

use std::collections::{BTreeMap, HashMap};

use super::{Ending, Operation, Transaction};
use crate::{Result, fail};

/// Elements that a failure names.
const SHOWN: usize = 5;

/// How many appends the lists hold in the end, of those whose outcome their client does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Appends of unknown outcome that are there.
    pub unknown_there: u64,
    /// Appends of unknown outcome that are not.
    pub unknown_gone: u64,
}

/// Compares the lists of the end with what the clients were told.
///
/// # Errors
/// An acknowledged append is lost, a refused one is there, an element is there twice, or nobody appended it.
pub fn kept(transactions: &[Transaction], lists: &BTreeMap<i64, Vec<i64>>) -> Result<Kept> {
    let mut found: HashMap<(i64, i64), u64> = HashMap::new();
    for (key, list) in lists {
        list.iter().for_each(|element| *found.entry((*key, *element)).or_default() += 1);
    }
    let mut kept = Kept::default();
    let mut wrong: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for transaction in transactions {
        for operation in &transaction.operations {
            let Operation::Append { key, element } = operation else { continue };
            let place = (*key, *element);
            let what = match (found.remove(&place).unwrap_or_default(), transaction.ending) {
                (1, Ending::Committed) | (0, Ending::Aborted) => continue,
                (0, Ending::Unknown) => {
                    kept.unknown_gone += 1;
                    continue;
                }
                (1, Ending::Unknown) => {
                    kept.unknown_there += 1;
                    continue;
                }
                (0, Ending::Committed) => "acknowledged, and lost",
                (_, Ending::Aborted) => "there, though their client was told that they are not",
                (_, Ending::Committed | Ending::Unknown) => "there more than once",
            };
            wrong.entry(what).or_default().push(place);
        }
    }
    let nobodys: Vec<_> = found.into_keys().collect();
    if !nobodys.is_empty() {
        wrong.insert("there, and nobody appended them", nobodys);
    }
    if wrong.is_empty() {
        return Ok(kept);
    }
    let lines = wrong.into_iter().map(|(what, places)| {
        format!("{} appends are {what}; key and element: {:?} …", places.len(), &places[..places.len().min(SHOWN)])
    });
    fail(lines.collect::<Vec<_>>().join("\n"))
}
