//! A fixed catalog: a table for each rule that the analysis has.

use std::collections::HashMap;
use std::sync::Arc;

use raidb_core::ids::ConflictGroup;
use raidb_core::sql::catalog::{
    Builtins, Catalog, Column, ColumnDefault, FunctionFacts, Functions, RelationKind, Table, Volatility,
};

fn table(id: u32, name: &str, key: &[usize]) -> Table {
    let column = |(name, type_name, type_oid, default): (&str, &str, u32, ColumnDefault)| Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        type_oid,
        not_null: name == "id",
        default,
        collation_deterministic: true,
        domain_not_null: false,
    };
    let columns = [
        ("id", "integer", 23, ColumnDefault::Null),
        ("a", "integer", 23, ColumnDefault::Immutable),
        ("b", "text", 25, ColumnDefault::Null),
        ("at", "timestamp with time zone", 1184, ColumnDefault::LeadOnly),
        ("g", "integer", 23, ColumnDefault::Generated),
    ];
    let table = Table { columns: columns.map(column).into(), ..Table::new(id, "public", name, RelationKind::Table) };
    if key.is_empty() { table } else { table.with_primary_key(key) }
}

/// The catalog.
pub(crate) fn catalog() -> Catalog {
    let kind = |id, name, kind| Table { kind, ..table(id, name, &[]) };
    let related = |id, name| Table { has_foreign_keys: true, group: ConflictGroup(10), ..table(id, name, &[0]) };
    let tables = [
        table(1, "k", &[0]),
        table(2, "p", &[0, 2]),
        table(3, "u", &[]),
        Table { sequences: vec![(0, "\"public\".\"s\"".to_owned())], ..table(4, "serial", &[0]) },
        Table { has_triggers: true, ..table(5, "w", &[0]) },
        Table { has_rules: true, ..table(6, "r", &[0]) },
        Table { has_row_security: true, ..table(7, "secured", &[0]) },
        Table { has_user_functions: true, ..table(8, "checked", &[0]) },
        Table { inherits: true, kind: RelationKind::Partitioned, ..table(9, "pt", &[0]) },
        related(10, "parent"),
        related(11, "child"),
        kind(20, "v", RelationKind::View),
        kind(21, "m", RelationKind::MaterializedView),
        kind(22, "f", RelationKind::Foreign),
        kind(23, "s", RelationKind::Sequence),
        Table { schema: "pg_catalog".to_owned(), ..table(30, "pg_class", &[]) },
    ];
    let mut catalog =
        Catalog { default_search_path: vec!["public".to_owned()], functions: functions(), ..Catalog::default() };
    tables.into_iter().for_each(|table| catalog.add(table));
    catalog
}

fn functions() -> Functions {
    let builtin: Builtins = [
        ("lower", Volatility::Immutable),
        ("sum", Volatility::Immutable),
        ("now", Volatility::Stable),
        ("query_to_xml", Volatility::Stable),
        ("random", Volatility::Volatile),
        ("nextval", Volatility::Volatile),
        ("setval", Volatility::Volatile),
    ]
    .map(|(name, volatility)| (name.to_owned(), volatility))
    .into();
    let made = |volatility| FunctionFacts { builtin: false, volatility, trusted: false, attribute: true };
    let user = HashMap::from([
        ("writes".to_owned(), made(Volatility::Volatile)),
        ("pure".to_owned(), made(Volatility::Immutable)),
    ]);
    Functions { builtin: Arc::new(builtin), user }
}
