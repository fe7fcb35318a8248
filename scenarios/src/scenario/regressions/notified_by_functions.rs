//! What triggers, DO and functions notify reaches who listens, once, in the order of commit; what is rolled back does not. When the
//! lead is taken out nobody knows what it had still to tell: who listens is told so.

use std::time::Duration;

use tokio::time::timeout;

use super::support::session;
use crate::clients::{Message, Raw};
use crate::cluster::Cluster;
use crate::{Failure, Result, fail};

const SCHEMA: &str = "create table nf(id int primary key); \
     create function nf_tell() returns trigger language plpgsql as $$ begin perform pg_notify('nf', new.id::text); return new; end $$; \
     create trigger nf_tell after insert on nf for each row execute function nf_tell()";
/// A notification comes within this time.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    endpoint.execute(SCHEMA).await?;
    let client = session(&endpoint, "nf").await?;
    let mut listener = Raw::connect(&endpoint, &[]).await?;
    listener.query(b"listen nf").await?;
    listener.until(b'Z').await?;
    for sql in [
        "insert into nf values (1), (2)",
        "begin; insert into nf values (3); rollback",
        "do $$ begin perform pg_notify('nf', 'do'); perform pg_notify('other', 'do'); end $$",
        "begin; insert into nf values (4); commit",
    ] {
        client.batch_execute(sql).await.map_err(Failure::from)?;
    }
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.push(payload(&next(&mut listener).await?));
    }
    client.batch_execute("notify nf, 'last'").await.map_err(Failure::from)?;
    heard.push(payload(&next(&mut listener).await?));
    if heard != ["1", "2", "do", "4", "last"] {
        return fail(format!("heard {heard:?}"));
    }
    if cluster.members.len() < 2 {
        return Ok(());
    }
    let Some(proxy) = &cluster.proxy else { return Ok(()) };
    let lead = cluster.members[cluster.lead().await?].name().to_owned();
    for verb in ["disable", "enable"] {
        let (code, printed) = proxy.member(&[verb, &lead]).await?;
        if code != Some(0) {
            return fail(format!("raidb member {verb} {lead}: {printed}"));
        }
    }
    let told = next(&mut listener).await?;
    if told.kind != b'E' || told.field(b'C').as_deref() != Some("57P01") {
        return fail(format!("behind the loss of the lead a listener got {told:?}"));
    }
    // Who does not listen has noticed nothing.
    client.batch_execute("insert into nf values (5)").await.map_err(Failure::from)
}

async fn next(listener: &mut Raw) -> Result<Message> {
    let message = timeout(LIMIT, listener.message()).await.map_err(|_| Failure::new("no notification came"))??;
    message.ok_or_else(|| Failure::new("the connection was closed"))
}

fn payload(message: &Message) -> String {
    let texts = message.body.get(4..).unwrap_or_default().split(|b| *b == 0).nth(1).unwrap_or_default();
    String::from_utf8_lossy(texts).into_owned()
}
