//! An INSERT waits for a transaction that changes a default: it is replicated by the new default, or fails with 40001.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::support::{expect_on_all, outcome, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Long enough for the INSERT to reach the lock.
const WAIT: Duration = Duration::from_millis(150);
const NEW_DEFAULT: &str = "alter table u alter x set default gen_random_uuid()::text";
const OLD_DEFAULT: &str = "alter table u alter x set default 'old'";
const WAYS: &[Way] = &[Way::Simple, Way::Extended, Way::Prepared, Way::Transaction];

#[derive(Clone, Copy, Debug)]
enum Way {
    Simple,
    /// Parse waits for the lock.
    Extended,
    /// Prepared before the change: Bind waits for the lock.
    Prepared,
    Transaction,
}

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table u(id int primary key, x text default 'old')").await?;
    let changer = session(&endpoint, "ddl changer").await?;
    let inserter = session(&endpoint, "ddl inserter").await?;
    let statement = inserter.prepare("insert into u(id) values ($1)").await?;
    for (id, way) in (1_i32..).zip(WAYS) {
        changer.batch_execute(OLD_DEFAULT).await?;
        changer.batch_execute("begin").await?;
        changer.batch_execute(NEW_DEFAULT).await?;
        let answer = {
            let inserting = insert(&inserter, *way, id, &statement);
            tokio::pin!(inserting);
            if let Ok(answer) = timeout(WAIT, &mut inserting).await {
                return fail(format!("{way:?}: the insert did not wait: {}", outcome(&answer)));
            }
            changer.batch_execute("commit").await?;
            inserting.await
        };
        match outcome(&answer).as_str() {
            "ok" => {}
            "40001" => {
                inserter.batch_execute("rollback").await?;
                insert(&inserter, *way, id, &statement).await?;
            }
            _ => return fail(format!("{way:?}: {answer:?}")),
        }
        expect_on_all(&cluster.members, &format!("select length(x) from u where id = {id}"), "36")
            .await
            .map_err(|e| e.during(format!("{way:?}")))?;
    }
    Ok(())
}

async fn insert(client: &Client, way: Way, id: i32, statement: &tokio_postgres::Statement) -> Result<(), Error> {
    match way {
        Way::Simple => client.batch_execute(&format!("insert into u(id) values ({id})")).await,
        Way::Extended => client.execute("insert into u(id) values ($1)", &[&id]).await.map(drop),
        Way::Prepared => client.execute(statement, &[&id]).await.map(drop),
        Way::Transaction => {
            client.batch_execute("begin").await?;
            client.execute("insert into u(id) values ($1)", &[&id]).await?;
            client.batch_execute("commit").await
        }
    }
}
