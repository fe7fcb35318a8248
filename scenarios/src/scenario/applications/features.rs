//! What applications do that the proxy may still refuse: one switch each, to be turned on with the feature.

/// Variable with names of features that are on besides those below, or `all`: shows what is still refused.
const VARIABLE: &str = "SCENARIO_FEATURES";

/// A switch: the name by which applications ask for it, and whether it is on.
struct Feature {
    name: &'static str,
    on: bool,
}

const fn on(name: &'static str) -> Feature {
    Feature { name, on: true }
}

const fn off(name: &'static str) -> Feature {
    Feature { name, on: false }
}

/// All switches. Without one, an application leaves the statements out on the bare server as well.
const FEATURES: &[Feature] = &[
    // LISTEN, UNLISTEN, NOTIFY, pg_notify(); a listening client is told without asking.
    off("listen"),
    // pg_advisory_lock() and its kin, of sessions and of transactions.
    off("advisory_locks"),
    // CREATE TEMPORARY TABLE, ON COMMIT DROP.
    off("temporary_tables"),
    // CREATE TABLE … AS, SELECT … INTO.
    off("create_table_as"),
    // CREATE and REFRESH MATERIALIZED VIEW.
    off("materialized_views"),
    // CREATE and DROP INDEX CONCURRENTLY.
    off("concurrently"),
    // ALTER TABLE … ADD COLUMN … DEFAULT now(), with rows in the table.
    off("add_column_computed"),
    // PREPARE TRANSACTION, COMMIT PREPARED.
    off("two_phase"),
    // DECLARE … WITH HOLD: Django's iterator() outside a transaction.
    on("hold_cursors"),
    // WITH x AS (INSERT, UPDATE or DELETE …).
    off("writing_cte"),
    // DO, CALL, SELECT of a function that writes.
    off("procedural"),
    // Writes to a table with triggers of users.
    off("triggers"),
    // SELECT … FOR UPDATE OF one table of a join.
    off("for_update_of_join"),
    // setval(pg_get_serial_sequence(…), max(id)) FROM …: Django's loaddata.
    off("setval_of_query"),
    // DETAIL and HINT of an error that COMMIT ends with.
    off("details_at_commit"),
    // UPDATE that assigns a generated column alone: 428C9.
    off("generated_assigned"),
    // COPY FROM that leaves out a column with a sequence's or a clock's default.
    off("copy_defaults"),
    // LOCK TABLE outside a transaction: 25P01.
    off("lock_outside"),
    // Tables and types have the same OID wherever a read runs: drivers look up by number what a result came with.
    off("same_oids"),
];

/// The names of those that are on, separated by commas.
pub(super) fn enabled() -> String {
    let asked = std::env::var(VARIABLE).unwrap_or_default();
    let is_asked = |name: &str| asked == "all" || asked.split(',').any(|one| one == name);
    let on = FEATURES.iter().filter(|feature| feature.on || is_asked(feature.name));
    on.map(|feature| feature.name).collect::<Vec<_>>().join(",")
}
