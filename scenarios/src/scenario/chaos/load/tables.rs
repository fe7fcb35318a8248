//! The tables of the load, and how they are filled.

use crate::workloads::{lock_forever, unique_inserts};

pub(super) const ACCOUNTS: i32 = 1000;
pub(super) const TELLERS: i32 = 20;
pub(super) const BRANCHES: i32 = 4;
pub(super) const ITEMS: i32 = 200;

/// Tables that grow, and are emptied between cycles when they have become long; all writers are paused then.
pub(in super::super) const EMPTIED: &str = "truncate unique_inserts, chaos_history, chaos_line, chaos_order";

/// All `create` statements, and the rows that the load updates.
pub(super) fn schema() -> String {
    let filled = |table: &str, column: &str, rows: i32| {
        format!(
            "create table {table}(id int primary key, {column} bigint not null); \
             insert into {table} select g, 0 from generate_series(1, {rows}) g; "
        )
    };
    [
        format!("{}; {}; ", unique_inserts::SCHEMA, lock_forever::SCHEMA),
        filled("chaos_account", "balance", ACCOUNTS),
        filled("chaos_teller", "balance", TELLERS),
        filled("chaos_branch", "balance", BRANCHES),
        filled("chaos_item", "sold", ITEMS),
        "create table chaos_history(key bigint primary key, account int not null, teller int not null, \
         branch int not null, delta bigint not null, at timestamptz not null); "
            .to_owned(),
        "create table chaos_order(id bigserial primary key, key bigint not null unique, lines int not null, \
         at timestamptz not null default clock_timestamp()); "
            .to_owned(),
        "create table chaos_line(order_id bigint not null references chaos_order, number int not null, \
         item int not null references chaos_item, primary key (order_id, number))"
            .to_owned(),
    ]
    .concat()
}
