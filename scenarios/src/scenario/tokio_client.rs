//! A Rust client: pipelines, COPY, cancel, portals with row limits, notices, implicit transactions, LATIN1 text.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{SinkExt, StreamExt, pin_mut, stream};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::ending;
use crate::clients::Raw;
use crate::cluster::{Cluster, ClusterOptions};
use crate::sql::Endpoint;
use crate::{Failure, Options, Result, Summary, fail};

/// Longest time for a cancel request to be heard.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let endpoint = cluster.endpoint();
    let mut client = endpoint.connect().await?;
    client.batch_execute("create table t(id int primary key, v text)").await?;
    pipeline(&client).await?;
    copy(&client).await?;
    portals(&mut client).await?;
    cancel(&client).await?;
    session_settings(&client).await?;
    notices(&endpoint).await?;
    implicit_transaction(&endpoint).await?;
    latin1(&endpoint, &client).await?;
    let rows = ending(&cluster).await?;
    Ok(Summary::default().with("rows", rows))
}

async fn pipeline(client: &Client) -> Result<()> {
    let insert = client.prepare("insert into t values ($1, $2)").await?;
    let values: Vec<(i32, String)> = (0..100).map(|id| (id, format!("v{id}"))).collect();
    let inserts = values.iter().map(|(id, v)| async { client.execute(&insert, &[id, v]).await });
    for answer in join_all(inserts).await {
        if answer? != 1 {
            return fail("a pipelined insert changed no row");
        }
    }
    let select = client.prepare("select v from t where id = $1").await?;
    let reads = values.iter().map(|(id, _)| async { client.query_one(&select, &[id]).await });
    for (answer, (_, value)) in join_all(reads).await.into_iter().zip(&values) {
        if answer?.get::<_, &str>(0) != value {
            return fail("a pipelined read got another's answer");
        }
    }
    Ok(())
}

async fn copy(client: &Client) -> Result<()> {
    let sink = client.copy_in("copy t from stdin").await?;
    pin_mut!(sink);
    let mut lines = stream::iter((1000..6000).map(|id| Ok(Bytes::from(format!("{id}\tcopied {id}\n")))));
    sink.send_all(&mut lines).await?;
    let count = sink.finish().await?;
    let out = client.copy_out("copy (select id from t where id >= 1000 order by id) to stdout").await?;
    let pieces: Vec<_> = out.collect().await;
    let bytes: usize = pieces.into_iter().map(|piece| piece.map(|bytes| bytes.len())).sum::<Result<_, _>>()?;
    if (count, bytes) != (5000, 5000 * 5) {
        return fail(format!("copied {count} rows in, {bytes} bytes out"));
    }
    // Dropping the sink gives the copy up.
    let sink = client.copy_in::<_, Bytes>("copy t from stdin").await?;
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"9000\tx\n")).await?;
    Ok(())
}

async fn portals(client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await?;
    let left = transaction.bind("select id from t where id < 25 order by id", &[]).await?;
    let right = transaction.bind("select id from t where id >= 1000 order by id", &[]).await?;
    let mut sizes = Vec::new();
    for portal in [&left, &right, &left, &left, &right] {
        sizes.push(transaction.query_portal(portal, 10).await?.len());
    }
    transaction.commit().await?;
    if sizes != [10, 10, 10, 5, 10] {
        return fail(format!("two portals in turn, ten rows each: {sizes:?}"));
    }
    Ok(())
}

async fn cancel(client: &Client) -> Result<()> {
    let token = client.cancel_token();
    let sleeping = client.simple_query("select pg_sleep(30)");
    let cancelling = async {
        sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await
    };
    let both = timeout(CANCEL_LIMIT, async { tokio::join!(sleeping, cancelling) }).await;
    let (answer, sent) = both.map_err(|_| Failure::new("a cancel request was not heard"))?;
    sent?;
    match answer {
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
        other => return fail(format!("a cancelled query ended with {other:?}")),
    }
    // A cancel request that comes too late hits nothing.
    token.cancel_query(NoTls).await?;
    sleep(Duration::from_millis(50)).await;
    client.simple_query("select 1").await?;
    Ok(())
}

async fn session_settings(client: &Client) -> Result<()> {
    client.batch_execute("set application_name = 'somebody'; set statement_timeout = '200ms'").await?;
    match client.simple_query("select pg_sleep(5)").await {
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
        other => return fail(format!("statement_timeout did nothing: {other:?}")),
    }
    client.batch_execute("reset statement_timeout").await?;
    for _ in 0..6 {
        // Whatever member a read goes to, it has the session's settings.
        let name = client.query_one("select current_setting('application_name')", &[]).await?;
        if name.get::<_, &str>(0) != "somebody" {
            return fail("a session setting is missing on one member");
        }
    }
    client.batch_execute("discard all").await?;
    client.batch_execute("create table mine(i int primary key); insert into mine values (1)").await?;
    let row = client.query_one("select count(*) from mine", &[]).await?;
    if row.get::<_, i64>(0) != 1 {
        return fail("a table made in the same batch lost its row");
    }
    client.batch_execute("drop table mine").await?;
    Ok(())
}

async fn notices(endpoint: &Endpoint) -> Result<()> {
    let (client, mut connection) = endpoint.config().connect(NoTls).await?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut sender = Some(sender);
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let (AsyncMessage::Notice(notice), Some(sender)) = (message, sender.take()) {
                // The receiver is there until the check below is done.
                let _ = sender.send(notice.message().to_owned());
            }
        }
    });
    client.batch_execute("drop table if exists nowhere").await?;
    let told = timeout(CANCEL_LIMIT, receiver).await.map_err(|_| Failure::new("no notice came"))??;
    if told != "table \"nowhere\" does not exist, skipping" {
        return fail(format!("another notice came: {told}"));
    }
    Ok(())
}

/// Parse, Bind, Execute twice before one Sync: both or none.
async fn implicit_transaction(endpoint: &Endpoint) -> Result<()> {
    let mut raw = Raw::connect(endpoint, &[]).await?;
    for (sql, wanted) in
        [("insert into t values (20000, 'b')", b"CC".as_slice()), ("insert into t values (1, 'b')", b"CE")]
    {
        for sql in ["insert into t values (10000, 'a')", sql, "delete from t where id >= 10000"] {
            raw.send(b'P', format!("\0{sql}\0\0\0").as_bytes()).await?;
            raw.send(b'B', b"\0\0\0\0\0\0\0\0").await?;
            raw.send(b'E', b"\0\0\0\0\0").await?;
        }
        raw.send(b'S', b"").await?;
        let answers = raw.until(b'Z').await?;
        let ends: Vec<u8> = answers.iter().map(|message| message.kind).filter(|kind| b"CE".contains(kind)).collect();
        if !ends.starts_with(wanted) || (wanted == b"CE" && ends.len() != 2) {
            return fail(format!("a pipeline was answered by {}", String::from_utf8_lossy(&ends)));
        }
    }
    let left = endpoint.value("select count(*) from t where id >= 10000").await?;
    if left != "0" {
        return fail(format!("{left} rows of an implicit transaction are left"));
    }
    Ok(())
}

async fn latin1(endpoint: &Endpoint, client: &Client) -> Result<()> {
    let mut raw = Raw::connect(endpoint, &[("client_encoding", "LATIN1")]).await?;
    raw.query(b"insert into t values (30000, 'caf\xe9')").await?;
    raw.until(b'Z').await?;
    // The same by parameters, of which the proxy cannot know what they hold.
    raw.send(b'P', b"\0insert into t values (30001, $1)\0\0\0").await?;
    raw.send(b'B', b"\0\0\0\0\0\x01\0\0\0\x04na\xefv\0\0").await?;
    raw.send(b'E', b"\0\0\0\0\0").await?;
    raw.send(b'S', b"").await?;
    raw.until(b'Z').await?;
    raw.query(b"select v from t where id >= 30000 order by id").await?;
    let answers = raw.until(b'Z').await?;
    let rows: Vec<&[u8]> = answers.iter().filter(|m| m.kind == b'D').map(|m| &m.body[6..]).collect();
    let stored = client.query("select v from t where id >= 30000 order by id", &[]).await?;
    let stored: Vec<&str> = stored.iter().map(|row| row.get(0)).collect();
    if rows != [b"caf\xe9".as_slice(), b"na\xefv"] || stored != ["café", "naïv"] {
        return fail(format!("LATIN1 text came back as {rows:?} and is stored as {stored:?}"));
    }
    Ok(())
}
