//! A row that is too large to be captured is refused with 54000, and the next statement has nothing to do with it.

use super::support::{expect_on_all, outcome};
use crate::cluster::Cluster;
use crate::sql::rows;
use crate::{Result, fail};

const TOO_LARGE: &str = "update big set x = repeat('x', 400000) || now()::text where id = 1";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    cluster.proxy()?;
    let client = cluster.endpoint().connect().await?;
    client.batch_execute("create table big(id int primary key, x text); insert into big values (1, '')").await?;
    for (id, extended) in [(2, false), (3, true)] {
        let answer = match extended {
            false => client.batch_execute(TOO_LARGE).await,
            true => client.execute(TOO_LARGE, &[]).await.map(drop),
        };
        if outcome(&answer) != "54000" {
            return fail(format!("{TOO_LARGE}: {}, extended protocol: {extended}", outcome(&answer)));
        }
        let next = rows(&client, &format!("insert into big values ({id}, 'next') returning x")).await?;
        if next != [[Some("next".to_owned())]] {
            return fail(format!("the next insert was answered by {next:?}"));
        }
        expect_on_all(&cluster.members, &format!("select x from big where id = {id}"), "next").await?;
    }
    expect_on_all(&cluster.members, "select length(x) from big where id = 1", "0").await
}
