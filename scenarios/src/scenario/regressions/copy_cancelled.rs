//! A cancel request while COPY FROM STDIN takes rows: it was lost. COPY fails at the client's next row, as in PostgreSQL.

use super::support::{bind, error_code, execute, expect_on_all, kinds, parse, query};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

/// CancelRequest's code in place of a protocol version.
const CANCEL: i32 = 80_877_102;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint
        .execute("create table cn_a(v text primary key); create table cn_b(id serial primary key, v text unique)")
        .await?;
    for (table, copy) in [("cn_a", "copy cn_a from stdin"), ("cn_b", "copy cn_b(v) from stdin")] {
        for (extended, before) in [(false, ""), (true, ""), (false, "begin"), (true, "begin")] {
            cancelled(&endpoint, copy, extended, before).await?;
        }
        endpoint.execute(&format!("insert into {table}(v) values ('here')")).await?;
        expect_on_all(&cluster.members, &format!("select string_agg(v, ' ') from {table}"), "here").await?;
    }
    Ok(())
}

async fn cancelled(endpoint: &Endpoint, copy: &str, extended: bool, before: &str) -> Result<()> {
    let mut raw = Raw::open(endpoint).await?;
    raw.start_up(endpoint, &[]).await?;
    let started = raw.until(b'Z').await?;
    let key = started.iter().find(|message| message.kind == b'K').map(|message| message.body.clone());
    let key = key.ok_or_else(|| Failure::new("no BackendKeyData"))?;
    query(&mut raw, before).await?;
    if extended {
        parse(&mut raw, copy).await?;
        bind(&mut raw, &[]).await?;
        execute(&mut raw).await?;
        raw.send(b'S', b"").await?;
    } else {
        raw.query(copy.as_bytes()).await?;
    }
    raw.until(b'G').await?;
    raw.send(b'd', b"lost\n").await?;
    let mut request = Raw::open(endpoint).await?;
    request.bytes(&[&16_i32.to_be_bytes()[..], &CANCEL.to_be_bytes(), &key].concat()).await?;
    request.until_closed().await?;
    raw.send(b'd', b"lost too\n").await?;
    raw.send(b'c', b"").await?;
    if extended {
        raw.send(b'S', b"").await?;
    }
    let answers = raw.until(b'Z').await?;
    if kinds(&answers) != "EZ" || error_code(&answers).as_deref() != Some("57014") {
        let told = (kinds(&answers), error_code(&answers));
        return fail(format!("{copy}, extended {extended}, {before}: {told:?}"));
    }
    let (next, wanted) = if before.is_empty() { ("select 1", "TDCZ") } else { ("rollback", "CZ") };
    let next = query(&mut raw, next).await?;
    if kinds(&next) != wanted {
        return fail(format!("behind {copy}: {}", kinds(&next)));
    }
    Ok(())
}
