//! All members but one die and all goes on; the last one dies and clients are told 57P03; it returns and all goes on.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::NoTls;

use crate::cluster::{Cluster, ClusterOptions};
use crate::sql::Endpoint;
use crate::{Failure, Options, Result, Summary, fail};

/// How long anything may take that is not a member's own start.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    cluster.proxy()?;
    let endpoint = cluster.endpoint();
    endpoint.execute("create table t(i int primary key)").await?;
    let session = endpoint.connect().await?;
    let mut written = 0;
    for _ in 1..cluster.members.len() {
        let lead = cluster.lead().await?;
        cluster.members[lead].kill_9()?;
        written += 1;
        session.execute("insert into t values ($1)", &[&written]).await?;
    }
    let last = cluster.lead().await?;
    cluster.members[last].kill_9()?;
    let noticed = wait_for_code(&endpoint, "57P03").await?;
    // The open session learns it too; which error depends on what it was doing.
    if session.simple_query("insert into t values (99)").await.is_ok() {
        return fail("an insert was acknowledged without any member");
    }
    let states = cluster.member_states().await?;
    let name = cluster.members[last].name().to_owned();
    if states.iter().any(|(member, state)| *member == name && state == "disabled") {
        return fail(format!("the last member was disabled: {states:?}"));
    }
    cluster.members[last].restart().await?;
    let returned = wait_until_works(&endpoint).await?;
    endpoint.execute(&format!("insert into t values ({})", written + 1)).await?;
    let rows = cluster.members[last].endpoint().value("select count(*) from t").await?;
    if rows != (written + 1).to_string() {
        return fail(format!("{} rows acknowledged, {rows} found on {name}", written + 1));
    }
    Ok(Summary::default()
        .with("last", name)
        .with("noticed_ms", noticed.as_millis())
        .with("returned_ms", returned.as_millis()))
}

/// Tries to connect and to read until the answer is the SQLSTATE `wanted`.
async fn wait_for_code(endpoint: &Endpoint, wanted: &str) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let told = match endpoint.config().connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                client.simple_query("select * from t").await.err()
            }
            Err(error) => Some(error),
        };
        let code = told.as_ref().and_then(|error| error.code()).map(|code| code.code().to_owned());
        if code.as_deref() == Some(wanted) {
            return Ok(start.elapsed());
        }
        if start.elapsed() > LIMIT {
            let told = told.map_or_else(|| Failure::new("success"), Failure::from);
            return fail(format!("no {wanted} within {LIMIT:?}, the last answer was {told}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_until_works(endpoint: &Endpoint) -> Result<Duration> {
    let start = Instant::now();
    loop {
        match endpoint.rows("select * from t").await {
            Ok(_) => return Ok(start.elapsed()),
            Err(error) if start.elapsed() > LIMIT => {
                return Err(error.during("the last member is back"));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
