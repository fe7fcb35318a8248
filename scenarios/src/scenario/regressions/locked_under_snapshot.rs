//! A statement in the locked form under REPEATABLE READ, behind a read: the lead's snapshot is older than the locks, and its
//! followers, which run READ COMMITTED, saw other rows; the lead was outvoted and disabled. It is refused.

use super::support::{outcome, session};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table lus(a int, b int); insert into lus values (1, 0)").await?;
    let (reader, writer) = (session(&endpoint, "lus reader").await?, session(&endpoint, "lus writer").await?);
    for level in ["repeatable read", "serializable"] {
        reader.batch_execute(&format!("begin isolation level {level}")).await?;
        reader.batch_execute("select count(*) from lus").await?;
        writer.batch_execute("insert into lus values (1, 1)").await?;
        let behind_read = outcome(&reader.batch_execute("delete from lus where a = 1").await);
        reader.batch_execute("rollback").await?;
        reader.batch_execute(&format!("begin isolation level {level}")).await?;
        let first = outcome(&reader.batch_execute("delete from lus where a = 1").await);
        reader.batch_execute("commit").await?;
        if [behind_read.as_str(), &first] != ["0A000", "ok"] {
            return fail(format!("{level}: behind a read {behind_read}, as the first statement {first}"));
        }
    }
    cluster.expect_all_enabled().await
}
