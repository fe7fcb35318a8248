//! Writes behind a read that nobody would notice: counts that are switched off, functions that keep an error to themselves; and an
//! error of the proxy's own question takes the place of the answer.

use super::support::{error_code, expect_on_all, kinds, one_by_one, outcome, query};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table seen(id int primary key)",
            "create table unseen(id int primary key, t text)",
            "create function seen_noted() returns trigger language plpgsql as \
             'begin insert into unseen values (new.id, chr(8364)); return null; end'",
            "create trigger seen_noted after insert on seen for each row execute function seen_noted()",
            "create function swallows() returns int language plpgsql as \
             'begin insert into unseen values (1000, ''s''); return 1; exception -- whatever it is\n when others then return 0; end'",
        ],
    )
    .await?;
    let client = endpoint.connect().await?;
    client.batch_execute("set track_counts = off").await?;
    let blind = outcome(&client.batch_execute("insert into seen values (1)").await);
    client.batch_execute("set track_counts = on").await?;
    if blind != "0A000" {
        return fail(format!("an INSERT with a trigger under track_counts = off: {blind}"));
    }
    expect_on_all(&cluster.members, "select count(*) from unseen", "0").await?;
    client.batch_execute("insert into seen values (2)").await?;
    expect_on_all(&cluster.members, "select count(*) from unseen", "1").await?;
    // A function that handles errors writes, or is refused; it never says that it did nothing.
    if endpoint.value("select swallows()").await? != "1" {
        return fail("swallows() was kept from writing, and told so");
    }
    expect_on_all(&cluster.members, "select count(*) from unseen", "2").await?;
    for inside in ["copy (select swallows()) to stdout", "explain analyze select swallows()"] {
        let answer = outcome(&client.simple_query(inside).await);
        if answer != "0A000" {
            return fail(format!("{inside}: {answer}"));
        }
    }
    // What a trigger has written cannot be told in the client's encoding.
    let mut raw = Raw::connect(&endpoint, &[("client_encoding", "LATIN1")]).await?;
    let messages = query(&mut raw, "insert into seen values (3)").await?;
    if kinds(&messages) != "EZ" || error_code(&messages).as_deref() != Some("22P05") {
        return fail(format!("an INSERT whose images do not fit the encoding: {messages:?}"));
    }
    expect_on_all(&cluster.members, "select count(*) from seen", "1").await
}
