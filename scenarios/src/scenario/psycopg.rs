//! A Python application with psycopg 3.

use super::ending;
use crate::clients::run_python;
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Options, Result, Summary};

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let printed = run_python("psycopg_app.py", &[&cluster.endpoint().url()], &[]).await?;
    printed.expect("OK")?;
    let rows = ending(&cluster).await?;
    Ok(Summary::default().with("checks", printed.out.trim().trim_start_matches("OK ")).with("rows", rows))
}
