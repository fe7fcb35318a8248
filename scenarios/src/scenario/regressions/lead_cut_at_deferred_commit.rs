//! The session's backend on the lead ends, the lead lives, and COMMIT arrives before that is known: with a deferred constraint the
//! lead is asked once more, which finds no connection. That is no change of lead: what the old connection had answered is gone.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{expect_on_all, outcome, session};
use crate::cluster::{Cluster, signal};
use crate::{Result, fail};

/// The lead lets nobody in for so long: whether it lives is not known meanwhile (`member_timeout` is 3 s).
const SHUT: Duration = Duration::from_millis(500);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint
        .execute(
            "create table cut_parent(id int primary key); insert into cut_parent values (1); \
             create table cut_child(id int primary key, \
                 parent int references cut_parent(id) deferrable initially deferred)",
        )
        .await?;
    let client = session(&endpoint, "cut_deferred").await?;
    client.batch_execute("insert into cut_child values (1, 1)").await?;
    let member = &cluster.members[lead];
    let pid =
        member.endpoint().value("select pid from pg_stat_activity where application_name = 'cut_deferred'").await?;
    client.batch_execute("begin").await?;
    client.batch_execute("insert into cut_child values (2, 1)").await?;
    let Some(postmaster) = member.pid() else { return fail("the lead does not run") };
    signal("STOP", &[postmaster])?;
    signal("TERM", &[pid.parse()?])?;
    sleep(Duration::from_millis(50)).await;
    let shut = tokio::spawn(async move {
        sleep(SHUT).await;
        signal("CONT", &[postmaster])
    });
    let committed = outcome(&client.batch_execute("commit").await);
    shut.await??;
    if committed != "40001" {
        return fail(format!("COMMIT behind the end of the lead's backend: {committed}"));
    }
    client.batch_execute("insert into cut_child values (3, 1)").await?;
    expect_on_all(&cluster.members, "select string_agg(id::text, ',' order by id) from cut_child", "1,3").await
}
