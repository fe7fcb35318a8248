//! CREATE TABLE … AS, and then the lead is killed: before COMMIT, and while another one is on its way. What the one client was told
//! it has, values of the old lead included; the other's statement runs again.

use std::time::Duration;

use tokio::time::sleep;

use super::support::expect_on_all;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// The second statement is on its way so long, and the kill comes in its middle.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// Everything that the first table holds.
const CONTENTS: &str = "select md5(string_agg(f1::text, ',' order by id)) from f1";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table fk(id int primary key, b text); insert into fk select g, 'b' || g from generate_series(1, 50) g").await?;
    endpoint.execute("create sequence fks").await?;
    let (answered, under_way) = (endpoint.connect().await?, endpoint.connect().await?);
    answered.batch_execute("begin").await?;
    answered.batch_execute("create table f1 as select id, b, random() as r, clock_timestamp() as at from fk").await?;
    answered.batch_execute("savepoint s").await?;
    answered.batch_execute("select nextval('fks') as n, id into f2 from fk where id <= 10").await?;
    answered.batch_execute("savepoint s2").await?;
    answered.batch_execute("create table f3 as select 1 as a").await?;
    answered.batch_execute("rollback to s2").await?;
    let told: String = answered.query_one(CONTENTS, &[]).await?.get(0);
    let second = tokio::spawn(async move {
        under_way
            .batch_execute("create table f4 as select id, pg_sleep(0.02)::text as slept, random() as r from fk")
            .await?;
        under_way.query_one("select count(*), count(distinct r) from f4", &[]).await
    });
    sleep(UNDER_WAY).await;
    cluster.members[lead].kill_9()?;
    let kept: String = answered.query_one(CONTENTS, &[]).await?.get(0);
    answered
        .batch_execute("insert into f1 values (51, 'more', 0, now()); alter table f2 add primary key (n); commit")
        .await?;
    if told != kept {
        return fail(format!("before the lead was lost there was {told}, then {kept}"));
    }
    let row = second.await??;
    if (row.get::<_, i64>(0), row.get::<_, i64>(1)) != (50, 50) {
        return fail(format!("the statement that ran again made {} rows", row.get::<_, i64>(0)));
    }
    expect_on_all(&cluster.members, "select count(*) from f1", "51").await?;
    expect_on_all(&cluster.members, "select count(*) || ' ' || max(n) from f2", "10 10").await?;
    expect_on_all(&cluster.members, "select count(*) from pg_class where relname = 'f3'", "0").await?;
    // What the next one hands out is new.
    let next: i64 = endpoint.value("select nextval('fks')").await?.parse()?;
    if next <= 10 { fail(format!("the sequence gave {next} again")) } else { Ok(()) }
}
