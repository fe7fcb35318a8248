//! The plan against tables in memory: it finds exactly the rows that differ, and asks for few others.

use std::collections::BTreeMap;

use super::{Answer, Ask, Checksum, Difference, Key, KeyRange, Narrowing, NarrowingError, Row, Side};

/// A table: keys (fixed width, so that text sorts like numbers) to hashes of rows.
type Table = BTreeMap<String, Vec<i64>>;

fn table(keys: impl IntoIterator<Item = u64>) -> Table {
    keys.into_iter().map(|key| (format!("{key:08}"), vec![key as i64 * 7919])).collect()
}

fn holds(range: &KeyRange, key: &str) -> bool {
    range.after.as_ref().is_none_or(|after| key > after[0].as_str())
        && range.up_to.as_ref().is_none_or(|up_to| key <= up_to[0].as_str())
}

fn rows(table: &Table, range: &KeyRange) -> Vec<Row> {
    let inside = table.iter().filter(|(key, _)| holds(range, key));
    let all = inside.flat_map(|(key, hashes)| hashes.iter().map(move |hash| (key, *hash)));
    all.enumerate()
        .map(|(n, (key, hash))| Row { place: n.to_string(), key: key.clone(), hashes: [hash, !hash] })
        .collect()
}

fn checksum(table: &Table, range: &KeyRange) -> Checksum {
    let rows = rows(table, range);
    let sum = |n: usize| rows.iter().map(|row| i128::from(row.hashes[n])).sum::<i128>().to_string();
    Checksum { rows: rows.len() as u64, sums: [sum(0), sum(1)] }
}

fn parts(range: &KeyRange, bounds: &[Key]) -> Vec<KeyRange> {
    let mut uppers: Vec<Option<Key>> = bounds.iter().cloned().map(Some).collect();
    uppers.push(range.up_to.clone());
    let mut after = range.after.clone();
    let part = |up_to: Option<Key>| {
        let part = KeyRange { after: after.clone(), up_to: up_to.clone() };
        after = up_to;
        part
    };
    uppers.into_iter().map(part).collect()
}

/// Runs a plan; returns what it found, and how many rows it listed.
fn run(base: &Table, target: &Table, differing_max: usize) -> Result<(Difference, usize), NarrowingError> {
    let mut plan = Narrowing::new(differing_max);
    let mut listed = 0;
    let mut questions = 0;
    while let Some(ask) = plan.ask() {
        questions += 1;
        assert!(questions < 10_000, "no end: {ask:?}");
        let answer = match ask {
            Ask::Checksums { range, bounds } => {
                let of = |table| parts(range, bounds).iter().map(|part| checksum(table, part)).collect();
                Answer::Checksums { base: of(base), target: of(target) }
            }
            Ask::Bounds { side, range, every } => {
                let all = rows(if *side == Side::Base { base } else { target }, range);
                let every = usize::try_from(*every).unwrap();
                Answer::Bounds(all.iter().skip(every - 1).step_by(every).map(|row| vec![row.key.clone()]).collect())
            }
            Ask::Rows(range) => {
                let (base, target) = (rows(base, range), rows(target, range));
                listed += base.len().max(target.len());
                Answer::Rows { base, target }
            }
        };
        plan.answer(answer)?;
    }
    Ok((plan.finish(), listed))
}

fn keys(rows: &[Row]) -> Vec<u64> {
    let mut keys: Vec<u64> = rows.iter().map(|row| row.key.parse().unwrap()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn equal_tables_cost_one_question() {
    let all = table(0..50_000);
    let (found, listed) = run(&all, &all, 10).unwrap();
    assert!(found.is_empty());
    assert_eq!(listed, 0);
    let (found, _) = run(&Table::new(), &Table::new(), 10).unwrap();
    assert!(found.is_empty());
}

#[test]
fn finds_what_was_inserted_deleted_and_changed_and_lists_few_rows() {
    let base = table(0..100_000);
    let mut target = base.clone();
    target.remove("00000000");
    target.remove("00050123");
    target.insert("00099999".into(), vec![1]);
    target.insert("00200000".into(), vec![2]);
    let (found, listed) = run(&base, &target, 10).unwrap();
    assert_eq!(keys(&found.missing), [0, 50_123, 99_999]);
    assert_eq!(keys(&found.surplus), [99_999, 200_000]);
    assert_eq!(found.changed().into_iter().collect::<Vec<_>>(), ["00099999"]);
    assert!(listed <= 4 * usize::try_from(Narrowing::CHUNK_ROWS).unwrap(), "{listed}");
}

#[test]
fn one_side_may_be_empty() {
    let base = table(0..5000);
    let (found, _) = run(&base, &Table::new(), 5000).unwrap();
    assert_eq!((found.missing.len(), found.surplus.len()), (5000, 0));
    let (found, _) = run(&Table::new(), &base, 5000).unwrap();
    assert_eq!((found.missing.len(), found.surplus.len()), (0, 5000));
    assert_eq!(run(&base, &Table::new(), 4999).unwrap_err(), NarrowingError::TooManyRows(4999));
}

#[test]
fn many_rows_with_one_key_are_listed_up_to_a_limit() {
    let mut base = table(0..3000);
    base.insert("00001500".into(), vec![5; 4000]);
    let mut target = base.clone();
    target.insert("00001500".into(), vec![5; 3998]);
    let (found, _) = run(&base, &target, 10).unwrap();
    assert_eq!((found.missing.len(), found.surplus.len()), (2, 0));

    let limit = usize::try_from(Narrowing::ALIKE_ROWS_MAX).unwrap();
    let base = Table::from([("a".to_owned(), vec![5; limit + 1])]);
    let target = Table::from([("a".to_owned(), vec![5; limit])]);
    assert!(matches!(run(&base, &target, 10), Err(NarrowingError::TooManyAlike(_))));
}

#[test]
fn an_answer_that_does_not_fit_is_an_error() {
    let mut plan = Narrowing::new(1);
    assert_eq!(plan.answer(Answer::Bounds(Vec::new())), Err(NarrowingError::Unexpected));
    assert_eq!(plan.answer(Answer::Bounds(Vec::new())), Err(NarrowingError::Unexpected));
    let mut plan = Narrowing::new(1);
    let short = Answer::Checksums { base: Vec::new(), target: Vec::new() };
    assert_eq!(plan.answer(short), Err(NarrowingError::Unexpected));
}
