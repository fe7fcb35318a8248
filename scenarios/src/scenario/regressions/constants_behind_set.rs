//! A prepared statement has constants; the session changes how they are read; members that have parsed it and members that have not do
//! the same.

use super::support::{expect_on_all, query};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute("create table constants(id int primary key, at timestamptz)").await?;
    let mut raw = Raw::connect(&endpoint, &[("TimeZone", "UTC")]).await?;
    raw.send(b'P', b"S\0insert into constants values ($1, '2024-01-02 00:00')\0\0\0").await?;
    raw.send(b'S', b"").await?;
    raw.until(b'Z').await?;
    for (id, set) in
        [(1_u8, "set timezone = 'Asia/Tokyo'"), (2, "reset timezone"), (3, "set timezone = 'America/Lima'")]
    {
        query(&mut raw, set).await?;
        insert(&mut raw, id).await.map_err(|e| e.during(format!("behind {set}")))?;
    }
    // Followers work behind the lead: what is sent to them behind a setting stands before it.
    query(&mut raw, "reset timezone").await?;
    query(&mut raw, "begin").await?;
    insert(&mut raw, 4).await?;
    query(&mut raw, "set local timezone = 'Asia/Tokyo'").await?;
    insert(&mut raw, 5).await?;
    query(&mut raw, "commit").await?;
    insert(&mut raw, 6).await?;
    let sql = "select string_agg(to_char(at at time zone 'UTC', 'DD HH24'), ', ' order by id) from constants";
    expect_on_all(&cluster.members, sql, "01 15, 02 00, 02 05, 02 00, 01 15, 02 00").await
}

async fn insert(raw: &mut Raw, id: u8) -> Result<()> {
    let mut bind = b"\0S\0\0\0\0\x01\0\0\0\x01".to_vec();
    bind.extend_from_slice(id.to_string().as_bytes());
    bind.extend_from_slice(&[0, 0]);
    raw.send(b'B', &bind).await?;
    raw.send(b'E', &[0; 5]).await?;
    raw.send(b'S', b"").await?;
    let answers = raw.until(b'Z').await?;
    if answers.iter().any(|message| message.kind == b'C') { Ok(()) } else { fail(format!("{id}: {answers:?}")) }
}
