//! A name means the same table on all members, however the search path was changed and changed back.

use super::support::expect_on_all;
use crate::Result;
use crate::cluster::Cluster;

const SCHEMA: &str = "create schema b; create table s(v text); create table b.s(v text); \
    create role slsp superuser; create schema slsp; create table slsp.s(v text)";

/// Statements, each a message of its own, and the schema that the row is then in.
const ROUNDS: &[(&[&str], &str)] = &[
    (&["begin", "set local search_path = b", INSERT, "commit"], "b"),
    (&[INSERT], "public"),
    (&["begin", "select set_config('search_path', 'b', true)", INSERT, "commit"], "b"),
    (&[INSERT], "public"),
    (&["begin", "set search_path = b", "rollback", INSERT], "public"),
    (&["begin", "select set_config('search_path', 'b', false)", "rollback", INSERT], "public"),
    (&["begin", "savepoint p", "set search_path = b", "rollback to p", INSERT, "commit"], "public"),
    (&["begin", "savepoint p", "set local search_path = b", "release p", INSERT, "commit"], "b"),
    (
        &[
            "begin",
            "set local search_path = b",
            "savepoint p",
            "set search_path = public",
            "rollback to p",
            INSERT,
            "commit",
        ],
        "b",
    ),
    (&["begin; set local search_path = b; insert into s values (now()::text); commit"], "b"),
    (&["set role slsp", INSERT, "reset role"], "slsp"),
    (&["begin", "set local role slsp", INSERT, "commit"], "slsp"),
    (&["begin", "set local role slsp", "rollback", INSERT], "public"),
    (&["set role slsp", INSERT, "discard all"], "slsp"),
    (&[INSERT], "public"),
];
const INSERT: &str = "insert into s values (now()::text)";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.endpoint().connect().await?;
    client.batch_execute(SCHEMA).await?;
    for extended in [false, true] {
        for (statements, schema) in ROUNDS {
            let told = |e: crate::Failure| e.during(format!("{statements:?}, extended protocol: {extended}"));
            let count = |schema: &str| format!("select count(*) from {schema}.s");
            let before = cluster.members[0].endpoint().value(&count(schema)).await?;
            let wanted = (before.parse::<u64>()? + 1).to_string();
            for statement in *statements {
                let answer = match extended && *statement == INSERT {
                    true => client.execute(*statement, &[]).await.map(drop),
                    false => client.batch_execute(statement).await,
                };
                answer.map_err(|e| told(crate::Failure::from(e).during(statement)))?;
            }
            expect_on_all(&cluster.members, &count(schema), &wanted).await.map_err(told)?;
        }
    }
    Ok(())
}
