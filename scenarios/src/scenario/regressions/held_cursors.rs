//! Cursors WITH HOLD: on the lead's connection behind their transaction, whose COMMIT may fail there; what is lost with the connection is
//! told, and is never read as something else.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use super::support::{code, error_code, expect_on_all, kinds, one_by_one, outcome, session, terminate};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::rows;
use crate::{Failure, Result, fail};

const FIVE: &str = "select id from held order by id limit 5";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table held(id int primary key, v int)",
            "insert into held select g, 0 from generate_series(1, 10) g",
            "create function held_write(i int) returns int language plpgsql as \
             'begin insert into held values (i, i); return i; end'",
        ],
    )
    .await?;
    let client = session(&endpoint, "held").await?;
    life(&client).await?;
    commit_refused(cluster, &client).await?;
    hidden(cluster, &client).await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    described(&mut raw).await?;
    lost(cluster, &client).await
}

/// A cursor beside a write, over the end of its transaction and of others.
async fn life(client: &Client) -> Result<()> {
    all(client, &["begin", &declare("h", FIVE), "update held set v = 1 where id = 1"]).await?;
    expect(client, "fetch 1 from h", "1").await?;
    all(client, &["commit", "delete from held where id = 3"]).await?;
    expect(client, "fetch 1 from h", "2").await?;
    all(client, &["begin"]).await?;
    expect(client, "fetch 1 from h", "3").await?;
    all(client, &["rollback"]).await?;
    expect(client, "fetch 1 from h; select 10", "4 10").await?;
    expect(client, "select name from pg_cursors where is_holdable", "h").await?;
    fails(client, &declare("h", FIVE), "42P03").await?;
    all(client, &["begin", "close h", "rollback"]).await?;
    fails(client, "fetch h", "34000").await?;
    all(client, &["begin", "savepoint s", &declare("h", FIVE), "rollback to s", "commit"]).await?;
    fails(client, "fetch h", "34000").await?;
    all(client, &["begin", &declare("h", FIVE), "rollback"]).await?;
    fails(client, "fetch h", "34000").await?;
    all(client, &[&declare("h", FIVE), "begin"]).await?;
    fails(client, "select 1 / 0", "22012").await?;
    fails(client, "fetch h", "25P02").await?;
    all(client, &["rollback", "move 3 in h"]).await?;
    // It has had 1, 2 and, since 3 is deleted, 4.
    expect(client, "fetch all from h", "5 6").await?;
    all(client, &["discard all"]).await?;
    fails(client, "fetch h", "34000").await
}

/// COMMIT runs the query to its end. If that fails, the transaction is on no member.
async fn commit_refused(cluster: &Cluster, client: &Client) -> Result<()> {
    let bad = declare("bad", "select 1 / (id - 5) from held order by id");
    fails(client, &bad, "22012").await?;
    all(client, &["begin", &bad]).await?;
    fails(client, "commit", "22012").await?;
    all(
        client,
        &["begin", "insert into held values (100, 0)", &bad, "savepoint s", "insert into held values (101, 0)"],
    )
    .await?;
    expect(client, "fetch 1 from bad", "0").await?;
    fails(client, "commit", "22012").await?;
    fails(client, "fetch bad", "34000").await?;
    fails(client, &format!("insert into held values (100, 0); {bad}"), "22012").await?;
    // It takes its time, and can be cancelled.
    let slow = declare("slow", "select id, pg_sleep(0.2) from held");
    for written in [&["begin", &slow][..], &["begin", "insert into held values (100, 0)", &slow]] {
        all(client, written).await?;
        let cancel = async {
            sleep(Duration::from_millis(300)).await;
            client.cancel_token().cancel_query(NoTls).await
        };
        let (committed, cancelled) = tokio::join!(client.batch_execute("commit"), cancel);
        cancelled?;
        if outcome(&committed) != "57014" {
            return fail(format!("a COMMIT that was cancelled: {}", outcome(&committed)));
        }
        all(client, &["rollback"]).await?;
    }
    expect_on_all(&cluster.members, "select count(*) from held where id >= 100", "0").await
}

/// What such a cursor writes at COMMIT nobody would see: it is refused, whoever declares it.
async fn hidden(cluster: &Cluster, client: &Client) -> Result<()> {
    let writes = declare("w", "select held_write(i) from generate_series(200, 202) i");
    fails(client, &writes, "0A000").await?;
    let hidden = format!("do $$begin execute '{writes}'; end$$");
    fails(client, &hidden, "0A000").await?;
    all(client, &["begin", "insert into held values (300, 0)"]).await?;
    fails(client, &hidden, "0A000").await?;
    all(client, &["rollback"]).await?;
    expect_on_all(&cluster.members, "select count(*) from held where id >= 100", "0").await
}

/// Drivers ask what a cursor's rows look like: outside a transaction, too.
async fn described(raw: &mut Raw) -> Result<()> {
    let mut answers = Vec::new();
    for (kind, body) in [
        (b'P', format!("\0{}\0\0\0", declare("p", FIVE))),
        (b'B', "\0\0\0\0\0\0\0\0".to_owned()),
        (b'E', "\0\0\0\0\0".to_owned()),
        (b'S', String::new()),
        (b'D', "Pp\0".to_owned()),
        (b'S', String::new()),
        (b'E', "p\0\0\0\0\x02".to_owned()),
        (b'S', String::new()),
        (b'D', "Pq\0".to_owned()),
        (b'S', String::new()),
    ] {
        raw.send(kind, body.as_bytes()).await?;
        if kind == b'S' {
            answers.push(raw.until(b'Z').await?);
        }
    }
    let found: Vec<String> = answers.iter().map(|answer| kinds(answer)).collect();
    let unknown = answers.last().and_then(|answer| error_code(answer));
    if found == ["12CZ", "TZ", "DDsZ", "EZ"] && unknown.as_deref() == Some("34000") {
        return Ok(());
    }
    fail(format!("a cursor of DECLARE by messages: {found:?}, and an unknown one {unknown:?}"))
}

/// The connection on which they stand ends, or its member is taken out: they are gone, and the client is told why.
async fn lost(cluster: &Cluster, client: &Client) -> Result<()> {
    let lead = cluster.lead().await?;
    all(client, &[&declare("h", FIVE), &declare("i", FIVE), "move 1 in h"]).await?;
    terminate(&cluster.members[lead], "held").await?;
    expect(client, "select count(*) from held", "9").await?;
    told_why(client, "fetch 1 from h").await?;
    told_why(client, "close i").await?;
    all(client, &["begin", "insert into held values (11, 0)"]).await?;
    told_why(client, "fetch 1 from h").await?;
    fails(client, "select 1", "25P02").await?;
    all(client, &["rollback", &declare("h", FIVE)]).await?;
    expect(client, "fetch 1 from h", "1").await?;
    let name = cluster.members[lead].name();
    if let (Some(proxy), false) = (&cluster.proxy, cluster.members.len() < 2) {
        let (left, printed) = proxy.member(&["disable", name]).await?;
        if left != Some(0) {
            return fail(format!("raidb member disable {name}: {printed}"));
        }
        told_why(client, "fetch 1 from h").await?;
        all(client, &[&declare("h", FIVE), "close h"]).await?;
        let (back, printed) = proxy.member(&["enable", name]).await?;
        if back != Some(0) {
            return fail(format!("raidb member enable {name}: {printed}"));
        }
    }
    expect_on_all(&cluster.members, "select count(*) from held", "9").await
}

fn declare(name: &str, query: &str) -> String {
    format!("declare {name} cursor with hold for {query}")
}

async fn all(client: &Client, statements: &[&str]) -> Result<()> {
    for statement in statements {
        client.batch_execute(statement).await.map_err(|e| Failure::from(e).during(*statement))?;
    }
    Ok(())
}

async fn expect(client: &Client, sql: &str, wanted: &str) -> Result<()> {
    let found = rows(client, sql).await.map_err(|failure| failure.during(sql))?;
    let found: Vec<String> = found.into_iter().flatten().map(Option::unwrap_or_default).collect();
    if found.join(" ") == wanted { Ok(()) } else { fail(format!("{sql}: {found:?} in place of {wanted:?}")) }
}

async fn fails(client: &Client, sql: &str, wanted: &str) -> Result<()> {
    let found = outcome(&client.simple_query(sql).await);
    if found == wanted { Ok(()) } else { fail(format!("{sql}: {found} in place of {wanted}")) }
}

async fn told_why(client: &Client, sql: &str) -> Result<()> {
    match client.simple_query(sql).await {
        Ok(_) => fail(format!("{sql} of a cursor that is lost has an answer")),
        Err(error) if code(&error) != "34000" => fail(format!("{sql}: {error:?}")),
        Err(error) => match error.as_db_error().and_then(|answer| answer.detail()) {
            Some(detail) if detail.contains("lost") => Ok(()),
            detail => fail(format!("{sql}: {detail:?} does not say why")),
        },
    }
}
