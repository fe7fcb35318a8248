//! Nanoseconds a statement: `cargo run --release -p raidb-core --example analyse_speed`.
//!
//! The texts are those that pgbench sends with `-M simple`: another number each time.

#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use raidb_core::sql::analysis::{Analysis, Command};
use raidb_core::sql::catalog::{Catalog, Column, ColumnDefault, RelationKind, Table};
use raidb_core::sql::key_hash::footprint_of;
use raidb_core::sql::literals::Literals;
use raidb_core::sql::skeleton::{Skeleton, is_shareable};
use raidb_core::sql::split::split;
use raidb_core::sql::{Settings, analyse};

/// Tables besides those of pgbench, as many as a fresh database has.
const OTHER_TABLES: u32 = 400;
/// Different texts of one statement.
const TEXTS: usize = 1000;
/// Runs over them, of which the fastest counts: the machine has other things to do.
const RUNS: usize = 30;

fn table(id: u32, schema: &str, name: &str, columns: &[&str], key: bool) -> Table {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        type_name: "integer".to_owned(),
        type_oid: 23,
        not_null: false,
        default: ColumnDefault::Null,
        collation_deterministic: true,
        domain_not_null: false,
    };
    let columns = columns.iter().map(column).collect();
    let table = Table { columns, ..Table::new(id, schema, name, RelationKind::Table) };
    if key { table.with_primary_key(&[0]) } else { table }
}

fn catalog() -> Catalog {
    let mut tables = vec![
        table(1, "public", "pgbench_accounts", &["aid", "bid", "abalance", "filler"], true),
        table(2, "public", "pgbench_branches", &["bid", "bbalance", "filler"], true),
        table(3, "public", "pgbench_tellers", &["tid", "bid", "tbalance", "filler"], true),
        table(4, "public", "pgbench_history", &["tid", "bid", "aid", "delta", "mtime", "filler"], false),
    ];
    tables.extend((0..OTHER_TABLES).map(|i| table(1000 + i, "pg_catalog", &format!("pg_table_{i}"), &["a"], false)));
    let mut catalog = Catalog { default_search_path: vec!["public".to_owned()], version: 1, ..Catalog::default() };
    for table in tables {
        catalog.add(table);
    }
    catalog
}

/// A statement of pgbench with number `n` in it.
fn statements(n: usize) -> [(&'static str, String); 8] {
    let (aid, tid, bid, delta) = (n * 7919 % 100_000 + 1, n % 10 + 1, n % 3 + 1, n % 10_000);
    let text = |text: &str| text.to_owned();
    [
        ("begin", text("BEGIN;")),
        ("update", format!("UPDATE pgbench_accounts SET abalance = abalance + -{delta} WHERE aid = {aid};")),
        ("select", format!("SELECT abalance FROM pgbench_accounts WHERE aid = {aid};")),
        ("tellers", format!("UPDATE pgbench_tellers SET tbalance = tbalance + {delta} WHERE tid = {tid};")),
        ("branches", format!("UPDATE pgbench_branches SET bbalance = bbalance + {delta} WHERE bid = {bid};")),
        (
            "insert",
            format!(
                "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ({tid}, {bid}, {aid}, {delta}, CURRENT_TIMESTAMP);"
            ),
        ),
        ("delete", format!("DELETE FROM pgbench_accounts WHERE aid = {aid} AND filler = 'it''s {n}';")),
        ("end", text("END;")),
    ]
}

/// Runs `work` over the texts of each statement and prints what one takes.
fn measure(what: &str, mut work: impl FnMut(&[u8])) {
    let rounds: Vec<_> = (0..TEXTS).map(statements).collect();
    print!("{what:<28}");
    for i in 0..rounds[0].len() {
        let mut run = || {
            let start = Instant::now();
            rounds.iter().for_each(|round| work(round[i].1.as_bytes()));
            start.elapsed().as_nanos() / TEXTS as u128
        };
        let fastest = (0..RUNS).map(|_| run()).min().unwrap_or_default();
        print!(" {}={fastest}", rounds[0][i].0);
    }
    println!();
}

fn main() {
    let catalog = catalog();
    let settings = Settings { search_path: catalog.default_search_path.clone(), standard_conforming_strings: true };
    measure("split", |text| {
        black_box(split(text, true));
    });
    measure("analyse afresh", |text| {
        black_box(analyse(text, &catalog, &settings));
    });
    measure("skeleton", |text| {
        black_box(Skeleton::of(text, &settings));
    });
    let mut known: HashMap<Skeleton, Arc<Analysis>> = HashMap::new();
    measure("analyse by skeleton", |text| {
        black_box(by_skeleton(text, &catalog, &settings, &mut known));
    });
    measure("the same, split, footprint", |text| {
        for piece in split(text, true) {
            let text = &text[piece];
            let analysis = by_skeleton(text, &catalog, &settings, &mut known);
            if let Command::Write(write) = &analysis.command {
                black_box(footprint_of(&write.footprint, &write.table, &Literals::of(text, &analysis), &|_| None));
            }
        }
    });
}

/// As the proxy does it, with a cache that forgets nothing.
fn by_skeleton(
    text: &[u8],
    catalog: &Catalog,
    settings: &Settings,
    known: &mut HashMap<Skeleton, Arc<Analysis>>,
) -> Arc<Analysis> {
    let skeleton = Skeleton::of(text, settings);
    if let Some(found) = skeleton.as_ref().and_then(|skeleton| known.get(skeleton)) {
        return Arc::clone(found);
    }
    let analysis = Arc::new(analyse(text, catalog, settings));
    if let Some(skeleton) = skeleton.filter(|_| is_shareable(&analysis)) {
        known.insert(skeleton, Arc::clone(&analysis));
    }
    analysis
}
