//! What a transaction has written so far on the bare server, by the server's own account.

use std::collections::BTreeMap;

use crate::scenario::differential::client::Client;
use crate::{Result, fail};

/// Rows inserted, updated and deleted in each table (those of what was taken back are counted too), the last value of each
/// sequence, whether there is a transaction id.
pub(super) const COUNTERS: &str = "SELECT c.oid, c.oid < 16384, \
     pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) + 0, pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), \
     pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), n.nspname || '.' || c.relname \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}') AND (c.oid >= 16384 OR c.oid IN (1259, 1249, 1255, 1247, 2600, 2604, \
     2605, 2606, 2607, 2610, 2611, 2615, 2617, 2618, 2620, 3456)) \
     AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) <> 0 OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) <> 0 \
     OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) <> 0); \
     SELECT pg_catalog.format('\"%s\".\"%s\"', CASE WHEN n.oid = pg_catalog.pg_my_temp_schema() THEN 'pg_temp' \
     ELSE pg_catalog.replace(n.nspname, '\"', '\"\"') END, pg_catalog.replace(c.relname, '\"', '\"\"')), \
     CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') THEN pg_catalog.pg_sequence_last_value(c.oid) END \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'; \
     SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";

/// One look at [`COUNTERS`].
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    /// By oid: rows inserted, updated, deleted, and the table's name.
    tables: BTreeMap<u32, ([i64; 3], String)>,
    /// System tables that hold the schema, together.
    schema: [i64; 3],
    /// By quoted name; `None`: it was not used.
    sequences: BTreeMap<String, Option<i64>>,
    has_id: bool,
}

/// The difference of two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Tables of users: oid and name.
    pub(super) tables: Vec<(u32, String)>,
    /// Sequences that are at another value: quoted names.
    pub(super) sequences: Vec<String>,
    /// Tables, functions or types came, went or changed.
    pub(super) schema: bool,
    /// A transaction id was taken.
    pub(super) id: bool,
}

impl Counters {
    /// Looks. `before`: texts that come first.
    ///
    /// # Errors
    /// The server's error.
    pub(super) async fn look(client: &mut Client, before: &str) -> Result<Self> {
        let results = client.rows(&format!("{before}{COUNTERS}")).await?;
        let [.., tables, sequences, id] = results.as_slice() else {
            return fail(format!("counters: {} results", results.len()));
        };
        let mut counters = Self { has_id: id.iter().flatten().flatten().any(|id| id == "t"), ..Self::default() };
        for row in tables {
            let number = |column: usize| row.get(column).cloned().flatten().unwrap_or_default();
            let counts = [number(2).parse()?, number(3).parse()?, number(4).parse()?];
            if number(1) == "t" {
                counters.schema.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            } else {
                counters.tables.insert(number(0).parse()?, (counts, number(5)));
            }
        }
        for row in sequences {
            let value = |column: usize| row.get(column).cloned().flatten();
            let last = value(1).map(|last| last.parse()).transpose()?;
            counters.sequences.insert(value(0).unwrap_or_default(), last);
        }
        Ok(counters)
    }

    /// What came between `before` and this.
    pub(super) fn since(&self, before: &Self) -> Written {
        let tables = self
            .tables
            .iter()
            .filter(|(oid, (counts, _))| before.tables.get(oid).map_or([0; 3], |(counts, _)| *counts) != *counts);
        let sequences =
            self.sequences.iter().filter(|(name, last)| before.sequences.get(*name).is_some_and(|l| l != *last));
        Written {
            tables: tables.map(|(oid, (_, name))| (*oid, name.clone())).collect(),
            sequences: sequences.map(|(name, _)| name.clone()).collect(),
            schema: self.schema != before.schema,
            id: self.has_id && !before.has_id,
        }
    }
}
