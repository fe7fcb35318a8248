//! The database is saved through the proxy with the stock `pg_dump`, while a client writes; what it saves is what a member would
//! have given, and `psql` puts it into an empty database through the proxy again.

use std::fs;
use std::time::Duration;

use tokio::time::sleep;

use super::ending;
use crate::clients::{pg_dump, psql};
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Options, Result, Summary, fail};

/// One of each kind that an application's schema has.
const SCHEMA: &str = r#"
    create schema app;
    create type app.mood as enum ('sad', 'ok', 'happy');
    create domain app.amount as numeric(12,2) check (value >= 0);
    create table app.customer(id bigserial primary key, name text not null unique, mood app.mood default 'ok', extra jsonb);
    create table app.invoice(id int generated always as identity primary key, customer bigint not null references app.customer on delete cascade,
        total app.amount not null, at timestamptz not null default now(), doubled numeric generated always as (total * 2) stored);
    create index invoice_customer on app.invoice(customer) where total > 10;
    create table app.measured(day date not null, v double precision, b bytea) partition by range (day);
    create table app.measured_a partition of app.measured for values from ('2026-01-01') to ('2026-07-01');
    create table app.measured_b partition of app.measured for values from ('2026-07-01') to ('2027-01-01');
    create view app.rich as select customer, sum(total) as total from app.invoice group by customer;
    create function app.half(n numeric) returns numeric language sql immutable as 'select n / 2';
    create sequence app.ticket increment by 5 start with 100;
    comment on table app.customer is 'who pays; "quoted", with a '' in it';
    grant select on app.rich to public;
    insert into app.customer(name, mood, extra) values ('Ada', 'happy', '{"a": [1, 2]}'), (E'tab\there\nand more \\', null, null), ('Žofie', 'sad', '{}');
    insert into app.invoice(customer, total) select 1 + g % 3, g from generate_series(1, 40) g;
    insert into app.measured values ('2026-03-01', 'NaN', '\x00ff'), ('2026-11-26', 0.1, null);
    select nextval('app.ticket')"#;
/// `raidb` is the proxy's own schema, and each member's own.
const WHAT: &[&str] = &["--exclude-schema=raidb", "--create", "--if-exists", "--clean"];
/// Writes beside the dump begin within this time.
const RUN_UP: Duration = Duration::from_millis(100);
/// Sequences are carried to the other members within this time.
const CARRIED: Duration = Duration::from_millis(700);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let endpoint = cluster.endpoint();
    for statement in SCHEMA.split(";\n") {
        psql(&endpoint, &["-c", statement]).await?.expect("")?;
    }
    sleep(CARRIED).await;
    let saved = pg_dump(&endpoint, WHAT).await?;
    saved.expect("COPY app.customer")?;
    for member in &cluster.members {
        let direct = pg_dump(&member.endpoint(), WHAT).await?;
        if comparable(&direct.out) != comparable(&saved.out) {
            return fail(format!("the proxy's dump is not that of {}", member.name()));
        }
    }
    beside_writes(&cluster).await?;

    let file = cluster.home().join("saved.sql");
    let data_only = pg_dump(&endpoint, &["--exclude-schema=raidb"]).await?;
    fs::write(&file, &data_only.out)?;
    psql(&endpoint, &["-c", "drop schema app cascade"]).await?.expect("DROP SCHEMA")?;
    psql(&endpoint, &["-q", "-f", &file.to_string_lossy()]).await?.expect("")?;
    sleep(CARRIED).await;
    let again = pg_dump(&endpoint, &["--exclude-schema=raidb"]).await?;
    if comparable(&again.out) != comparable(&data_only.out) {
        return fail("what was put back is not what was saved");
    }
    let rows = ending(&cluster).await?;
    Ok(Summary::default().with("rows", rows).with("bytes", saved.out.len()))
}

/// A dump holds up nobody, and sees one moment: of both tables the same.
async fn beside_writes(cluster: &Cluster) -> Result<()> {
    let (endpoint, writer) = (cluster.endpoint(), cluster.endpoint());
    psql(&endpoint, &["-c", "create table app.left_half(n int primary key)"]).await?.expect("CREATE TABLE")?;
    psql(&endpoint, &["-c", "create table app.right_half(n int primary key)"]).await?.expect("CREATE TABLE")?;
    let writes = tokio::spawn(async move {
        let mut n = 0;
        let client = writer.connect().await?;
        while n < 400 {
            n += 1;
            let both = format!(
                "begin; insert into app.left_half values ({n}); insert into app.right_half values ({n}); commit"
            );
            client.batch_execute(&both).await?;
        }
        Ok::<_, crate::Failure>(())
    });
    sleep(RUN_UP).await;
    let halves = pg_dump(&endpoint, &["--data-only", "--table=app.*_half"]).await?;
    halves.expect("COPY app.left_half")?;
    writes.await??;
    let rows = |table: &str| {
        halves
            .out
            .split(&format!("COPY app.{table} "))
            .nth(1)
            .and_then(|rest| rest.split("\\.").next().map(str::to_owned))
    };
    let (left, right) = (rows("left_half"), rows("right_half"));
    if left.is_none() || left != right {
        return fail(format!("the dump holds halves of transactions: {left:?} and {right:?}"));
    }
    Ok(())
}

/// Without what differs between two dumps of the same database (newer versions of `pg_dump` put a random key there).
fn comparable(dump: &str) -> String {
    let own = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    dump.lines().filter(own).collect::<Vec<_>>().join("\n")
}
