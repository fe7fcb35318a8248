//! Reads outside transactions go to any member, and no reader can tell: all of them together see one order of all writes,
//! none goes back in time, and none misses what was acknowledged to anybody (`consistency = "strict"`).
//!
//! Followers are delayed by chance, so that commits arrive on members in different orders as often as can be.

mod check;
mod load;

use std::time::Duration;

use tokio::time::timeout;

use super::ending;
use crate::checkers::hang_report;
use crate::cluster::{Cluster, ClusterOptions, Delay};
use crate::{Failure, Options, Result, Summary, fail};

/// Delays on the followers' links.
const DELAY: Delay = Delay { probability: 0.5, least: Duration::ZERO, longest: Duration::from_millis(4) };
/// No member fails here, and a machine that is busy must not look as if one had.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(60);
/// Sessions stay on the member of their last read by default: here each read is to go to another one.
const PICK: &str = "pick = \"round-robin\"";
/// What a run may take beyond its load.
const HANG_LIMIT: Duration = Duration::from_secs(30);
/// Reads that each member must have served at least.
const READS_LEAST: u64 = 100;
/// Statements that read the table on a server, whatever their plan: an update looks for its row by one scan too. A server tells
/// it with a delay of up to a second.
const SCANS: &str = "select coalesce(sum(seq_scan + idx_scan - n_tup_upd), 0)::text from pg_stat_user_tables \
    where relname = 'fork'";
/// How long a server may take to tell it.
const SCANS_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let setup = ClusterOptions {
        follower_delay: Some(DELAY),
        member_timeout: MEMBER_TIMEOUT,
        virtual_database: vec![PICK.to_owned()],
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&options, setup).await?;
    let endpoint = cluster.endpoint();
    endpoint.execute(load::SCHEMA).await?;
    let length = Duration::from_secs(options.seconds);
    let running = load::run(&endpoint, options.clients, length, options.seed);
    let Ok(observed) = timeout(length + HANG_LIMIT, running).await else {
        return fail(format!("hung:\n{}", hang_report(&cluster).await));
    };
    let observed = observed?;
    let states = check::check(&observed)?;
    ending(&cluster).await?;
    let scans = scans(&cluster).await?;
    Ok(Summary::default()
        .with("writes", observed.writes())
        .with("reads", observed.reads.len())
        .with("states", states)
        .with("scans", scans.iter().map(u64::to_string).collect::<Vec<_>>().join("/")))
}

/// How many reads each member served: if it was one alone, nothing was shown.
async fn scans(cluster: &Cluster) -> Result<Vec<u64>> {
    let mut scans = Vec::new();
    for member in &cluster.members {
        let told = async {
            loop {
                let count: u64 = member.endpoint().value(SCANS).await?.parse()?;
                if count >= READS_LEAST {
                    return Ok::<_, Failure>(count);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let Ok(count) = timeout(SCANS_LIMIT, told).await else {
            return fail(format!("{} served fewer than {READS_LEAST} reads", member.name()));
        };
        scans.push(count?);
    }
    Ok(scans)
}
