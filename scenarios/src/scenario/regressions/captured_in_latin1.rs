//! What followers get of a captured statement has names of the catalog in it. Under a client encoding in which they cannot be written
//! it is refused; it used to go out as UTF-8, followers did not know the table, and outvoted the healthy lead.

use super::support::{expect_on_all, outcome};
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let client = cluster.endpoint().connect().await?;
    client
        .batch_execute(
            "create schema \"été\"; create table \"été\".captured(id int primary key, v text); \
             create table captured_plain(id int primary key, v text)",
        )
        .await?;
    client.batch_execute("set search_path = \"été\", public").await?;
    for (id, set) in [(1, "set client_encoding = 'LATIN1'"), (2, "begin; set local client_encoding = 'LATIN1'")] {
        for sql in set.split(';') {
            client.batch_execute(sql).await?;
        }
        if id == 1 {
            client.batch_execute(&format!("insert into captured_plain values ({id}, now()::text)")).await?;
        }
        let answer = outcome(&client.batch_execute(&format!("insert into captured values ({id}, now()::text)")).await);
        if answer != "0A000" {
            return fail(format!("{set}: a captured INSERT into a table with such a name: {answer}"));
        }
        client.batch_execute("rollback").await?;
        client.batch_execute("set client_encoding = 'UTF8'").await?;
    }
    client.batch_execute("insert into captured values (3, now()::text)").await?;
    cluster.expect_all_enabled().await?;
    expect_on_all(&cluster.members, "select count(*) from \"été\".captured", "1").await?;
    expect_on_all(&cluster.members, "select count(*) from captured_plain", "1").await
}
