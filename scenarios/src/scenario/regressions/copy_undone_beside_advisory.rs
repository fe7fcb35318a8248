//! A COPY by images has to run twice, since its trigger writes to a table that takes no images yet, in a database with a function that
//! takes advisory locks: being undone is no failure, and what the transaction wrote before stays. All of it reaches every member.

use bytes::Bytes;
use futures::SinkExt;

use super::support::{expect_on_all, session};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

const SCHEMA: &str = "create table cua(id serial primary key, v text); create table cua_audit(n serial primary key, v text); \
     create function cua_f() returns trigger language plpgsql as $$ begin insert into cua_audit(v) values (new.v); return new; end $$; \
     create trigger cua_t after insert on cua for each row execute function cua_f(); \
     create function cua_lock() returns void language plpgsql as $$ begin perform pg_advisory_lock(77); end $$";

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute(SCHEMA).await?;
    endpoint.execute("create table cua_before(i int primary key)").await?;
    let client = session(&endpoint, "cua").await?;
    client.batch_execute("begin; insert into cua_before values (1)").await.map_err(Failure::from)?;
    let mut sink = Box::pin(client.copy_in("copy cua(v) from stdin").await?);
    sink.send(Bytes::from_static(b"a\nb\n")).await?;
    if sink.as_mut().finish().await? != 2 {
        return fail("COPY of two rows counts otherwise");
    }
    client.batch_execute("commit").await.map_err(Failure::from)?;
    expect_on_all(&cluster.members, "select string_agg(v, ' ' order by v) from cua", "a b").await?;
    expect_on_all(&cluster.members, "select string_agg(v, ' ' order by v) from cua_audit", "a b").await?;
    expect_on_all(&cluster.members, "select count(*) from cua_before", "1").await
}
