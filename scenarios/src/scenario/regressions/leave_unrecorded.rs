//! A follower is lost during COMMIT, and the log takes no record of that: the commit was acknowledged although nothing durable said that
//! the follower lacks it. Nobody may be told of success behind which writes have stopped; "unknown" it is.
//!
//! Which of the log's writes is that record depends on what else is logged; each in turn fails, and that it was among them is asserted.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{armed, expect_on_all, outcome, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// The intent, the record, and what comes behind them.
const WRITES_MAX: i32 = 3;
/// The follower has answered what came before COMMIT.
const FOLLOWED: Duration = Duration::from_millis(200);
/// The log has failed, and nothing is written any more.
const STOPPED: &str = "58030";
/// How long members may take to be back behind a restart.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    cluster.endpoint().execute("create table lu(id int primary key)").await?;
    let mut unknown = 0;
    for nth in 1..=WRITES_MAX {
        armed(cluster, &format!("log.append:{nth}:full")).await?;
        let follower = (cluster.lead().await? + 1) % cluster.members.len();
        let client = session(&cluster.endpoint(), "lu").await?;
        client.batch_execute(&format!("begin; insert into lu values ({nth})")).await?;
        sleep(FOLLOWED).await;
        cluster.members[follower].sigstop_all()?;
        let told = outcome(&client.batch_execute("commit").await);
        let other = session(&cluster.endpoint(), "lu other").await;
        let behind = match &other {
            Ok(other) => outcome(&other.batch_execute(&format!("insert into lu values (100 + {nth})")).await),
            Err(_) => "connection".to_owned(),
        };
        cluster.members[follower].sigcont_all()?;
        // (Where it is the next write's own record that finds no room, that one is refused with 53100, and writes go on.)
        if told == "ok" && behind == STOPPED {
            return fail(format!("write {nth}: COMMIT was acknowledged, and writes have stopped"));
        }
        unknown += i32::from(told == "08007");
        let proxy = cluster.proxy_mut()?;
        proxy.stop().await?;
        proxy.set_environment(Vec::new());
        proxy.restart().await?;
        let names: Vec<String> = cluster.members.iter().map(|member| member.name().to_owned()).collect();
        for name in names {
            cluster.wait_for_state(&name, "enabled", LIMIT).await?;
        }
        let wanted = cluster.members[0].endpoint().value(&format!("select count(*) from lu where id = {nth}")).await?;
        if told == "ok" && wanted != "1" {
            return fail(format!("write {nth}: an acknowledged row is lost"));
        }
        expect_on_all(&cluster.members, &format!("select count(*) from lu where id = {nth}"), &wanted).await?;
    }
    if unknown == 0 {
        return fail("the record of the loss was not among the writes that failed");
    }
    Ok(())
}
