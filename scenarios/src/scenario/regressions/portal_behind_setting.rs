//! A portal that was bound before a setting, and runs behind it: the lead runs it as it was planned at Bind, and followers read its text
//! under the setting, so that they wrote another table, or another value. It is refused; bound behind the setting it runs.

use super::support::{error_code, expect_on_all, kinds, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create schema pbs_a; create schema pbs_b").await?;
    endpoint.execute("create table pbs_a.pbs(d date primary key); create table pbs_b.pbs(d date primary key)").await?;
    for setting in ["set local search_path = pbs_b", "set local datestyle = 'ISO, DMY'"] {
        let mut raw = Raw::connect(&endpoint, &[]).await?;
        query(&mut raw, "set search_path = pbs_a").await?;
        query(&mut raw, "begin").await?;
        raw.send(b'P', b"s\0insert into pbs values ('01/02/2024')\0\0\0").await?;
        raw.send(b'B', b"p\0s\0\0\0\0\0\0\0").await?;
        sync(&mut raw).await?;
        query(&mut raw, setting).await?;
        raw.send(b'E', b"p\0\0\0\0\0").await?;
        let behind = sync(&mut raw).await?;
        query(&mut raw, "rollback").await?;
        if error_code(&behind).as_deref() != Some("0A000") {
            return fail(format!("{setting}: {} ({:?})", kinds(&behind), error_code(&behind)));
        }
        query(&mut raw, "begin").await?;
        query(&mut raw, setting).await?;
        raw.send(b'P', b"t\0insert into pbs values ('01/02/2024')\0\0\0").await?;
        raw.send(b'B', b"p\0t\0\0\0\0\0\0\0").await?;
        raw.send(b'E', b"p\0\0\0\0\0").await?;
        let bound_anew = sync(&mut raw).await?;
        query(&mut raw, "commit").await?;
        if kinds(&bound_anew) != "12CZ" {
            return fail(format!("{setting}, bound anew: {:?}", error_code(&bound_anew)));
        }
    }
    expect_on_all(&cluster.members, "select d from pbs_a.pbs", "2024-02-01").await?;
    expect_on_all(&cluster.members, "select d from pbs_b.pbs", "2024-01-02").await
}
