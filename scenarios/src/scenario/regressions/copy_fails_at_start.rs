//! COPY FROM STDIN that fails before it takes data, by the extended protocol: the error arrives, and ReadyForQuery.

use bytes::Bytes;
use futures::{SinkExt, pin_mut};

use super::support::{bind, code, error_code, execute, expect_on_all, kinds, parse, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let client = endpoint.connect().await?;
    client.batch_execute("create table cf(id int primary key)").await?;
    for before in ["", "begin"] {
        // The driver itself miscounts ReadyForQuery afterwards, with PostgreSQL as well: a connection of its own.
        let driver = endpoint.connect().await?;
        driver.batch_execute(before).await?;
        match driver.copy_in::<_, Bytes>("copy cf(nosuch) from stdin").await {
            Err(error) if code(&error) == "42703" => {}
            Err(error) => return fail(format!("COPY of no such column: {error:?}")),
            Ok(_) => return fail("COPY of no such column asked for data"),
        }
    }
    for (describe, in_transaction) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut raw = Raw::connect(&endpoint, &[]).await?;
        if in_transaction {
            query(&mut raw, "begin").await?;
        }
        parse(&mut raw, "copy cf(nosuch) from stdin").await?;
        bind(&mut raw, &[]).await?;
        if describe {
            raw.send(b'D', b"P\0").await?;
        }
        execute(&mut raw).await?;
        let answers = sync(&mut raw).await?;
        if error_code(&answers).as_deref() != Some("42703") {
            return fail(format!("COPY of no such column was answered by {}", kinds(&answers)));
        }
        // What a driver sends that has its data ready: the server passes over it, but not over the Sync.
        raw.send(b'd', b"1\n").await?;
        raw.send(b'c', b"").await?;
        let passed_over = sync(&mut raw).await?;
        let next = query(&mut raw, "rollback; select 1").await?;
        if (kinds(&passed_over).as_str(), kinds(&next).as_str()) != ("Z", "CTDCZ") {
            let (passed_over, next) = (kinds(&passed_over), kinds(&next));
            return fail(format!("data behind the error was answered by {passed_over}, the next question by {next}"));
        }
    }
    let sink = client.copy_in("copy cf(id) from stdin").await?;
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"1\n")).await?;
    if sink.finish().await? != 1 {
        return fail("a COPY behind the failed ones copied nothing");
    }
    expect_on_all(&cluster.members, "select count(*) from cf", "1").await
}
