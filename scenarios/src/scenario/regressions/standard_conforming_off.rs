//! With standard_conforming_strings off a backslash hides a quote: the text is read as the server reads it.

use super::support::{expect_on_all, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Off: a SELECT, a DELETE and a comment. On: one SELECT of one long text.
const TEXT: &str = r"select '\'' ; delete from sco where id = 1 --'";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.endpoint().connect().await?;
    client.batch_execute("create table sco(id int primary key)").await?;
    for (set, rows) in [("set local standard_conforming_strings = off", "0"), ("", "1")] {
        client.batch_execute("insert into sco values (1) on conflict do nothing").await?;
        client.batch_execute("begin").await?;
        let set = outcome(&client.batch_execute(set).await);
        if set == "0A000" {
            client.batch_execute("rollback").await?;
            continue;
        }
        let answer = outcome(&client.batch_execute(TEXT).await);
        client.batch_execute("commit").await?;
        let wanted = match answer.as_str() {
            "ok" => rows,
            "0A000" => "1",
            _ => return fail(format!("{TEXT}: {answer}")),
        };
        expect_on_all(&cluster.members, "select count(*) from sco", wanted).await?;
    }
    Ok(())
}
