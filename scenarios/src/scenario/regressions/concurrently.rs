//! CONCURRENTLY works as one transaction on all members, whatever comes behind it up to Sync: an index is there on all of them, and
//! valid, or on none. Inside a block nothing is done.

use super::support::{bind, execute, expect_on_all, parse, query, sync};
use super::two_phase::expect;
use crate::Result;
use crate::clients::Raw;
use crate::cluster::Cluster;

/// Indexes of the case's table that are valid.
const VALID: &str = "select string_agg(indexrelid::regclass::text, ' ' order by indexrelid::regclass::text) from pg_index \
                     where indrelid = 'cc'::regclass and indisvalid";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table cc(id int primary key, a int); insert into cc values (1, 1), (2, 1)").await?;
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    for (sql, wanted) in [
        ("create index concurrently cc_a on cc(a)", "CZ I"),
        ("create index concurrently cc_a on cc(a)", "EZ I 42P07"),
        ("create unique index concurrently cc_twice on cc(a)", "EZ I 23505"),
        ("drop index concurrently if exists cc_twice", "CZ I"),
        ("begin; create index concurrently cc_block on cc(a)", "CEZ E 25001"),
        ("rollback", "CZ I"),
        ("create index concurrently cc_several on cc(a); select 1", "EZ I 25001"),
        ("drop index concurrently cc_a, cc_b", "EZ I 0A000"),
        ("reindex (concurrently, verbose off) table cc", "CZ I"),
        ("reindex table concurrently pg_class", "EZ I 0A000"),
    ] {
        expect(sql, &query(&mut raw, sql).await?, wanted)?;
    }
    expect_on_all(&cluster.members, VALID, "cc_a cc_pkey").await?;
    for (statements, wanted) in [
        (&["drop index concurrently cc_a", "select 1/0"][..], "12C1EZ I 22012"),
        (&["insert into cc values (3, 3)", "create index concurrently cc_behind on cc(a)"], "12C12EZ I 25001"),
        (&["create index concurrently cc_first on cc(a)", "insert into cc values (4, 4)"], "12C12CZ I"),
    ] {
        for sql in statements {
            parse(&mut raw, sql).await?;
            bind(&mut raw, &[]).await?;
            execute(&mut raw).await?;
        }
        expect(&statements.join(" + "), &sync(&mut raw).await?, wanted)?;
    }
    expect_on_all(&cluster.members, VALID, "cc_first cc_pkey").await?;
    expect_on_all(&cluster.members, "select string_agg(id::text, ' ' order by id) from cc", "1 2 4").await
}
