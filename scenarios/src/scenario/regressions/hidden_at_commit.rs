//! A trigger that waits for COMMIT, or for SET CONSTRAINTS, writes on every member: also where the transaction has left nothing but a
//! lock until then, and whatever the text of SET CONSTRAINTS looks like.

use super::support::{expect_on_all, one_by_one, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table waits(id int primary key, v int)",
            "create table waits_audit(n int generated always as identity primary key, v int)",
            "create function waits_noted() returns trigger language plpgsql as \
             'begin insert into waits_audit(v) values (new.v); return null; end'",
            "create constraint trigger waits_at_end after update on waits deferrable initially deferred \
             for each row execute function waits_noted()",
            "insert into waits values (1, 1)",
            // From here on both tables have images taken.
            "update waits set v = 2",
        ],
    )
    .await?;
    let client = endpoint.connect().await?;
    for statement in ["begin", "select pg_advisory_xact_lock(77001)", "update waits set v = v where id = 1", "commit"] {
        client.batch_execute(statement).await?;
    }
    expect_on_all(&cluster.members, "select count(*) from waits_audit", "2").await?;
    client.batch_execute("begin").await?;
    client.batch_execute("update waits set v = 3 where id = 1").await?;
    client.execute("set constraints all immediate -- no longer deferred", &[]).await?;
    client.batch_execute("commit").await?;
    expect_on_all(&cluster.members, "select count(*) || ',' || max(v) from waits_audit", "3,3").await?;
    // DEFERRED runs nothing: the key that is missing now comes before COMMIT.
    one_by_one(
        &endpoint,
        &[
            "create table waits_parent(id int primary key)",
            "create table waits_child(id int primary key, p int references waits_parent initially deferred)",
        ],
    )
    .await?;
    client.batch_execute("begin").await?;
    client.batch_execute("update waits set v = 4 where id = 1").await?;
    client.batch_execute("insert into waits_child values (1, 1)").await?;
    let deferred = outcome(&client.execute("set constraints all deferred /* immediately */", &[]).await);
    if deferred != "ok" {
        return fail(format!("SET CONSTRAINTS ALL DEFERRED: {deferred}"));
    }
    // The one that is named runs, the others still wait.
    client.execute("set constraints waits_at_end immediate", &[]).await?;
    client.batch_execute("insert into waits_parent values (1)").await?;
    client.batch_execute("commit").await?;
    expect_on_all(&cluster.members, "select count(*) || ',' || max(v) from waits_audit", "4,4").await
}
