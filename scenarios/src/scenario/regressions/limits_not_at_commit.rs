//! The client's time limits are for its statements, not for the marker and COMMIT that the proxy sends behind the decision: a lead
//! that takes its time there commits like the others, and stays.

use std::time::Duration;

use tokio::time::sleep;

use super::support::outcome;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Longer than the limits, shorter than `member_timeout` (3 s).
const HELD: Duration = Duration::from_millis(400);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table limited(id int primary key, v int); insert into limited values (1, 0)").await?;
    let lead = cluster.members[cluster.lead().await?].endpoint();
    let cases = [
        "set lock_timeout = '100ms'; set statement_timeout = '100ms'; begin",
        "begin; set local lock_timeout = '100ms'; set local statement_timeout = '100ms'",
        "begin; set lock_timeout = '100ms'",
    ];
    for begin in cases {
        let client = endpoint.connect().await?;
        for sql in begin.split(';') {
            client.batch_execute(sql).await?;
        }
        client.batch_execute("update limited set v = v + 1 where id = 1").await?;
        // Nobody can write a marker on the lead.
        let holder = lead.connect().await?;
        let tables = "select string_agg(format('raidb.%I', relname), ', ') from pg_class \
            where relnamespace = 'raidb'::regnamespace and relkind = 'r' and relname like 'applied_%'";
        holder.batch_execute(&format!("begin; lock table {} in share mode", lead.value(tables).await?)).await?;
        let release = tokio::spawn(async move {
            sleep(HELD).await;
            holder.batch_execute("rollback").await
        });
        let committed = outcome(&client.batch_execute("commit").await);
        release.await??;
        if committed != "ok" {
            return fail(format!("{begin}: COMMIT was answered with {committed}"));
        }
        cluster.expect_all_enabled().await.map_err(|e| e.during(begin))?;
    }
    Ok(())
}
