//! A Java application with the stock JDBC driver.

use std::time::Duration;

use super::ending;
use crate::clients::Java;
use crate::cluster::{Cluster, ClusterOptions};
use crate::{Options, Result, Summary};

const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn run(options: Options) -> Result<Summary> {
    let cluster = Cluster::start(&options, ClusterOptions::default()).await?;
    let java = Java::compile(&["clients/JdbcApp.java"], &["postgresql"]).await?;
    let printed = java.run("JdbcApp", &[&cluster.endpoint().jdbc_url()], LIMIT).await?;
    printed.expect("OK")?;
    let rows = ending(&cluster).await?;
    Ok(Summary::default().with("checks", printed.out.trim().trim_start_matches("OK ")).with("rows", rows))
}
