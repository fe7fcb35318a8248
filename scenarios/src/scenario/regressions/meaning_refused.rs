//! The proxy asks what names mean behind a setting, inside the transaction, before the next statement that has names. A client encoding that cannot show the name of a
//! schema is no obstacle; whatever else the lead refuses ends the transaction on all members, and takes out none.

use super::support::{expect_on_all, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

const SCHEMA: &str = "create table mr(id int primary key, v text); create role mr_role; grant all on mr to mr_role; \
    create schema \"日本\"; create table \"日本\".kanji(id int primary key, v text)";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.endpoint().connect().await?;
    client.batch_execute(SCHEMA).await?;
    client.batch_execute("set search_path = \"日本\", public").await?;
    for (id, local) in [(1, ""), (2, "local ")] {
        client.batch_execute(&format!("begin; insert into mr values ({id}, now()::text)")).await?;
        client.batch_execute(&format!("set {local}client_encoding = 'LATIN1'")).await?;
        // Names mean what they did.
        client.batch_execute(&format!("insert into kanji values ({id}, 'plain')")).await?;
        client.batch_execute(&format!("insert into mr values ({id} + 10, now()::text)")).await?;
        client.batch_execute("commit").await?;
        client.batch_execute(&format!("insert into mr values ({id} + 20, now()::text)")).await?;
        client.batch_execute("set client_encoding = 'UTF8'").await?;
    }
    expect_on_all(&cluster.members, "select count(*) from mr", "6").await?;

    let functions = "execute on function pg_catalog.current_schemas(boolean)";
    for member in &cluster.members {
        member.endpoint().execute(&format!("revoke {functions} from public")).await?;
    }
    let refused = refused(cluster).await;
    for member in &cluster.members {
        member.endpoint().execute(&format!("grant {functions} to public")).await?;
    }
    refused?;
    cluster.expect_all_enabled().await?;
    expect_on_all(&cluster.members, "select count(*) from mr", "6").await
}

/// The lead does not tell the role of the session what names mean.
async fn refused(cluster: &Cluster) -> Result<()> {
    for statement in [None, Some("insert into mr values (52)")] {
        let client = cluster.endpoint().connect().await?;
        let mut answers = Vec::new();
        for sql in ["begin", "insert into mr values (51)", "set local role mr_role"].into_iter().chain(statement) {
            answers.push(outcome(&client.batch_execute(sql).await));
        }
        if statement.is_some() && answers.last().is_some_and(|answer| answer == "ok") {
            return fail(format!("a statement went on in a transaction that the lead has aborted: {answers:?}"));
        }
        let answer = outcome(&client.batch_execute("commit").await);
        // Without a statement behind the setting there was nothing to ask for: the lead has aborted nothing.
        if statement.is_none() && answer != "ok" {
            return fail(format!("COMMIT was answered with {answer} behind {answers:?}"));
        }
        // The session goes on.
        client.batch_execute("insert into mr values (53); delete from mr where id in (51, 53)").await?;
    }
    Ok(())
}
