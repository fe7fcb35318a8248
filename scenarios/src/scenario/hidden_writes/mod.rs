//! Writes of which no text tells all: triggers, rules, functions, procedures, DO, MERGE, writing CTEs.
//!
//! Each case runs by the simple and by the extended protocol, in a block and outside; then faults: the lead dies in the middle
//! of a transaction with images, a member is away meanwhile, the proxy dies between the intent and COMMIT. All members end equal,
//! sequences and triggers included.

mod cases;
mod faults;
mod schema;

use std::time::Duration;

use crate::checkers::{EqualityOptions, members_equal};
use crate::cluster::{Cluster, ClusterOptions, Member};
use crate::{Options, Result, Summary, fail};

pub(super) async fn run(options: Options) -> Result<Summary> {
    // What a statement with images costs a busy machine is no fault of a member.
    let setup = ClusterOptions { member_timeout: Duration::from_secs(15), ..ClusterOptions::default() };
    let mut cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    for statement in schema::STATEMENTS {
        endpoint.execute(statement).await.map_err(|e| e.during(*statement))?;
    }
    let statements = cases::run(&cluster).await?;
    equal(&cluster, "behind the cases").await?;
    let refused = cases::refused(&cluster).await?;
    equal(&cluster, "behind what is refused").await?;
    let clients = faults::side_by_side(&cluster, options.seed).await?;
    equal(&cluster, "behind clients side by side").await?;
    faults::proxy_dies(&mut cluster).await?;
    equal(&cluster, "behind the proxy's death").await?;
    faults::member_is_away(&mut cluster).await?;
    equal(&cluster, "behind a member's return").await?;
    faults::member_is_rebuilt(&cluster).await?;
    equal(&cluster, "behind a rebuild").await?;
    faults::lead_dies(&mut cluster).await?;
    Ok(Summary::default().with("statements", statements).with("refused", refused).with("side_by_side", clients))
}

/// All members are enabled and equal; a last value of each sequence was used by all.
async fn equal(cluster: &Cluster, when: &str) -> Result<()> {
    cluster.expect_all_enabled().await.map_err(|e| e.during(when.to_owned()))?;
    // Statements that failed have used values on the lead alone; the next one brings all members there.
    let endpoint = cluster.endpoint();
    for sequence in endpoint.rows("select schemaname || '.' || sequencename from pg_sequences").await? {
        let name = sequence.into_iter().next().flatten().unwrap_or_default();
        endpoint.execute(&format!("select nextval('{name}')")).await?;
    }
    let members: Vec<&Member> = cluster.members.iter().filter(|member| member.pid().is_some()).collect();
    members_equal(&members, EqualityOptions::default()).await.map_err(|e| e.during(when.to_owned()))?;
    let panics = cluster.proxy()?.panics()?;
    if panics.is_empty() { Ok(()) } else { fail(format!("the proxy panicked: {panics:?}")) }
}
