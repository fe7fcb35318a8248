//! Clients insert into a table with a bigserial key while the lead is killed: what was acknowledged is there once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::support::code;
use crate::cluster::{Cluster, Member};
use crate::sql::Endpoint;
use crate::{Failure, Result, fail};

const CLIENTS: i32 = 8;
/// Load before the kill, and after it.
const LOAD: Duration = Duration::from_millis(700);

/// Pairs (client, seq) that were acknowledged, with the id that the client was told.
type Acknowledged = BTreeMap<(i32, i32), i64>;

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let lead = cluster.lead().await?;
    let endpoint = cluster.endpoint();
    // No key: a second row of a pair must show, and so must a second use of an id.
    endpoint.execute("create table sk(id bigserial, client int, seq int, primary key (id, client, seq))").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(insert(endpoint.clone(), client, Arc::clone(&stop)))).collect();
    sleep(LOAD).await;
    cluster.members[lead].kill_9()?;
    sleep(LOAD).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Acknowledged::new();
    for client in clients {
        acknowledged.extend(client.await??);
    }
    if acknowledged.len() < 50 {
        return fail(format!("only {} inserts were acknowledged", acknowledged.len()));
    }
    for member in cluster.members.iter().filter(|member| member.pid().is_some()) {
        check(member, &acknowledged).await.map_err(|e| e.during(member.name()))?;
    }
    Ok(())
}

async fn insert(endpoint: Endpoint, client: i32, stop: Arc<AtomicBool>) -> Result<Acknowledged> {
    let mut acknowledged = Acknowledged::new();
    let mut connection = endpoint.connect().await?;
    let mut seq = 0;
    while !stop.load(Ordering::Relaxed) {
        seq += 1;
        let insert = "insert into sk(client, seq) values ($1, $2) returning id";
        match connection.query_one(insert, &[&client, &seq]).await {
            Ok(row) => drop(acknowledged.insert((client, seq), row.get(0))),
            // The outcome is open, or nothing was done.
            Err(error) if matches!(code(&error).as_str(), "40001" | "08007") => {}
            Err(error) if code(&error) == "connection" => connection = endpoint.connect().await?,
            Err(error) => return Err(Failure::from(error).during(format!("client {client}, seq {seq}"))),
        }
    }
    Ok(acknowledged)
}

async fn check(member: &Member, acknowledged: &Acknowledged) -> Result<()> {
    let mut found: BTreeMap<(i32, i32), Vec<i64>> = BTreeMap::new();
    for row in member.endpoint().rows("select client, seq, id from sk").await? {
        let [client, seq, id] = [0, 1, 2].map(|column| row[column].clone().unwrap_or_default());
        found.entry((client.parse()?, seq.parse()?)).or_default().push(id.parse()?);
    }
    for (pair, id) in acknowledged {
        if found.get(pair).map(Vec::as_slice) != Some(&[*id]) {
            return fail(format!("{pair:?} was acknowledged with id {id} and is there as {:?}", found.get(pair)));
        }
    }
    if let Some((pair, ids)) = found.iter().find(|(_, ids)| ids.len() > 1) {
        return fail(format!("{pair:?} is there as {ids:?}"));
    }
    let twice = "select count(*) - count(distinct id) from sk";
    match member.endpoint().value(twice).await?.as_str() {
        "0" => Ok(()),
        count => fail(format!("{count} ids were given twice")),
    }
}
