//! Followers get literals as parameters where that means the same: for every kind of column members hold the same values.

use super::support::expect_on_all;
use crate::Result;
use crate::cluster::Cluster;

/// Type of a column, and literals for it.
const KINDS: &[(&str, &[&str])] = &[
    ("int", &["5", "-7", "'12'", "2147483647", "-2147483648", "3 + 4 * 2", "17 / 5 - 1"]),
    ("bigint", &["5", "-3000000000", "3000000000", "9223372036854775807"]),
    ("smallint", &["5", "'-6'", "32767"]),
    ("numeric(5,2)", &["1.005", "'1.005'", "7", "'NaN'", "5 / 2"]),
    ("real", &["1", "'1.1'", "'Infinity'"]),
    ("double precision", &["3", "'0.1'", "10 / 4"]),
    ("text", &["'it''s'", "'back\\slash'", "5", "''", "'ünï'"]),
    ("varchar(5)", &["'abc'", "'abcde'", "'ab   '"]),
    ("char(5)", &["'abc'", "'abcde'"]),
    ("\"char\"", &["'x'"]),
    ("boolean", &["'t'", "'off'", "'1'", "1 = 2", "'a' = 'a'"]),
    ("bytea", &["'\\x00ff'", "'abc'"]),
    ("bit(3)", &["'101'"]),
    ("bit varying(4)", &["'1'", "'1011'"]),
    ("date", &["'2020-02-29'", "'20200101'"]),
    ("time(0)", &["'12:34:56.7'"]),
    ("timestamp(1)", &["'2020-01-02 03:04:05.678'"]),
    ("timestamptz", &["'2020-01-02 03:04:05+02'", "'2020-07-01 00:00:00 Europe/Berlin'"]),
    ("interval", &["'5'", "'1 day 2 hours'"]),
    ("interval minute", &["'5'", "'90'"]),
    ("interval year to month", &["'1-2'"]),
    ("interval day to second(0)", &["'1 2:03:04.5'"]),
    ("minutes", &["'5'"]),
    ("mood", &["'fine'", "'sad'"]),
    ("short", &["'ab'"]),
    ("json", &["'{\"a\": [1, 2]}'"]),
    ("jsonb", &["'{\"b\":1, \"a\": 2}'"]),
    ("int[]", &["'{1,2,3}'"]),
    ("text[]", &["'{a,\"b c\",NULL}'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("inet", &["'10.0.0.1/8'"]),
    ("point", &["'(1,2)'"]),
    ("money", &["'12.34'", "5"]),
    ("xml", &["'<a/>'"]),
    ("int4range", &["'[1,5)'"]),
    ("tsvector", &["'a fat cat'"]),
    ("oid", &["5"]),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute(
            "create domain minutes as interval minute; create domain short as varchar(3) check (length(value) > 1); \
             create type mood as enum ('fine', 'sad')",
        )
        .await?;
    for (number, (kind, literals)) in KINDS.iter().enumerate() {
        endpoint.execute(&format!("create table lp{number}(id int primary key, v {kind}, n int)")).await?;
        for (id, literal) in literals.iter().enumerate() {
            let said = |e: crate::Failure| e.during(format!("{kind}: {literal}"));
            let insert = format!("insert into lp{number} (id, v, n) values ({id}, {literal}, 1)");
            // An expression in a VALUES list is not taken apart; in an UPDATE it is.
            endpoint.execute(&insert).await.map_err(said)?;
            let said = |e: crate::Failure| e.during(format!("{kind}: {literal}"));
            let update = format!("update lp{number} set v = {literal}, n = n + 41 where id = {id} and n < 1000");
            endpoint.execute(&update).await.map_err(said)?;
        }
    }
    // What was prepared before DDL is not used behind it: a date has no time of day, a timestamp has.
    for (from, to, literal) in [
        ("date", "timestamp", "'2024-01-02 12:34:56'"),
        ("timestamp", "timestamptz", "'2024-01-02 12:34:56+05'"),
        ("real", "double precision", "'0.1234567890123'"),
        ("char(3)", "text", "'ab  '"),
    ] {
        endpoint.execute(&format!("create table lp_ddl(id int primary key, v {from})")).await?;
        endpoint.execute("insert into lp_ddl values (1, '1')").await.ok();
        endpoint.execute("insert into lp_ddl values (2, '2020-01-01')").await.ok();
        endpoint.execute(&format!("alter table lp_ddl alter v type {to}")).await?;
        endpoint.execute(&format!("insert into lp_ddl values (3, {literal})")).await?;
        let values = "select string_agg(v::text, ',' order by id) from lp_ddl where id > 2";
        let wanted = endpoint.value(values).await?;
        expect_on_all(&cluster.members, values, &wanted).await.map_err(|e| e.during(format!("{from} to {to}")))?;
        endpoint.execute("drop table lp_ddl").await?;
    }
    Ok(())
}
