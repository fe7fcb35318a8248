//! Sequences that were set back (TRUNCATE … RESTART IDENTITY, a table made anew) are carried from where they are now: the next lead
//! hands out no value that the killed one has handed out.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{expect_on_all, session};
use crate::Result;
use crate::cluster::Cluster;

/// Sequences are carried within this time.
const CARRIED: Duration = Duration::from_millis(400);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = session(&cluster.endpoint(), "serial_restarted").await?;
    let make = |table: &str| format!("create table {table}(id serial primary key, v int)");
    let fill = |table: &str, rows: u32| format!("insert into {table}(v) select g from generate_series(1, {rows}) g");
    for table in ["sr_truncated", "sr_new"] {
        client.batch_execute(&make(table)).await?;
        client.batch_execute(&fill(table, 100)).await?;
    }
    sleep(CARRIED).await;
    client.batch_execute("truncate sr_truncated restart identity").await?;
    client.batch_execute("drop table sr_new").await?;
    client.batch_execute(&make("sr_new")).await?;
    // Where the old states are known, and where they were asked anew.
    for pause in [Duration::ZERO, CARRIED] {
        sleep(pause).await;
        for table in ["sr_truncated", "sr_new"] {
            client.batch_execute(&fill(table, 5)).await?;
        }
    }
    sleep(CARRIED).await;
    for table in ["sr_truncated", "sr_new"] {
        let state = format!("select last_value || ' ' || is_called from {table}_id_seq");
        expect_on_all(&cluster.members, &state, "10 true").await?;
    }
    let lead = cluster.lead().await?;
    cluster.members[lead].kill_9()?;
    for table in ["sr_truncated", "sr_new"] {
        client.batch_execute(&fill(table, 5)).await?;
        expect_on_all(&cluster.members, &format!("select count(*) || ' ' || max(id) from {table}"), "15 15").await?;
    }
    Ok(())
}
