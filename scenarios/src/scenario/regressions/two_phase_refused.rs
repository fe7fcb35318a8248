//! Two-phase commit where members let transactions be prepared: refused, since one that is prepared on one member alone would be in
//! no log and hold its locks for ever.

use super::support::{expect_on_all, query};
use super::two_phase::expect;
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    if cluster.proxy().is_err() {
        return fail("one server prepares it (--bare)");
    }
    let endpoint = cluster.endpoint();
    endpoint.execute("create table tp_refused(id int primary key)").await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    for (sql, wanted) in [
        ("begin; insert into tp_refused values (1)", "CCZ T"),
        ("prepare transaction 'x'", "EZ E 0A000"),
        ("prepare transaction 'x'", "CZ I"),
        ("insert into tp_refused values (1); prepare transaction 'x'", "CEZ I 0A000"),
        ("commit prepared 'x'", "EZ I 0A000"),
        ("begin; rollback prepared 'x'", "CEZ E 25001"),
        ("rollback", "CZ I"),
    ] {
        expect(sql, &query(&mut raw, sql).await?, wanted)?;
    }
    expect_on_all(&cluster.members, "select count(*) from pg_prepared_xacts", "0").await?;
    expect_on_all(&cluster.members, "select count(*) from tp_refused", "0").await
}
