//! Statements, by both protocols, in blocks and alone.

use tokio_postgres::Client;

use super::super::regressions::support::outcome;
use crate::cluster::Cluster;
use crate::sql::rows;
use crate::{Failure, Result, fail};

/// Statements that succeed, in order, with the first value that they return (`-`: none).
const CASES: &[(&str, &str)] = &[
    ("insert into account values (101, 5), (102, 6)", "-"),
    ("update account set balance = balance + 1 where id = 101 returning balance", "6"),
    ("update account set note = 'many ''quotes'', \"and\" \\ more, (x)' where id < 5", "-"),
    ("insert into line(account_id, v) values (101, '{\"a\": 1}'), (102, null) returning id", "1"),
    ("update account set id = 201 where id = 101", "-"),
    ("delete from account where id = 102", "-"),
    ("select count(*) from line", "1"),
    ("insert into chain values (1, 10, 0), (2, 20, 0)", "-"),
    ("update chain set n = 30 where id = 1", "-"),
    // Takes the place of row 1.
    ("insert into chain values (3, 30, 0)", "-"),
    (
        "do $$ begin update chain set n = -1 where id = 2; update chain set n = 20 where id = 3; \
         update chain set n = 30 where id = 2; end $$",
        "-",
    ),
    ("delete from current where id < 4", "-"),
    ("select count(*) from archive", "3"),
    ("insert into entry values (1, 'a')", "-"),
    ("select note from sink", "a!"),
    ("insert into plain values (101, 'b')", "-"),
    ("update plain set note = 'c'", "-"),
    ("select bump('x')", "1"),
    ("select bump('x')", "2"),
    ("select n from counter where name = 'x'", "2"),
    ("select bump(note) from sink where id = 1", "1"),
    ("insert into heap(a, c) values (bump('x'), 'y') returning a", "3"),
    ("call transfer(1, 2, 10)", "-"),
    ("do $$ begin perform bump('do'); update account set note = 'do' where id = 3; end $$", "-"),
    (
        "with gone as (delete from counter where name = 'do' returning n) insert into sink select 5, n from gone returning id",
        "5",
    ),
    ("with a as (insert into counter values ('cte', 7) returning n) select n from a", "7"),
    (
        "merge into counter c using (values ('x'), ('merged')) v(name) on c.name = v.name \
         when matched then update set n = c.n + 1 when not matched then insert values (v.name, 1)",
        "-",
    ),
    ("insert into heap values (1, '{}', null), (1, '{}', null), (2, null, 'x')", "-"),
    ("delete from heap where ctid in (select ctid from heap where a = 1 limit 1)", "-"),
    ("update heap set c = random()::text where a = 1", "-"),
    ("insert into made_up(a, i, b) values (1, '-1 day +02:03', '\\x00ff'), (2, null, null) returning id", "1"),
    ("update made_up set a = a + 1, r = random()", "-"),
    ("insert into part values (1, 'a'), (150, 'b')", "-"),
    ("update part set k = k + 100 where k = 1", "-"),
    ("delete from part where v = 'b'", "-"),
    ("insert into late values (1, 1)", "-"),
    ("select count(*) from log where line = 'late 1'", "1"),
    ("select nextval(s) from (values ('ticket')) v(s)", "any"),
    ("select setval(pg_get_serial_sequence('line', 'id'), (select max(id) from line) + 10)", "any"),
    ("select empties()", ""),
    ("select count(*) from log", "1"),
    ("insert into account values (300, 1) on conflict (id) do update set balance = account.balance + 1", "-"),
    ("update account set balance = 100 where id <= 20", "-"),
];

/// The same behind [`super::schema::HANDLERS`].
const HANDLED: &[(&str, &str)] = &[
    ("select bump('x')", "1"),
    ("select try_twice('x')", "old"),
    ("select try_twice('fresh')", "new"),
    ("select count(*) from log where line = 'taken back'", "1"),
    ("select quiet('quiet')", "written"),
    ("select count(*) from log where line = 'quiet'", "1"),
];

/// The cases on fresh tables: simple, extended, in blocks; then taken back, and with savepoints.
pub(super) async fn run(cluster: &Cluster) -> Result<u64> {
    let client = cluster.endpoint().connect().await?;
    let mut done = 0;
    for way in [Way::Simple, Way::Extended, Way::Block] {
        done += round(&client, way, CASES).await?;
        super::equal(cluster, &format!("{way:?}")).await?;
        client.batch_execute(CLEAN).await?;
    }
    client.batch_execute(CONSTRAINTS).await?;
    super::equal(cluster, "SET CONSTRAINTS").await?;
    taken_back(&client).await?;
    parameters(&client).await?;
    for statement in super::schema::HANDLERS {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(*statement))?;
    }
    for way in [Way::Simple, Way::Extended, Way::Block] {
        client.batch_execute(CLEAN).await?;
        done += round(&client, way, HANDLED).await?;
    }
    Ok(done)
}

async fn round(client: &Client, way: Way, cases: &[(&str, &str)]) -> Result<u64> {
    for (sql, wanted) in cases {
        let found = way.run(client, sql).await.map_err(|e| e.during(format!("{way:?}: {sql}")))?;
        // A second round finds other rows.
        if *wanted != "any" && found != *wanted && matches!(way, Way::Simple) {
            return fail(format!("{sql}: {found} in place of {wanted}"));
        }
    }
    Ok(cases.len() as u64)
}

/// What a round leaves behind that the next one would trip over.
const CLEAN: &str = "delete from log; delete from account where id > 20; delete from chain; delete from sink; delete from counter; \
    delete from heap; delete from part; delete from late; delete from current; \
    insert into current select g, 'n' || g from generate_series(1, 9) g";

/// Triggers that wait run when they are told to, and the rest at COMMIT.
const CONSTRAINTS: &str = "begin; insert into late values (50, 1); set constraints all deferred; \
    insert into late values (51, 1); set constraints all immediate; insert into late values (52, 1); commit; \
    begin; insert into late values (53, 1); savepoint s; insert into late values (54, 1); rollback to s; commit";

#[derive(Clone, Copy, Debug)]
enum Way {
    Simple,
    Extended,
    Block,
}

impl Way {
    async fn run(self, client: &Client, sql: &str) -> Result<String> {
        match self {
            Way::Simple => {
                let found = rows(client, sql).await?;
                Ok(found
                    .into_iter()
                    .next()
                    .map_or("-".into(), |row| row.into_iter().next().flatten().unwrap_or_default()))
            }
            Way::Extended => {
                client.query(sql, &[]).await?;
                Ok(String::new())
            }
            Way::Block => {
                client.batch_execute("begin").await?;
                client.query(sql, &[]).await?;
                client.batch_execute("savepoint s").await?;
                // What is undone leaves no trace, also if it installs triggers first.
                client
                    .batch_execute(
                        "update account set note = 'undone' where id = 7; select bump('undone'); rollback to s",
                    )
                    .await?;
                client.batch_execute("insert into counter values ('beside', 1) on conflict (name) do update set n = counter.n + 1; commit").await?;
                Ok(String::new())
            }
        }
    }
}

/// Errors of triggers are the client's, and undo everything.
async fn taken_back(client: &Client) -> Result<()> {
    let before = counts(client).await?;
    for (sql, wanted) in [
        ("insert into account values (1000, 5000)", "P0001"),
        ("update account set balance = -1 where id = 1", "23514"),
        ("call transfer(1, 2, 100000)", "23514"),
        ("call commits()", "0A000"),
        ("do $$ begin raise exception 'no'; end $$", "P0001"),
        ("select no_such_function()", "42883"),
        ("insert into account values (1, 1)", "23505"),
    ] {
        expect(sql, &outcome(&client.batch_execute(sql).await), wanted)?;
        expect(sql, &outcome(&client.query(sql, &[]).await), wanted)?;
        client.batch_execute("begin").await?;
        // What ends transactions is refused where one server would let it, and PostgreSQL's own error inside a block.
        let in_block = if wanted == "0A000" { "2D000" } else { wanted };
        expect(sql, &outcome(&client.batch_execute(sql).await), in_block)?;
        expect(sql, &outcome(&client.batch_execute("select 1").await), "25P02")?;
        client.batch_execute("rollback").await?;
    }
    client.batch_execute("begin read only").await?;
    expect("read only", &outcome(&client.batch_execute("select bump('x')").await), "25006")?;
    client.batch_execute("rollback").await?;
    client.batch_execute("begin; select bump('x'); update account set note = 'x' where id = 2; rollback").await?;
    let after = counts(client).await?;
    if before == after { Ok(()) } else { fail(format!("{before:?} before, {after:?} behind what was taken back")) }
}

async fn counts(client: &Client) -> Result<Vec<Vec<Option<String>>>> {
    let sql = "select (select count(*) from audit), (select count(*) from log), (select coalesce(sum(n), 0) from counter), \
               (select sum(balance) from account), (select count(*) from account where note = 'x')";
    rows(client, sql).await
}

/// A function with a parameter, prepared once, in a pipeline with others.
async fn parameters(client: &Client) -> Result<()> {
    let bump = client.prepare("select bump($1)").await?;
    let mut last = 0_i64;
    for round in 1..=3_i64 {
        last = client.query_one(&bump, &[&"parameter"]).await?.get(0);
        if last != round {
            return fail(format!("bump gave {last} in round {round}"));
        }
    }
    let update = client.prepare("update account set note = $1 where id = $2").await?;
    let (a, b) = tokio::join!(client.execute(&update, &[&"p", &4]), client.query_one(&bump, &[&"parameter"]));
    let bumped: i64 = b?.get(0);
    if a? != 1 || bumped != last + 1 {
        return fail("a pipeline of hidden writes".to_owned());
    }
    client.batch_execute("prepare q as select bump('prepared'); execute q; execute q; deallocate q").await?;
    Ok(())
}

/// What followers could not repeat is refused, and leaves nothing behind.
pub(super) async fn refused(cluster: &Cluster) -> Result<u64> {
    let client = cluster.endpoint().connect().await?;
    let statements = [
        "select makes_table()",
        "select makes_temp()",
        "select makes_object()",
        "select locks()",
        "select sets()",
        "do $$ begin execute 'alter table heap add column z int'; end $$",
        "insert into heap(a) select lo_create(0)::int4",
        "do $$ begin insert into raidb.applied_0 values (1); end $$",
        "set raidb.capture = on",
    ];
    for sql in statements {
        expect(sql, &outcome(&client.batch_execute(sql).await), "0A000")?;
        client.batch_execute("begin").await?;
        expect(sql, &outcome(&client.query(sql, &[]).await), "0A000")?;
        client.batch_execute("rollback").await?;
        // The session is as before.
        expect(sql, &outcome(&client.batch_execute("select count(*) from heap").await), "ok")?;
    }
    Ok(statements.len() as u64)
}

fn expect(what: &str, found: &str, wanted: &str) -> Result<()> {
    if found == wanted { Ok(()) } else { fail(format!("{what}: {found} in place of {wanted}")) }
}
