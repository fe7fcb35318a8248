//! COPY FROM STDIN whose rows the lead alone can know: defaults, identity, triggers of users, partitions, views, WHERE, in both protocols.
//! Whatever goes wrong in it is told as PostgreSQL tells it, and leaves nothing.

use bytes::Bytes;
use futures::{SinkExt, pin_mut};
use tokio_postgres::Client;

use super::support::{code, error_code, expect_on_all, one_by_one, query};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

const TABLES: &[&str] = &[
    "create table ci_serial(id serial primary key, v int not null)",
    "create table ci_identity(id bigint generated always as identity primary key, v text)",
    "create table ci_uuid(id uuid primary key default gen_random_uuid(), at timestamptz default clock_timestamp(), \
     v int, twice int generated always as (v * 2) stored)",
    "create table ci_nokey(r float default random(), v int)",
    "create table ci_part(id serial, k int, primary key (id, k)) partition by range (k)",
    "create table ci_part1 partition of ci_part for values from (0) to (10)",
    "create table ci_part2 partition of ci_part for values from (10) to (20)",
    "create table ci_t(id int primary key, v text)",
    "create table ci_audit(n serial primary key, t text, at timestamptz default clock_timestamp(), r float default random())",
    "create function ci_before() returns trigger language plpgsql as \
     $$ begin if new.v = 'skip' then return null; end if; new.v := new.v || '!'; return new; end $$",
    "create function ci_after() returns trigger language plpgsql as \
     $$ begin insert into ci_audit(t) values (tg_op || new.id); \
     if new.v like 'loud%' then raise notice 'loud %', new.id; end if; return null; end $$",
    "create trigger ci_b before insert on ci_t for each row execute function ci_before()",
    "create trigger ci_a after insert on ci_t for each row execute function ci_after()",
    "create view ci_view as select id, v from ci_t",
    "create function ci_instead() returns trigger language plpgsql as \
     $$ begin insert into ci_uuid(v) values (new.id); return new; end $$",
    "create trigger ci_i instead of insert on ci_view for each row execute function ci_instead()",
];

/// A COPY with these CopyData messages; how many rows it copied.
pub(super) async fn copy(client: &Client, sql: &str, rows: &[&str]) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in(sql).await?;
    pin_mut!(sink);
    for piece in rows {
        sink.send(Bytes::copy_from_slice(piece.as_bytes())).await?;
    }
    sink.finish().await
}

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(&endpoint, TABLES).await?;
    let client = endpoint.connect().await?;
    for (sql, rows, copied) in [
        ("copy ci_serial(v) from stdin", &["1\n2", "\n3\n"][..], 3),
        ("copy ci_identity(v) from stdin csv", &["a\n\"b,\n\"\n"], 2),
        ("copy ci_uuid(v) from stdin", &["1\n", "2\n"], 2),
        ("copy ci_nokey(v) from stdin", &["1\n1\n1\n"], 3),
        ("copy ci_part(k) from stdin", &["1\n11\n2\n"], 3),
        // The audit table takes no images yet: the rows go to the lead twice.
        ("copy ci_t from stdin", &["1\ta\n2\tskip\n", "3\tloud\n"], 2),
        ("copy ci_view from stdin", &["7\tx\n"], 1),
        ("copy ci_identity(v) from stdin where random() >= 0", &["w\n"], 1),
        ("copy ci_serial(v) from stdin", &[], 0),
    ] {
        match copy(&client, sql, rows).await {
            Ok(count) if count == copied => {}
            Ok(count) => return fail(format!("{sql} copied {count} rows in place of {copied}")),
            Err(error) => return fail(format!("{sql}: {error:?}")),
        }
    }
    // A second serial: the table's own sequence, and what another statement gets behind it.
    let next: i32 = client.query_one("insert into ci_serial(v) values (4) returning id", &[]).await?.get(0);
    if next != 4 {
        return fail(format!("behind the COPY of three rows the sequence gave {next}"));
    }
    blocks(cluster, &client).await?;
    by_hand(cluster).await?;
    expect_on_all(&cluster.members, "select string_agg(v, ' ' order by id) from ci_t", "a! loud! d! in! again!")
        .await?;
    expect_on_all(&cluster.members, "select count(*) || ' ' || count(distinct r) from ci_audit", "5 5").await?;
    expect_on_all(
        &cluster.members,
        "select string_agg(k || tableoid::regclass::text, ' ' order by id) from ci_part",
        PARTS,
    )
    .await?;
    expect_on_all(&cluster.members, "select string_agg(twice::text, ' ' order by v) from ci_uuid", "2 4 14").await
}

const PARTS: &str = "1ci_part1 11ci_part2 2ci_part1";

/// Several in one transaction, one that fails, and back to a savepoint.
async fn blocks(cluster: &Cluster, client: &Client) -> Result<()> {
    client.batch_execute("begin; insert into ci_t values (4, 'd'); savepoint s").await?;
    copy(client, "copy ci_serial(v) from stdin", &["10\n11\n"]).await?;
    let failed = copy(client, "copy ci_t from stdin", &["5\te\n", "x\tf\n", "6\tg\n"]).await;
    match &failed {
        Err(error) if code(error) == "22P02" => {
            let context = error.as_db_error().and_then(|e| e.where_()).unwrap_or_default().to_owned();
            if context != "COPY ci_t, line 2, column id: \"x\"" {
                return fail(format!("the error's context is {context:?}"));
            }
        }
        other => return fail(format!("a row that cannot be read: {other:?}")),
    }
    client.batch_execute("rollback to s").await?;
    copy(client, "copy ci_t from stdin", &["5\tin\n"]).await?;
    copy(client, "copy ci_serial(v) from stdin", &["20\n"]).await?;
    client.batch_execute("commit").await?;
    // Constraints: of a row, of the whole.
    for (sql, row, wanted) in [
        ("copy ci_serial(v) from stdin", "\\N\n", "23502"),
        ("copy ci_serial(v, id) from stdin", "1\t1\n", "23505"),
        ("copy ci_t from stdin", "8\th\n1\ta\n", "23505"),
        ("copy ci_t(id, nosuch) from stdin", "8\th\n", "42703"),
    ] {
        let error = match endpoint_copy(cluster, sql, row).await? {
            Err(error) => code(&error),
            Ok(count) => return fail(format!("{sql} copied {count}")),
        };
        if error != wanted {
            return fail(format!("{sql}: {error} in place of {wanted}"));
        }
    }
    expect_on_all(&cluster.members, "select string_agg(v::text, ' ' order by id) from ci_serial", "1 2 3 4 20").await
}

/// On a connection of its own: the driver miscounts ReadyForQuery behind a COPY that fails at once.
async fn endpoint_copy(cluster: &Cluster, sql: &str, row: &str) -> Result<Result<u64, tokio_postgres::Error>> {
    let client = cluster.endpoint().connect().await?;
    Ok(copy(&client, sql, &[row]).await)
}

/// The simple protocol; CopyFail; a client that goes away.
async fn by_hand(cluster: &Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    raw.query(b"insert into ci_identity(v) values ('before'); copy ci_t from stdin; select count(*) from ci_audit")
        .await?;
    raw.until(b'G').await?;
    raw.send(b'd', b"6\tagain\n").await?;
    raw.send(b'c', b"").await?;
    let kinds = super::support::kinds(&raw.until(b'Z').await?);
    if kinds != "CTDCZ" {
        return fail(format!("COPY among others was answered by {kinds}"));
    }
    raw.query(b"copy ci_t from stdin").await?;
    raw.until(b'G').await?;
    raw.send(b'd', b"9\tgiven up\n").await?;
    raw.send(b'f', b"I changed my mind\0").await?;
    let answers = raw.until(b'Z').await?;
    let told = answers.iter().find(|m| m.kind == b'E').and_then(|m| m.field(b'M')).unwrap_or_default();
    if error_code(&answers).as_deref() != Some("57014") || told != "COPY from stdin failed: I changed my mind" {
        return fail(format!("CopyFail was answered by {told}"));
    }
    raw.query(b"copy ci_t from stdin").await?;
    raw.until(b'G').await?;
    raw.send(b'd', b"9\tgone\n").await?;
    drop(raw);
    // Nobody holds its key.
    let mut other = Raw::connect(&endpoint, &[]).await?;
    let answers = query(&mut other, "begin; insert into ci_t values (9, 'x'); rollback").await?;
    if let Some(error) = error_code(&answers) {
        return fail(format!("behind a client that went away: {error}"));
    }
    Ok(())
}
