//! What a trigger's table gets on followers locks rows no stronger than on the lead: a child that somebody is about to insert is in
//! nobody's way.

use std::time::Duration;

use tokio::time::timeout;

use super::support::{expect_on_all, one_by_one};
use crate::cluster::Cluster;
use crate::{Failure, Result};

/// Far below what a follower may take (3 s).
const LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table owner(id int primary key, email text, n int not null, at timestamptz)",
            "create unique index owner_email on owner(lower(email)) where email is not null",
            "create table owned(id int primary key, owner int not null references owner)",
            "create function owner_touched() returns trigger language plpgsql as \
             'begin new.at := clock_timestamp(); return new; end'",
            "create trigger owner_touched before update on owner for each row execute function owner_touched()",
            "insert into owner values (1, 'a', 0), (2, 'b', 0)",
            "update owner set n = 1",
        ],
    )
    .await?;
    let (holder, client) = (endpoint.connect().await?, endpoint.connect().await?);
    holder.batch_execute("begin").await?;
    // Followers hear of a transaction that is no short one.
    for number in 0..20 {
        holder.batch_execute(&format!("insert into owned values ({number}, 1)")).await?;
    }
    timeout(LIMIT, client.batch_execute("update owner set n = n + 1 where id in (1, 2)"))
        .await
        .map_err(|_| Failure::new("the UPDATE waits for a child's key lock on followers"))??;
    holder.batch_execute("commit").await?;
    // Where the values of that index change places, rows still go and come.
    client.batch_execute("update owner set email = case id when 1 then 'c' else 'd' end").await?;
    expect_on_all(&cluster.members, "select string_agg(email || n, ',' order by id) from owner", "c2,d2").await
}
