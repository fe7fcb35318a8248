//! LISTEN and NOTIFY: what PostgreSQL says of them, leads killed under senders, a listener that does not read, drivers.

mod forms;
mod listener;
mod under_kills;

use std::time::Duration;

use super::ending;
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Options, Result, Summary};

/// Nobody is frozen here: a machine that has much else to do must not look like a member that does not answer.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let mut cluster =
        Cluster::start(&options, ClusterOptions { member_timeout: MEMBER_TIMEOUT, ..ClusterOptions::default() })
            .await?;
    let checks = forms::run(&cluster, options.bare).await?;
    ending(&cluster).await?;
    let report =
        if options.bare { under_kills::Report::default() } else { under_kills::run(&mut cluster, &options).await? };
    Ok(Summary::default().with("checks", checks).with("kills", report.kills).with("received", report.received))
}
