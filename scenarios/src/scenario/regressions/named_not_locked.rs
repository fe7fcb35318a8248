//! Rows that a transaction has named and not locked may be changed by others before its COMMIT, and nobody is rolled back for it.

use super::support::{expect_on_all, session};
use crate::Result;
use crate::cluster::Cluster;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let one = session(&cluster.endpoint(), "named_one").await?;
    let other = session(&cluster.endpoint(), "named_other").await?;
    one.batch_execute("create table nl(id int primary key, v text); insert into nl values (2, 'old')").await?;
    // Row 2 is there: it is named by the INSERT, and not locked.
    one.batch_execute("begin; insert into nl values (1, 'new'), (2, 'new') on conflict do nothing").await?;
    other.batch_execute("update nl set v = 'changed' where id = 2").await?;
    one.batch_execute("commit").await?;
    // A row lock does not hold up an INSERT that leaves the row alone.
    one.batch_execute("begin; select v from nl where id = 2 for update").await?;
    other.batch_execute("insert into nl values (3, 'new'), (2, 'new') on conflict do nothing").await?;
    one.batch_execute("update nl set v = v || '!' where id = 2; commit").await?;
    // FOR KEY SHARE lets others change what is no key.
    one.batch_execute("begin; select v from nl where id = 2 for key share").await?;
    other.batch_execute("update nl set v = v || '?' where id = 2").await?;
    one.batch_execute("insert into nl values (4, 'new'); commit").await?;
    // Texts that differ in their last blank are two keys.
    one.batch_execute("create table nlt(id text primary key, v int); insert into nlt values ('a', 0), ('a ', 0)")
        .await?;
    one.batch_execute("begin; update nlt set v = 1 where id = 'a'").await?;
    other.batch_execute("update nlt set v = 2 where id = 'a '").await?;
    one.batch_execute("commit").await?;
    let rows =
        "select string_agg(id || v, ' ' order by id) || (select string_agg(id || v, ' ' order by id) from nlt) from nl";
    expect_on_all(&cluster.members, rows, "1new 2changed!? 3new 4newa1 a 2").await
}
