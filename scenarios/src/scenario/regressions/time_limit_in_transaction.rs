//! A time limit that is set inside a transaction acts on the lead alone: a follower whose table is being read waits, the lead is not
//! outvoted. What was set for the session holds behind COMMIT, on whatever member, and only then.

use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use super::support::outcome;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Result, fail};

/// How long the followers' tables are read; below `member_timeout`.
const HELD: Duration = Duration::from_secs(2);
/// The start packet's options of a session, and what it runs between BEGIN and ALTER TABLE.
const WAYS: &[(&str, &str)] = &[
    ("", "set local lock_timeout = '20ms'"),
    ("", "select set_config('lock_timeout', '20ms', true)"),
    ("", "set lock_timeout = '20ms'"),
    ("", "select set_config('lock_timeout', '20ms', false)"),
    ("-c lock_timeout=20ms", "reset lock_timeout"),
    ("-c lock_timeout=20ms", "set lock_timeout to default"),
    ("-c lock_timeout=20ms", "reset all"),
];
/// Messages, and the limit that the session has behind them.
const SESSIONS: &[(&[&str], &str)] = &[
    (&["begin", "set local lock_timeout = '1s'", "insert into tlt values (1)", "commit"], "0"),
    (&["begin", "set lock_timeout = '2s'", "insert into tlt values (2)", "commit"], "2s"),
    (&["begin", "set lock_timeout = '3s'", "insert into tlt values (3)", "rollback"], "2s"),
    (
        &["begin", "insert into tlt values (4)", "savepoint p", "set lock_timeout = '4s'", "rollback to p", "commit"],
        "2s",
    ),
    (&["begin", "savepoint p", "set lock_timeout = '5s'", "rollback to p", "commit"], "2s"),
    (&["begin", "set lock_timeout = '6s'", "savepoint p", "rollback to p", "commit"], "6s"),
    (&["begin", "savepoint p", "set lock_timeout = '7s'", "release p", "insert into tlt values (7)", "commit"], "7s"),
    (&["begin", "set lock_timeout = '8s'", "commit"], "8s"),
    (&["begin; set lock_timeout = '9s'; set local lock_timeout = '10s'; insert into tlt values (9); commit"], "9s"),
    (&["begin", "reset lock_timeout", "insert into tlt values (10)", "commit"], "0"),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let tables: Vec<String> = (0..WAYS.len()).map(|number| format!("tlt{number}")).collect();
    for table in &tables {
        endpoint.execute(&format!("create table {table}(id int primary key)")).await?;
    }
    endpoint.execute("create table tlt(id int primary key)").await?;
    let lead = cluster.lead().await?;
    let mut readers = Vec::new();
    for (_, follower) in cluster.members.iter().enumerate().filter(|(index, _)| *index != lead) {
        let reader = follower.endpoint().connect().await?;
        reader.batch_execute(&format!("begin; lock table {} in access share mode", tables.join(", "))).await?;
        readers.push(reader);
    }
    let altering = try_join_all(WAYS.iter().zip(&tables).map(|(way, table)| alter(&endpoint, way, table)));
    let reading = async {
        sleep(HELD).await;
        try_join_all(readers.iter().map(|reader| reader.batch_execute("commit"))).await.map_err(crate::Failure::from)
    };
    tokio::try_join!(altering, reading)?;
    cluster.expect_all_enabled().await?;
    let client = endpoint.connect().await?;
    for (messages, wanted) in SESSIONS {
        for message in *messages {
            client.batch_execute(message).await.map_err(|e| crate::Failure::from(e).during(format!("{messages:?}")))?;
        }
        expect_limit(&client, wanted).await.map_err(|e| e.during(format!("{messages:?}")))?;
    }
    Ok(())
}

async fn alter(endpoint: &Endpoint, (options, setting): &(&str, &str), table: &str) -> Result<()> {
    let (client, connection) = endpoint.config().options(*options).connect(NoTls).await?;
    tokio::spawn(connection);
    for sql in ["begin", setting, &format!("alter table {table} add c int"), "commit"] {
        let answer = client.batch_execute(sql).await;
        if outcome(&answer) != "ok" {
            return fail(format!("{setting}: {sql} was answered with {}", outcome(&answer)));
        }
    }
    Ok(())
}

/// Reads go to one member after the other.
async fn expect_limit(client: &Client, wanted: &str) -> Result<()> {
    for _ in 0..6 {
        let found: String = client.query_one("select current_setting('lock_timeout')", &[]).await?.get(0);
        if found != wanted {
            return fail(format!("lock_timeout is {found} in place of {wanted}"));
        }
    }
    Ok(())
}
