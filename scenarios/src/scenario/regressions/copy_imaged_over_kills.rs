//! A follower, the lead, and the proxy are killed around a COPY that the lead alone is given: what was acknowledged is on all
//! members, once; what was not is nowhere.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, pin_mut};

use super::copy_imaged::copy;
use super::support::{armed, code, expect_on_all, one_by_one, reached, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// A member that was restarted is back within this time.
const BACK_LIMIT: Duration = Duration::from_secs(8);
/// The proxy dies within this time.
const END_LIMIT: Duration = Duration::from_secs(5);
/// The proxy dies behind the decision on the first transaction.
const DECIDED: &str = "commit.intent_durable:1:crash";

const TABLES: &[&str] = &[
    "create table ck(id serial primary key, v int, r float default random())",
    "create table ck_audit(n serial primary key, id int, at timestamptz default clock_timestamp())",
    "create function ck_after() returns trigger language plpgsql as \
     $$ begin insert into ck_audit(id) values (new.id); return null; end $$",
    "create trigger ck_a after insert on ck for each row execute function ck_after()",
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    one_by_one(&cluster.endpoint(), TABLES).await?;
    let client = session(&cluster.endpoint(), "ck").await?;
    let many: String = (0..500).map(|v| format!("{v}\n")).collect();
    if copy(&client, "copy ck(v) from stdin", &[&many]).await? != 500 {
        return fail("not all rows were copied");
    }
    // A follower, in the middle.
    let follower = (cluster.lead().await? + 1) % cluster.members.len();
    {
        let sink = client.copy_in("copy ck(v) from stdin").await?;
        pin_mut!(sink);
        sink.send(Bytes::copy_from_slice(many.as_bytes())).await?;
        cluster.members[follower].kill_9()?;
        sink.send(Bytes::copy_from_slice(many.as_bytes())).await?;
        sink.finish().await?;
    }
    expect_on_all(&cluster.members, "select count(*) || ' ' || (select count(*) from ck_audit) from ck", "1500 1500")
        .await?;
    back(cluster, follower).await?;
    // The lead, in the middle: retryable, and nothing is left.
    let lead = cluster.lead().await?;
    let told = {
        let sink = client.copy_in("copy ck(v) from stdin").await?;
        pin_mut!(sink);
        sink.send(Bytes::copy_from_slice(many.as_bytes())).await?;
        cluster.members[lead].kill_9()?;
        match sink.send(Bytes::copy_from_slice(many.as_bytes())).await {
            Ok(()) => sink.finish().await,
            Err(error) => Err(error),
        }
    };
    match told {
        Err(error) if code(&error) == "40001" => {}
        other => return fail(format!("the lead was lost during COPY: {other:?}")),
    }
    if copy(&client, "copy ck(v) from stdin", &[&many]).await? != 500 {
        return fail("not all rows were copied by the new lead");
    }
    back(cluster, lead).await?;
    expect_on_all(&cluster.members, "select count(*) || ' ' || (select count(*) from ck_audit) from ck", "2000 2000")
        .await?;
    // The proxy, behind the decision.
    armed(cluster, DECIDED).await?;
    let client = session(&cluster.endpoint(), "ck").await?;
    let unsure = copy(&client, "copy ck(v) from stdin", &[&many]).await;
    if let Ok(count) = unsure {
        return fail(format!("COPY of {count} rows was acknowledged by a proxy that had died"));
    }
    cluster.proxy_mut()?.wait_end(END_LIMIT).await?;
    reached(cluster, DECIDED)?;
    cluster.proxy_mut()?.set_environment(Vec::new());
    cluster.proxy_mut()?.restart().await?;
    expect_on_all(&cluster.members, "select count(*) || ' ' || (select count(*) from ck_audit) from ck", "2500 2500")
        .await?;
    // And what comes next is new.
    cluster.endpoint().execute("insert into ck(v) values (1)").await
}

async fn back(cluster: &mut Cluster, member: usize) -> Result<()> {
    let name = cluster.members[member].name().to_owned();
    cluster.members[member].restart().await?;
    cluster.wait_for_state(&name, "enabled", BACK_LIMIT).await.map(drop)
}
