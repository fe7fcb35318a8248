//! A catalog made by hand, for tests.

use std::collections::HashMap;
use std::sync::Arc;

use super::analyse::Settings;
use super::catalog::{
    Builtins, Catalog, Column, ColumnDefault, FunctionFacts, Functions, RelationKind, Table, UniqueKey, Volatility,
};
use crate::ids::ConflictGroup;

/// The oid and the full name of a type.
fn type_of(short: &str) -> (u32, &'static str) {
    match short {
        "int" => (23, "integer"),
        "bigint" => (20, "bigint"),
        "text" => (25, "text"),
        "varchar" => (1043, "character varying(250)"),
        "bytea" => (17, "bytea"),
        "timestamptz" => (1184, "timestamp with time zone"),
        "uuid" => (2950, "uuid"),
        "numeric" => (1700, "numeric"),
        "regclass" => (2205, "regclass"),
        _ => (1042, "character(10)"),
    }
}

/// A table in `public`: columns as `name type[=default]`, the default one of `imm`, `lead`, `user`, `gen`.
pub(crate) fn table(id: u32, name: &str, columns: &[&str]) -> Table {
    let column = |text: &&str| {
        let (head, default) = text.split_once('=').unwrap_or((text, ""));
        let (name, kind) = head.split_once(' ').unwrap_or((head, "text"));
        let (type_oid, type_name) = type_of(kind);
        let default = match default {
            "imm" => ColumnDefault::Immutable,
            "lead" => ColumnDefault::LeadOnly,
            "user" => ColumnDefault::Unproven,
            "gen" => ColumnDefault::Generated,
            _ => ColumnDefault::Null,
        };
        Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            type_oid,
            not_null: false,
            default,
            collation_deterministic: true,
            domain_not_null: false,
        }
    };
    Table { columns: columns.iter().map(column).collect(), ..Table::new(id, "public", name, RelationKind::Table) }
}

/// The same with a primary key over these columns.
pub(crate) fn with_key(table: Table, columns: &[usize]) -> Table {
    table.with_primary_key(columns)
}

/// Puts a catalog together.
pub(crate) fn catalog(tables: Vec<Table>) -> Catalog {
    let mut catalog =
        Catalog { functions: functions(), default_search_path: vec!["public".to_owned()], ..Catalog::default() };
    for table in tables {
        catalog.add(table);
    }
    catalog
}

/// Some built-in functions and some of a user.
pub(crate) fn functions() -> Functions {
    let names = [
        (Volatility::Immutable, "lower upper abs coalesce md5 max min count sum substring position trim left"),
        (
            Volatility::Stable,
            "now to_char date_trunc extract current_setting txid_current generate_series string_agg array_agg",
        ),
        (
            Volatility::Stable,
            "statement_timestamp transaction_timestamp pg_get_viewdef to_regclass query_to_xml timezone version length",
        ),
        (
            Volatility::Volatile,
            "random clock_timestamp gen_random_uuid nextval setval currval lastval pg_sleep set_config setseed",
        ),
        (Volatility::Volatile, "pg_notify pg_advisory_lock lo_create pg_read_file ts_rewrite pg_total_relation_size"),
    ];
    let mut builtin = Builtins::new();
    for (volatility, list) in names {
        builtin.extend(list.split(' ').map(|name| (name.to_owned(), volatility)));
    }
    let user = |volatility, trusted| FunctionFacts { builtin: false, volatility, trusted, attribute: false };
    let user = HashMap::from([
        ("audit".to_owned(), user(Volatility::Volatile, false)),
        ("pure".to_owned(), user(Volatility::Immutable, false)),
        ("lookup".to_owned(), user(Volatility::Stable, false)),
        ("uuid_generate_v4".to_owned(), user(Volatility::Volatile, true)),
        ("total".to_owned(), FunctionFacts { attribute: true, ..user(Volatility::Volatile, false) }),
    ]);
    Functions { builtin: Arc::new(builtin), user }
}

/// The tables of pgbench and of ActiveMQ, and one table for each rule.
#[expect(clippy::too_many_lines, reason = "a table of tables is as long as it is")]
pub(crate) fn sample() -> Catalog {
    let group = |mut table: Table, group: u32| {
        table.group = ConflictGroup(group);
        table.has_foreign_keys = true;
        table
    };
    let kind = |mut table: Table, kind| {
        table.kind = kind;
        table
    };
    let system = |mut table: Table| {
        table.schema = "pg_catalog".to_owned();
        table
    };
    let mut serial = with_key(table(20, "serial", &["id int=lead", "name text"]), &[0]);
    serial.sequences = vec![(0, "\"public\".\"serial_id_seq\"".to_owned())];
    let mut two = with_key(table(21, "two", &["id int", "code text", "v int"]), &[0]);
    two.keys.push(UniqueKey { columns: vec![1], primary: false });
    two.unique_indexes = 2;
    let mut trigger = with_key(table(22, "triggered", &["id int", "v int"]), &[0]);
    trigger.has_triggers = true;
    let mut rule = with_key(table(23, "ruled", &["id int", "v int"]), &[0]);
    rule.has_rules = true;
    let mut always = with_key(table(33, "always", &["id int", "v int"]), &[0]);
    (always.has_triggers, always.fires_on_replica) = (true, true);
    let mut secured = with_key(table(24, "secured", &["id int", "v int"]), &[0]);
    secured.has_row_security = true;
    let mut calls = with_key(table(25, "calls", &["id int", "v int"]), &[0]);
    calls.has_user_functions = true;
    let mut cascading = group(with_key(table(31, "cascading", &["id int"]), &[0]), 31);
    cascading.has_deferrable = true;
    let mut cascaded = group(with_key(table(32, "cascaded", &["id int", "cascading_id int"]), &[0]), 31);
    cascaded.has_triggers = true;
    let mut unlogged = with_key(table(26, "unlogged", &["id int"]), &[0]);
    unlogged.temporary = true;
    let mut loud_view = kind(table(41, "loud_view", &["id int"]), RelationKind::View);
    loud_view.has_user_functions = true;
    catalog(vec![
        with_key(table(1, "pgbench_accounts", &["aid int", "bid int", "abalance int", "filler bpchar"]), &[0]),
        with_key(table(2, "pgbench_branches", &["bid int", "bbalance int", "filler bpchar"]), &[0]),
        with_key(table(3, "pgbench_tellers", &["tid int", "bid int", "tbalance int", "filler bpchar"]), &[0]),
        table(
            4,
            "pgbench_history",
            &["tid int", "bid int", "aid int", "delta int", "mtime timestamptz", "filler bpchar"],
        ),
        with_key(
            table(
                5,
                "activemq_msgs",
                &[
                    "id bigint",
                    "container varchar",
                    "msgid_prod varchar",
                    "msgid_seq bigint",
                    "expiration bigint",
                    "msg bytea",
                    "priority bigint",
                    "xid varchar",
                ],
            ),
            &[0],
        ),
        with_key(
            table(
                6,
                "activemq_acks",
                &[
                    "container varchar",
                    "sub_dest varchar",
                    "client_id varchar",
                    "sub_name varchar",
                    "selector varchar",
                    "last_acked_id bigint",
                    "priority bigint",
                    "xid varchar",
                ],
            ),
            &[0, 2, 3, 6],
        ),
        with_key(table(7, "activemq_lock", &["id bigint", "time bigint", "broker_name varchar"]), &[0]),
        group(with_key(table(10, "parent", &["id int", "name text"]), &[0]), 10),
        group(with_key(table(11, "child", &["id int", "parent_id int", "name text"]), &[0]), 10),
        serial,
        two,
        trigger,
        rule,
        always,
        secured,
        calls,
        cascading,
        cascaded,
        unlogged,
        with_key(
            table(27, "stamped", &["id int", "at timestamptz=lead", "sum int=gen", "n int=imm", "f text=user"]),
            &[0],
        ),
        with_key(table(28, "doc", &["id uuid", "body text", "tags text"]), &[0]),
        with_key(table(29, "Mixed Case", &["Id int", "V int"]), &[0]),
        table(30, "keyless", &["a int", "b int"]),
        kind(table(40, "view", &["id int"]), RelationKind::View),
        loud_view,
        kind(table(42, "materialized", &["id int"]), RelationKind::MaterializedView),
        kind(table(43, "foreign_table", &["id int"]), RelationKind::Foreign),
        kind(table(44, "serial_id_seq", &["last_value bigint"]), RelationKind::Sequence),
        system(table(50, "pg_class", &["oid int", "relname text"])),
        system(kind(table(51, "pg_stat_activity", &["pid int"]), RelationKind::View)),
    ])
}

/// The usual settings.
pub(crate) fn settings() -> Settings {
    Settings { search_path: vec!["public".to_owned()], standard_conforming_strings: true }
}
