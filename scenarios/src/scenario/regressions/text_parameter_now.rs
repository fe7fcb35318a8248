//! Text that means the current time and that only the server reads as a time: members equal, or 0A000.

use super::support::{bind, error_code, execute, kinds, parse, query, sync};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Type of the one column, and a text of that type.
const TYPES: &[(&str, &str)] = &[("timestamp", "now"), ("timestamptz", " NOW "), ("time", "now")];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let endpoint = cluster.endpoint();
    let mut raw = Raw::connect(&endpoint, &[]).await?;
    let mut differing = Vec::new();
    for (number, (kind, text)) in TYPES.iter().enumerate() {
        let table = format!("tn{number}");
        endpoint.execute(&format!("create table {table}(id int primary key, at {kind})")).await?;
        endpoint.execute(&format!("insert into {table}(id) values (2), (3)")).await?;
        let insert = format!("insert into {table} values ($1, $2)");
        let update = format!("update {table} set at = $2 where id = $1");
        for (sql, parameters) in [(&insert, ["1", text]), (&update, ["2", text])] {
            parse(&mut raw, sql).await?;
            bind(&mut raw, &parameters).await?;
            execute(&mut raw).await?;
            refused_or_done(&sync(&mut raw).await?)?;
        }
        refused_or_done(&query(&mut raw, &format!("prepare tn as {update}; execute tn(3, '{text}')")).await?)?;
        query(&mut raw, "deallocate all").await?;
        for (id, how) in [(1, "insert"), (2, "update"), (3, "execute")] {
            if !same(cluster, &table, id).await? {
                differing.push(format!("{kind} by {how}"));
            }
        }
    }
    if differing.is_empty() { Ok(()) } else { fail(format!("members differ: {}", differing.join(", "))) }
}

fn refused_or_done(answers: &[crate::clients::Message]) -> Result<()> {
    match error_code(answers).as_deref() {
        None | Some("0A000") => Ok(()),
        Some(_) => fail(format!("{}: {answers:?}", kinds(answers))),
    }
}

/// The row is the same on all members, or on none.
async fn same(cluster: &Cluster, table: &str, id: i32) -> Result<bool> {
    let mut found = Vec::new();
    for member in &cluster.members {
        found.push(member.endpoint().rows(&format!("select at::text from {table} where id = {id}")).await?);
    }
    Ok(found.windows(2).all(|pair| pair[0] == pair[1]))
}
