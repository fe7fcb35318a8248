//! A portal with a name, bound before its Execute and apart from it, whose statement has to run again since it wrote a table that took
//! no images yet: the portal stood there from before (42P03).

use super::support::{error_code, expect_on_all, kinds, one_by_one, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    one_by_one(
        &endpoint,
        &[
            "create table pa(id int primary key)",
            "create table pa_audit(id int primary key)",
            "create function pa_noted() returns trigger language plpgsql as \
             'begin insert into pa_audit values (new.id); return null; end'",
            "create trigger pa_after after insert on pa for each row execute function pa_noted()",
        ],
    )
    .await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    query(&mut raw, "begin").await?;
    raw.send(b'P', b"s\0insert into pa values (1)\0\0\0").await?;
    raw.send(b'B', b"p\0s\0\0\0\0\0\0\0").await?;
    let bound = sync(&mut raw).await?;
    raw.send(b'E', b"p\0\0\0\0\0").await?;
    let executed = sync(&mut raw).await?;
    if (kinds(&bound).as_str(), kinds(&executed).as_str()) != ("12Z", "CZ") {
        return fail(format!("{}, {} ({:?})", kinds(&bound), kinds(&executed), error_code(&executed)));
    }
    query(&mut raw, "commit").await?;
    expect_on_all(&cluster.members, "select count(*) from pa_audit", "1").await
}
