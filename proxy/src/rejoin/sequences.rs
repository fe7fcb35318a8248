//! After a crash no sequence hands out a value twice: each is raised to what any member, or a decided transaction, has used.
//!
//! While the proxy runs, sequences are carried from the lead to the others (`virtual_database::carrying`), a moment behind.
//! If lead and proxy die together, that moment is missing on the next lead; the values are in the intents.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tables::literal;
use crate::members::pg::maintenance::{Maintenance, QueryError};

/// Name (quoted, with schema) → the highest value that was used.
pub type HighWater = BTreeMap<String, i64>;

/// Sequences of a member that count upwards and have handed out a value. Those that count downwards, or in circles, are
/// left as they are.
const USED: &str = "SELECT pg_catalog.format('%I.%I', schemaname, sequencename), last_value FROM pg_catalog.pg_sequences \
     WHERE last_value IS NOT NULL AND increment_by > 0 AND NOT cycle";

/// Notes a value that was used.
pub fn raise(high_water: &mut HighWater, name: String, value: i64) {
    let known = high_water.entry(name).or_insert(value);
    *known = value.max(*known);
}

/// Notes what a member has handed out.
///
/// # Errors
/// [`QueryError`].
pub async fn raise_to_members(
    connection: &mut Maintenance,
    high_water: &mut HighWater,
    within: Duration,
) -> Result<(), QueryError> {
    for row in connection.query(&[USED], within).await?.into_iter().flatten() {
        if let [Some(name), Some(value)] = row.as_slice()
            && let Ok(value) = value.parse()
        {
            raise(high_water, name.clone(), value);
        }
    }
    Ok(())
}

/// Raises the member's sequences that are behind.
///
/// # Errors
/// [`QueryError`].
pub async fn apply(connection: &mut Maintenance, high_water: &HighWater, within: Duration) -> Result<(), QueryError> {
    let values: Vec<String> =
        high_water.iter().map(|(name, value)| format!("({}, {value}::bigint)", literal(name))).collect();
    // One name may be there twice, as the log and as a member quote it: the higher value counts, not the last one.
    for chunk in values.chunks(500) {
        let sql = format!(
            "SELECT pg_catalog.setval(w.seq, w.value) FROM (SELECT pg_catalog.to_regclass(v.name)::oid AS seq, \
               pg_catalog.max(v.value) AS value FROM (VALUES {}) AS v(name, value) GROUP BY 1) AS w \
             JOIN pg_catalog.pg_sequences s ON pg_catalog.to_regclass(pg_catalog.format('%I.%I', s.schemaname, s.sequencename))::oid \
               = w.seq \
             WHERE s.increment_by > 0 AND NOT s.cycle AND (s.last_value IS NULL OR s.last_value < w.value) \
               AND w.value <= s.max_value AND w.value >= s.min_value",
            chunk.join(", ")
        );
        connection.query(&[&sql], within).await?;
    }
    Ok(())
}
