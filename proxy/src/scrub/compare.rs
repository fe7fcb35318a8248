//! Carries out the plan for one table: asks both members at the same time, until the rows that differ are known.

use raidb_core::scrub::{Answer, Ask, Checksum, Difference, Key, KeyRange, Narrowing, Row, Side};

use super::ScrubError;
use super::connection::Connection;
use super::table_queries::Walk;
use super::tables::Table;

/// Rows that only one of the two has; more than `differing_max` are an error.
pub(super) async fn table(
    base: &mut Connection,
    target: &mut Connection,
    table: &Table,
    differing_max: usize,
) -> Result<Difference, ScrubError> {
    let walk = Walk::new(table);
    let mut plan = Narrowing::new(differing_max);
    while let Some(ask) = plan.ask() {
        let answer = match ask {
            Ask::Checksums { range, bounds } => {
                let (base, target) = checksums(base, target, &walk, range, bounds).await?;
                Answer::Checksums { base, target }
            }
            Ask::Bounds { side, range, every } => {
                let connection = if *side == Side::Base { &mut *base } else { &mut *target };
                let rows = connection.rows(&table.name, &walk.bounds(range, *every)).await?;
                let key = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default).collect();
                Answer::Bounds(rows.into_iter().map(key).collect())
            }
            Ask::Rows(range) => {
                let sql = walk.rows(range);
                let (here, there) = tokio::join!(base.rows(&table.name, &sql), target.rows(&table.name, &sql));
                Answer::Rows {
                    base: here?.into_iter().filter_map(row).collect(),
                    target: there?.into_iter().filter_map(row).collect(),
                }
            }
        };
        plan.answer(answer).map_err(|error| ScrubError::NeedsCopy(format!("{}: {error}", table.name)))?;
    }
    Ok(plan.finish())
}

/// Whether the whole table has the same checksum on both.
pub(super) async fn alike(base: &mut Connection, target: &mut Connection, table: &Table) -> Result<bool, ScrubError> {
    let walk = Walk::new(table);
    let (here, there) = checksums(base, target, &walk, &KeyRange::default(), &[]).await?;
    Ok(here == there)
}

async fn checksums(
    base: &mut Connection,
    target: &mut Connection,
    walk: &Walk<'_>,
    range: &KeyRange,
    bounds: &[Key],
) -> Result<(Vec<Checksum>, Vec<Checksum>), ScrubError> {
    let sql = walk.checksums(range, bounds);
    let (here, there) = tokio::join!(base.rows("checksums", &sql), target.rows("checksums", &sql));
    let sorted = |rows: Vec<Vec<Option<String>>>| {
        let mut parts = vec![Checksum::default(); bounds.len() + 1];
        for row in rows {
            if let [Some(part), Some(rows), Some(first), Some(second)] = row.as_slice()
                && let Some(slot) = part.parse().ok().and_then(|part: usize| parts.get_mut(part))
            {
                *slot = Checksum { rows: rows.parse().unwrap_or(0), sums: [first.clone(), second.clone()] };
            }
        }
        parts
    };
    Ok((sorted(here?), sorted(there?)))
}

fn row(values: Vec<Option<String>>) -> Option<Row> {
    let [Some(place), key, Some(first), Some(second)] = values.as_slice() else { return None };
    Some(Row {
        place: place.clone(),
        key: key.clone().unwrap_or_default(),
        hashes: [first.parse().ok()?, second.parse().ok()?],
    })
}
